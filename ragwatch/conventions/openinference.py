"""OpenInference: spans with ``openinference.span.kind`` (Arize's instrumentors of LangChain, LlamaIndex, OpenAI, …)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import (
    MAX_DOCUMENTS,
    at,
    content_hash,
    documents_of,
    flattened,
    id_of,
    mapping,
    put_documents,
    unpack,
)  # fmt: skip
from ragwatch.conventions.table import (
    CHAIN,
    EVALUATION,
    REDACTED,
    TASK,
    WORKFLOW,
    Convention,
    Field,
    Row,
    Rule,
    cost,
    given,
    number,
    text,
    whole,
)  # fmt: skip
from ragwatch.record import Document

KIND: Final = "openinference.span.kind"
DOCUMENTS: Final = "retrieval.documents."
RERANKED: Final = "reranker.output_documents."
WHOLE_LISTS: Final = {"retrieve": "retrieval.documents", "rerank": "reranker.output_documents"}
FIRST_CHUNK: Final = "First Token Stream Event"
_CHUNKS: Final = frozenset({FIRST_CHUNK})
_RESPONSE_ID: Final = re.compile(r'"id":\s?"((?:chatcmpl|cmpl|msg|resp|gen)[-_][^"\\]{4,128})"')
_NO_COST: Final = re.compile(r'"total_cost":\s?0(?:\.0)?[,}]')
_IN_METADATA: Final = (("user_id", "user"), ("session_id", "session"), ("prompt_version", "prompt_version"),
                ("tenant", "tenant"), ("tenant_id", "tenant"))  # fmt: skip
_GENERATES: Final = frozenset({"generate"})
_EMBEDS: Final = frozenset({"embed"})


def _refine(span: RawSpan) -> str | None:
    """LlamaIndex' own node postprocessors and Haystack's writers are CHAIN spans that only their name tells.

    Haystack's prompt builders are LLM spans and call no model.
    """
    if span.name.endswith("PromptBuilder.run"):
        return TASK
    if span.attributes.get(KIND) not in {"CHAIN", "chain"}:
        return None
    return (
        "rerank" if span.name.endswith("postprocess_nodes") else "ingest" if span.name.endswith("Writer.run") else None
    )


def _extract(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    if step in {"retrieve", "rerank"}:
        named = row.pop("named_model", None)
        if step == "rerank":
            row.setdefault("model", named)
        _documents(row, span, step)
    elif step in {"generate", "embed"}:
        _models(row, span, step)
        if step == "generate":
            _answered(row, span)
    elif step == "query":
        row.setdefault("question", text(attributes.get("input.value")))
        row.setdefault("answer", text(attributes.get("output.value")))
    if "metadata" in attributes and step in {"query", "generate", "retrieve"}:
        held = attributes["metadata"]
        for field, value in _metadata(held) if isinstance(held, str) else ():
            row.setdefault(field, value)
    if "tag.tags" in attributes:
        tags = unpack(attributes["tag.tags"], "tag.tags")
        for tag in tags if isinstance(tags, list | tuple) else ():
            if isinstance(tag, str) and tag.startswith("tenant:"):
                row.setdefault("tenant", tag[7:])


def _answered(row: Row, span: RawSpan) -> None:
    """What an answer itself says: when its first chunk came, its id, and whether it came out of a cache."""
    after = span.seconds_until(_CHUNKS)
    if after is not None:
        row["first_chunk_s"] = after
    output = span.attributes.get("output.value")
    if not isinstance(output, str):
        return
    head = output[:200_000]
    if '"total_cost":' in head and "usage_metadata" in head and _NO_COST.search(head):  # to look for a text is cheap
        row["cache_result"] = "hit"
    found = _RESPONSE_ID.search(head) if '"id":' in head else None
    if found is not None:
        row.setdefault("response_id", found.group(1))


def _documents(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    items = flattened(attributes, DOCUMENTS if step == "retrieve" else RERANKED)
    output = attributes.get("output.value")
    if items:
        named: list[Any] = []
        if any("document.id" not in item for item in items):  # LangChain's stand in the output alone
            packed = at(unpack(output, "output.value"), "documents")
            named = packed if isinstance(packed, list) and len(packed) == len(items) else []
        found = [
            _document(item, rank, id_of(named[rank - 1]) if named else None)
            for rank, item in enumerate(items[:MAX_DOCUMENTS], 1)
        ]
        row["documents"], row["document_count"] = tuple(found), len(items)
        return
    whole_list = attributes.get(WHOLE_LISTS[step])
    if whole_list is not None:  # by hand, as one value
        found_items = unpack(whole_list, WHOLE_LISTS[step])
        if isinstance(found_items, list | tuple):
            put_documents(row, [_by_names(item) for item in found_items])
            return
    packed = unpack(output, "output.value")
    if isinstance(packed, dict):
        packed = packed.get("documents")
    if isinstance(packed, list):
        put_documents(row, packed)
    elif output is not None or span.status_code != 2:  # an error has no documents; an empty retrieval has no keys
        row["document_count"] = 0


def _by_names(item: Any) -> Any:
    """A document whose fields are named as the attributes are."""
    held = mapping(item, "document") if isinstance(item, str) else item
    if not isinstance(held, dict) or not any(name.startswith("document.") for name in held):
        return held or item
    return {name.removeprefix("document."): value for name, value in held.items()}


@lru_cache(maxsize=1024)
def _metadata(held: str) -> tuple[tuple[str, str], ...]:
    """What the metadata say of the query: they are the same on all of its spans."""
    found = mapping(held, "metadata")
    return tuple(
        (field, str(value))
        for name, field in _IN_METADATA
        if isinstance(value := found.get(name), str | int | float) and value != ""
    )


def _document(item: Row, rank: int, named: str | None) -> Document:
    """A document of flattened attributes; where it has no id, one is looked for in its metadata and its text."""
    identity, body = item.get("document.id", named), item.get("document.content")
    if type(identity) is str and identity and identity != REDACTED and (body is None or type(body) is str):
        digest = content_hash(body) if body and body != REDACTED else None
        return Document(identity[:256], rank, number(item.get("document.score")), None, "id", digest)
    return documents_of([{key[9:]: value for key, value in item.items()}])[0]._replace(rank=rank)


@lru_cache(maxsize=4096)
def _asked(parameters: str) -> str | None:
    """The model in a call's parameters, which repeat from call to call."""
    held = mapping(parameters, "invocation_parameters")
    return text(held.get("model")) or text(held.get("model_name"))


def _models(row: Row, span: RawSpan, step: str) -> None:
    """One attribute names the model that answered, or the one that was asked; the parameters tell which."""
    named = row.pop("named_model", None)
    asked = row.get("model")
    parameters = span.attributes.get(
        "llm.invocation_parameters" if step == "generate" else "embedding.invocation_parameters"
    )
    if asked is None and isinstance(parameters, str):
        asked = _asked(parameters)
    if asked is None:
        row["model"] = named
        return
    row["model"] = asked
    if named is not None and (named != asked or (step == "embed" and "output.value" in span.attributes)):
        row.setdefault("response_model", named)


CONVENTION: Final[Convention] = Convention(
    "openinference",
    "OpenInference",
    rules=(
        Rule(
            KIND,
            {
                "llm": "generate",
                "embedding": "embed",
                "retriever": "retrieve",
                "reranker": "rerank",
                "tool": "tool",
                "guardrail": "guardrail",
                "agent": WORKFLOW,
                "chain": CHAIN,
                "evaluator": EVALUATION,
                "prompt": TASK,
                "unknown": TASK,
            },
            otherwise=TASK,
        ),
    ),
    refine=_refine,
    refines_by_name=True,
    settled_by=(KIND,),
    extract=_extract,
    fields=(
        Field("model", ("llm.request.model_name",), text),
        Field("response_model", ("llm.response.model_name",), text),
        Field("named_model", ("llm.model_name", "embedding.model_name", "reranker.model_name"), text),
        Field("provider", ("llm.provider", "llm.system"), text),
        Field("input_tokens", ("llm.token_count.prompt",), given, _GENERATES | _EMBEDS),
        Field("output_tokens", ("llm.token_count.completion",), whole, _GENERATES),
        Field("cached_tokens", ("llm.token_count.prompt_details.cache_read",), whole),
        Field("reasoning_tokens", ("llm.token_count.completion_details.reasoning",), whole),
        Field("cost_usd", ("llm.cost.total",), cost),
        Field("top_k", ("reranker.top_k",), whole),
        Field("session", ("session.id",), text),
        Field("user", ("user.id",), text),
        Field("prompt_version", ("llm.prompt_template.version",), text),
    ),
    packed=(
        (
            "documents",
            "retrieval.documents.N.document.*, else retrieval.documents as JSON; missing ids from output.value",
        ),
        ("model", "llm.invocation_parameters"),
        ("response_id", "output.value"),
        ("first_chunk_s", f"event {FIRST_CHUNK}"),
        ("cache_result", "output.value: usage_metadata.total_cost 0 (LangChain)"),
        ("user", "metadata.user_id"),
        ("tenant", "metadata.tenant, tag.tags"),
    ),
    lacks=(
        ("top_k", "a vector store's own instrumentor"),
        ("data_source", "a vector store's own instrumentor"),
        ("cost_usd", "a price table of yours: ragwatch agent --prices FILE"),
    ),
)
