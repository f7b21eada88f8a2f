"""MLflow's tracing: spans with ``mlflow.spanType``, all of whose values are JSON."""

from __future__ import annotations

from typing import Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.read_json import read_json
from ragwatch.conventions.shapes import at, mapping, put_documents, question_in, unpack
from ragwatch.conventions.table import (
    CHAIN,
    EVALUATION,
    TASK,
    WORKFLOW,
    Convention,
    Field,
    Row,
    Rule,
    cost,
    given,
    text,
    whole,
)

TYPE: Final = "mlflow.spanType"
INPUTS, OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
USAGE, COST = "mlflow.chat.tokenUsage", "mlflow.llm.cost"
_CHUNKS: Final = frozenset({"mlflow.chunk.item.0"})
_TYPES: Final = {
    "llm": "generate",
    "chat_model": "generate",
    "embedding": "embed",
    "retriever": "retrieve",
    "reranker": "rerank",
    "tool": "tool",
    "guardrail": "guardrail",
    "agent": WORKFLOW,
    "workflow": WORKFLOW,
    "chain": CHAIN,
    "evaluator": EVALUATION,
    "parser": TASK,
    "memory": TASK,
    "task": TASK,
    "unknown": None,
}


def said(value: object) -> str | None:
    """A text that stands as JSON.

    >>> said('"gpt-4o"'), said("gpt-4o"), said("null"), said("")
    ('gpt-4o', 'gpt-4o', None, None)
    """
    if isinstance(value, str) and value[:1] == '"':
        try:
            value = read_json(value)
        except ValueError:
            return None
    return text(value) if value != "null" else None


def _extract(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    if step in {"retrieve", "rerank"}:
        found = unpack(attributes.get(OUTPUTS), OUTPUTS)
        if isinstance(found, list):
            put_documents(row, found)
    elif step in {"generate", "embed"}:
        _called(row, span, step)
    elif step == "query":
        row.setdefault("question", text(question_in(mapping(attributes.get(INPUTS), INPUTS))))
        row.setdefault("answer", said(attributes.get(OUTPUTS)))


def _called(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    output = mapping(attributes.get(OUTPUTS), OUTPUTS)
    usage = mapping(attributes.get(USAGE), USAGE) or at(output, "usage") or {}
    asked = text(mapping(attributes.get(INPUTS), INPUTS).get("model"))
    answered = row.pop("response_model", None)
    row.setdefault("model", asked or answered)
    if asked is not None and answered is not None and (answered != asked or output):
        row["response_model"] = answered
    row.setdefault("response_id", text(output.get("id")))
    row["input_tokens"] = given(at(usage, "input_tokens") or at(usage, "prompt_tokens"))
    if step == "generate":
        row["output_tokens"] = whole(at(usage, "output_tokens") or at(usage, "completion_tokens"))
        row["cached_tokens"] = whole(at(usage, "cache_read_input_tokens"))
        row["cost_usd"] = cost(mapping(attributes.get(COST), COST).get("total_cost"))
        row["first_chunk_s"] = span.seconds_until(_CHUNKS)


CONVENTION: Final[Convention] = Convention(
    "mlflow",
    "MLflow's tracing",
    rules=(Rule(TYPE, {**_TYPES, **{f'"{name}"': role for name, role in _TYPES.items()}}),),
    extract=_extract,
    marks=(TYPE,),
    fields=(
        Field("response_model", ("mlflow.llm.model",), said, frozenset({"generate", "embed"})),
        Field("provider", ("mlflow.llm.provider",), said),
        Field("session", ("mlflow.trace.session",), said),
        Field("user", ("mlflow.trace.user",), said),
    ),
    packed=(
        ("model", f"{INPUTS} model"),
        ("response_id", f"{OUTPUTS} id"),
        ("input_tokens", f"{USAGE} input_tokens, else {OUTPUTS} usage"),
        ("output_tokens", f"{USAGE} output_tokens, else {OUTPUTS} usage"),
        ("cost_usd", f"{COST} total_cost"),
        ("first_chunk_s", "first event mlflow.chunk.item.0"),
        ("documents", OUTPUTS),
        ("question", INPUTS),
        ("answer", OUTPUTS),
    ),
    lacks=(
        ("session", "an attribute session.id: what MLflow keeps of a trace is not on its spans"),
        ("top_k", "a vector store's own instrumentor"),
    ),
)
