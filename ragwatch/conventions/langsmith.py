"""LangSmith's OpenTelemetry exporter: spans with ``langsmith.span.kind``, in OpenTelemetry GenAI's names.

Its operations are misleading (a retriever's is ``embeddings``, a prompt's is ``chat``), and so is its status: a run
that failed has an exception and a status that says that all is well.
"""

from __future__ import annotations

from typing import Any, Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import at, mapping, put_documents, question_in, unpack
from ragwatch.conventions.table import CHAIN, TASK, Convention, Field, Row, Rule, text, whole

KIND: Final = "langsmith.span.kind"
INPUT, OUTPUT = "gen_ai.prompt", "gen_ai.completion"
_INPUT_DETAILS, _OUTPUT_DETAILS = "gen_ai.usage.input_token_details", "gen_ai.usage.output_token_details"
_OF: Final = "langsmith.metadata."


def _extract(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    row.pop("operation", None)
    if step in {"retrieve", "rerank"}:
        found = unpack(attributes.get(OUTPUT), OUTPUT)
        if isinstance(found, dict):
            found = found.get("documents", found.get("output"))
        if isinstance(found, list):
            put_documents(row, [_of_langchain(item) for item in found])
    elif step == "generate":
        row.setdefault(
            "cached_tokens", whole(mapping(attributes.get(_INPUT_DETAILS), _INPUT_DETAILS).get("cache_read"))
        )
        row.setdefault(
            "reasoning_tokens", whole(mapping(attributes.get(_OUTPUT_DETAILS), _OUTPUT_DETAILS).get("reasoning"))
        )
    elif step == "query":
        row.setdefault("question", text(question_in(mapping(attributes.get(INPUT), INPUT))))
        row.setdefault("answer", text(mapping(attributes.get(OUTPUT), OUTPUT).get("output")))


def _of_langchain(item: Any) -> Any:
    """A document as LangChain writes its own objects down."""
    held = at(item, "kwargs")
    return held if isinstance(held, dict) else item


CONVENTION: Final[Convention] = Convention(
    "langsmith",
    "LangSmith's OpenTelemetry exporter",
    rules=(
        Rule(
            KIND,
            {
                "llm": "generate",
                "retriever": "retrieve",
                "embedding": "embed",
                "tool": "tool",
                "chain": CHAIN,
                "prompt": TASK,
                "parser": TASK,
            },
        ),
    ),
    extract=_extract,
    marks=(KIND,),
    fails_by_event=True,
    fields=(
        Field("session", tuple(f"{_OF}{name}" for name in ("session_id", "thread_id", "conversation_id")), text),
        Field("user", (f"{_OF}user_id",), text),
        Field("tenant", (f"{_OF}tenant_id", f"{_OF}tenant"), text),
        Field("prompt_version", (f"{_OF}prompt_version", f"{_OF}lc_hub_commit_hash"), text),
    ),
    packed=(
        ("documents", f"{OUTPUT} documents[]"),
        ("cached_tokens", f"{_INPUT_DETAILS} cache_read"),
        ("reasoning_tokens", f"{_OUTPUT_DETAILS} reasoning"),
        ("question", INPUT),
        ("answer", OUTPUT),
    ),
    lacks=(
        ("top_k", "a vector store's own instrumentor"),
        ("cost_usd", "a price table of yours: ragwatch agent --prices FILE"),
    ),
)
