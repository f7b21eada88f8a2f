"""OpenTelemetry GenAI: spans with ``gen_ai.operation.name``; the old names beside the new.

OpenLLMetry, OpenLIT, Traceloop's older releases and many frameworks emit these names with habits of their own; what is
a habit and no convention stands in their files.
"""

from __future__ import annotations

from typing import Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import at, put_documents, unpack
from ragwatch.conventions.table import (
    CHAIN,
    TASK,
    WORKFLOW,
    Convention,
    Field,
    Row,
    Rule,
    flag,
    given,
    number,
    text,
    whole,
)  # fmt: skip

OPERATION: Final = "gen_ai.operation.name"
_PROVIDER: Final = "gen_ai.provider.name"
DOCUMENTS: Final = "gen_ai.retrieval.documents"
NO_VENDORS: Final = frozenset(
    {
        "langchain", "llama_index", "llamaindex", "haystack", "langgraph", "crewai", "autogen", "strands-agents",
        "spring_ai", "semantic_kernel", "agno", "dspy", "smolagents", "pydantic-ai", "pydantic_ai",
        "microsoft.agent_framework", "beeai",
    }
)  # fmt: skip
"""Frameworks that call themselves the provider."""
_STREAMS: Final = ("gen_ai.request.stream", "gen_ai.request.is_stream", "gen_ai.is_streaming", "llm.is_streaming")
_CHUNKS: Final = frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk"})
_MODEL: Final = frozenset({"generate", "embed", "rerank"})
_GENERATES: Final = frozenset({"generate"})
_RETRIEVES: Final = frozenset({"retrieve"})


def _extract(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    if step == "retrieve":
        packed = attributes.get(DOCUMENTS)
        if packed is not None:
            items = unpack(packed, DOCUMENTS)
            if isinstance(items, list | tuple):
                put_documents(row, items)
        store = row.pop("provider", None)
        if store is not None:  # of a retrieval the provider is the store
            row.setdefault("data_source", store)
    elif row.get("provider", "").lower() in NO_VENDORS:
        del row["provider"]
    if step == "query":
        _texts(row, span)
    if step == "generate":
        _streamed(row, span)


def look(span: RawSpan, _scope: str) -> str | None:
    """A model call of an instrumentor that names no operation, a tool likewise."""
    attributes = span.attributes
    if OPERATION in attributes:
        return None
    if "gen_ai.tool.name" in attributes or "gen_ai.tool.call.id" in attributes:
        return "tool"
    if "gen_ai.request.model" not in attributes or not ("gen_ai.system" in attributes or _PROVIDER in attributes):
        return None
    name = f"{span.name} {attributes['gen_ai.request.model']}".lower()
    return "embed" if "embed" in name else "rerank" if "rerank" in name else "generate"


def _texts(row: Row, span: RawSpan) -> None:
    for field, key in (("question", "gen_ai.input.messages"), ("answer", "gen_ai.output.messages")):
        messages = unpack(span.attributes.get(key), key)
        found = at(messages, -1, "parts", 0, "content")
        if isinstance(found, str):
            row.setdefault(field, found)


def _streamed(row: Row, span: RawSpan) -> None:
    """The first chunk of a stream; of a call that says that it does not stream there is none."""
    attributes = span.attributes
    if "first_chunk_s" not in row and not span.events:
        return
    for key in _STREAMS:
        if key in attributes and flag(attributes[key]) is False:
            row.pop("first_chunk_s", None)
            return
    if "first_chunk_s" in row:
        return
    after = span.seconds_until(_CHUNKS)
    if after is not None:
        row["first_chunk_s"] = after


CONVENTION: Final[Convention] = Convention(
    "genai",
    "OpenTelemetry GenAI",
    rules=(
        Rule(
            OPERATION,
            {
                "chat": "generate",
                "generate_content": "generate",
                "text_completion": "generate",
                "chat.completions": "generate",
                "chat.streaming_completions": "generate",
                "text.completions": "generate",
                "text_completions": "generate",
                "text.streaming_completions": "generate",
                "completion": "generate",
                "llm_request": "generate",
                "embeddings": "embed",
                "embedding": "embed",
                "embed": "embed",
                "response": "generate",
                "responses": "generate",
                "moderation": "guardrail",
                "guardrail": "guardrail",
                "retrieval": "retrieve",
                "vector_db_retrieve": "retrieve",
                "search_memory": "retrieve",
                "execute_tool": "tool",
                "rerank": "rerank",
                "invoke_agent": WORKFLOW,
                "invoke_workflow": WORKFLOW,
                "execute_task": TASK,
                "plan": TASK,
                "workflow": CHAIN,
                "tool": "tool",
                "create_agent": TASK,
                "vectordb": None,
            },
        ),
        Rule(
            "llm.request.type",
            {"chat": "generate", "completion": "generate", "embedding": "embed", "rerank": "rerank"},
        ),
    ),
    look=look,
    settled_by=("gen_ai.request.model",),
    heeds=("gen_ai.request.model", "gen_ai.tool.name", "gen_ai.tool.call.id"),
    extract=_extract,
    marks=(_PROVIDER, DOCUMENTS),
    fields=(
        Field("operation", (OPERATION,), text, _MODEL | _RETRIEVES | {"tool"}),
        Field("model", ("gen_ai.request.model",), text),
        Field("response_model", ("gen_ai.response.model",), text),
        Field("response_id", ("gen_ai.response.id",), text),
        Field("provider", ("gen_ai.provider.name", "gen_ai.system"), text),
        Field(
            "input_tokens", ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"),
            given, _MODEL,
        ),
        Field(
            "output_tokens",
            ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"),
            whole, _GENERATES,
        ),
        Field(
            "cached_tokens", ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
            whole, _GENERATES,
        ),
        Field(
            "reasoning_tokens", ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
             "gen_ai.usage.details.reasoning_tokens"),
            whole, _GENERATES,
        ),
        Field("first_chunk_s", ("gen_ai.response.time_to_first_chunk",), number, _GENERATES),
        Field("data_source", ("gen_ai.data_source.id",), text, _RETRIEVES),
        Field("document_count", ("gen_ai.retrieval.document_count",), whole, _RETRIEVES),
        Field("top_k", ("gen_ai.request.top_k", "gen_ai.retrieval.top_k"), whole, _RETRIEVES),
        Field("session", ("gen_ai.conversation.id", "session.id", "gcp.vertex.agent.session_id"), text),
        Field("user", ("user.id", "enduser.id"), text),
        Field("tenant", ("tenant.id",), text),
        Field("prompt_version", ("ragwatch.prompt.version", "gen_ai.prompt.version", "gen_ai.prompt.name"), text),
        Field("error_type", ("error.type",), text),
    ),
    packed=(
        ("documents", DOCUMENTS),
        ("data_source", "gen_ai.provider.name of a retrieval"),
        ("first_chunk_s", "first event gen_ai.content.completion.chunk"),
        ("question", "gen_ai.input.messages"),
        ("answer", "gen_ai.output.messages"),
    ),
    lacks=(("cost_usd", "a price table of yours: ragwatch agent --prices FILE"),),
)  # fmt: skip
