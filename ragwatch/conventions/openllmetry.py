"""OpenLLMetry: spans with ``traceloop.span.kind``; the model calls of its clients are OpenTelemetry GenAI spans."""

from __future__ import annotations

from typing import Final

from ragwatch.conventions.handmade import step_of_name
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import at, mapping, put_documents, unpack
from ragwatch.conventions.table import TASK, WORKFLOW, Convention, Field, Row, Rule, text

KIND: Final = "traceloop.span.kind"
ENTITY: Final = "traceloop.entity.name"
INPUT: Final = "traceloop.entity.input"
OUTPUT: Final = "traceloop.entity.output"
_BUNDLES: Final = ('{"str_or_query_bundle"', '{"query_bundle"')
_OF: Final = "traceloop.association.properties."


def _refine(span: RawSpan) -> str | None:
    """A model or an embedder that is called by itself is a workflow to OpenLLMetry; its class' name tells.

    A workflow that the app named itself is one.
    """
    name = str(span.attributes.get(ENTITY) or span.name)
    return step_of_name(name) if _kind(span) == "workflow" and name[:1].isupper() and "_" not in name else None


def _look(span: RawSpan, _scope: str) -> str | None:
    """A LlamaIndex retriever of the app's own has any name: it takes a query bundle and gives a list."""
    attributes = span.attributes
    if _kind(span) != "task" or not str(attributes.get(OUTPUT, "")).startswith("["):
        return None
    return "retrieve" if str(attributes.get(INPUT, "")).startswith(_BUNDLES) else None


def _kind(span: RawSpan) -> str:
    return str(span.attributes.get(KIND)).lower()


def _extract(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    if step in {"retrieve", "rerank"} and "documents" not in row and OUTPUT in attributes:
        found = unpack(attributes[OUTPUT], OUTPUT)
        if isinstance(found, dict):
            found = at(found, "kwargs", "output") or found.get("outputs") or found.get("documents")
        if isinstance(found, list | tuple):
            put_documents(row, found)
    if step == "retrieve" and "top_k" not in row and INPUT in attributes:
        top_k = at(mapping(attributes[INPUT], INPUT), "kwargs", "k")
        if isinstance(top_k, int):
            row["top_k"] = top_k
    if step == "query":
        given = mapping(attributes.get(INPUT), INPUT)
        for name in ("query", "query_str", "question", "str_or_query_bundle", "input", "inputs"):
            asked = given.get(name)
            if isinstance(asked, str) and asked:
                row.setdefault("question", asked)
                break
        answer = mapping(attributes.get(OUTPUT), OUTPUT)
        row.setdefault("answer", text(answer.get("response") or answer.get("outputs")))


CONVENTION: Final[Convention] = Convention(
    "openllmetry",
    "OpenLLMetry",
    rules=(Rule(KIND, {"workflow": WORKFLOW, "agent": WORKFLOW, "tool": "tool", "task": None, "unknown": None}),),
    refine=_refine,
    look=_look,
    settled_by=(KIND, ENTITY),
    beginnings=((OUTPUT, ("[",)), (INPUT, _BUNDLES)),
    heeds=(KIND,),
    extract=_extract,
    marks=(ENTITY,),
    fields=(
        Field(
            "session",
            tuple(f"{_OF}{name}" for name in ("session_id", "conversation_id", "thread_id", "chat_id")),
            text,
        ),
        Field("user", (f"{_OF}user_id", "gen_ai.user"), text),
        Field("tenant", (f"{_OF}tenant_id", f"{_OF}tenant"), text),
        Field("prompt_version", ("traceloop.prompt.version", f"{_OF}prompt_version"), text),
    ),
    packed=(
        ("documents", f"{OUTPUT} (JSON of the framework)"),
        ("question", INPUT),
        ("answer", OUTPUT),
    ),
    lacks=(
        ("documents", "content capture (TRACELOOP_TRACE_CONTENT=true): without it the documents are not on the span"),
        ("model", "the model client's own instrumentor: a framework's task names none"),
    ),
)
TASKS: Final[Convention] = Convention(
    "openllmetry",
    "OpenLLMetry",
    rules=(Rule(KIND, {"task": TASK, "unknown": TASK}, otherwise=TASK),),
    extract=_extract,
)
"""What is left of it once names have been looked at."""
