"""LlamaIndex's own tracing: spans that are named ``Class.method``; what they say stands in their events."""

from __future__ import annotations

from typing import Any, Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import at, mapping, put_documents, unpack
from ragwatch.conventions.table import TASK, WORKFLOW, Convention, Row, given, text, whole

SCOPE: Final = "llamaindex.opentelemetry.tracer"
_METHODS: Final = {
    "retrieve": "retrieve",
    "postprocess_nodes": "rerank",
    **dict.fromkeys(
        ("complete", "chat", "predict", "stream", "stream_complete", "stream_chat", "structured_predict",
         "chat_with_tools", "stream_chat_with_tools", "predict_and_call"),
        "generate",
    ),
    **dict.fromkeys(
        ("get_query_embedding", "get_text_embedding", "get_text_embeddings", "get_text_embedding_batch",
         "get_agg_embedding_from_queries"),
        "embed",
    ),
}  # fmt: skip
_RUNS: Final = frozenset({"query", "chat", "stream_chat", "run"})
_RUNNERS: Final = ("Engine", "Agent", "Workflow")
_READERS: Final = ("Splitter", "Parser", "Extractor")
_USAGE: Final = (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"))


def look(span: RawSpan, scope: str) -> str | None:
    """The step that a class' method is; a run is the public method of an engine, an agent or a workflow."""
    if scope != SCOPE:
        return None
    owner, _, method = span.name.rpartition(".")
    bare = method.lstrip("_")
    if bare not in _METHODS and bare not in _RUNS and bare[:1] == "a":
        bare = bare[1:]  # the asynchronous one of its name
    if owner.endswith(_RUNNERS):
        return WORKFLOW if bare in _RUNS and not method.startswith("_") else TASK
    if method == "__call__" or bare == "call":
        return "ingest" if owner.endswith(_READERS) else "tool" if owner.endswith("Tool") else TASK
    if owner.endswith("IngestionPipeline") and bare == "run":
        return "ingest"
    return _METHODS.get(bare, TASK)


def _extract(row: Row, span: RawSpan, step: str) -> None:
    for name, _, held in span.events or ():
        if step in {"generate", "embed"}:
            row.setdefault("model", text(held.get("model_dict.model_name")) or text(held.get("model_dict.model")))
            if "response.raw" in held:
                _answered(row, mapping(held["response.raw"], "response.raw"))
        elif step == "retrieve" and name == "RetrievalEndEvent":
            found = unpack(held.get("nodes"), "nodes")
            if isinstance(found, list | tuple):
                put_documents(row, found)
        elif step == "query":
            row.setdefault("question", text(held.get("query")) or text(held.get("user_msg")))
            row.setdefault("answer", text(held.get("response.response")))
        for key in ("question", "answer", "model"):
            if key in row and row[key] is None:
                del row[key]


def _answered(row: Row, raw: Any) -> None:
    """What the model's own answer says."""
    usage = at(raw, "usage") or {}
    for field, name in _USAGE:
        said = at(usage, name)
        row.setdefault(field, given(said) if field == "input_tokens" else whole(said))
    row.setdefault("cached_tokens", whole(at(usage, "prompt_tokens_details", "cached_tokens")))
    row.setdefault("reasoning_tokens", whole(at(usage, "completion_tokens_details", "reasoning_tokens")))
    row.setdefault("response_id", text(at(raw, "id")))
    row.setdefault("response_model", text(at(raw, "model")))


CONVENTION: Final[Convention] = Convention(
    "llama_index",
    "LlamaIndex's own tracing",
    look=look,
    settled_by=(),
    extract=_extract,
    packed=(
        ("documents", "event RetrievalEndEvent: nodes"),
        ("model", "events: model_dict.model_name"),
        ("input_tokens", "events: response.raw usage.prompt_tokens"),
        ("output_tokens", "events: response.raw usage.completion_tokens"),
        ("response_id", "events: response.raw id"),
        ("question", "event QueryStartEvent"),
        ("answer", "event QueryEndEvent"),
    ),
    lacks=(
        ("first_chunk_s", "the model client's own instrumentor"),
        ("cost_usd", "a price table of yours: ragwatch agent --prices FILE"),
    ),
)
