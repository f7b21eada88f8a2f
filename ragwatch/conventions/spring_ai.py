"""Spring AI (Java): spans with ``spring.ai.kind``; its model calls and embeddings are OpenTelemetry GenAI spans.

Micrometer writes every value as text, and ``none`` where there is none.
"""

from __future__ import annotations

from typing import Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import put_documents, unpack
from ragwatch.conventions.table import CHAIN, STORE_READ, TASK, Convention, Field, Row, Rule, number, text

KIND: Final = "spring.ai.kind"
DOCUMENTS: Final = "db.vector.query.response.documents"
_OPERATION: Final = "db.operation.name"
_DOES: Final = {"query": "retrieve", "add": "ingest", "delete": "ingest"}


def _refine(span: RawSpan) -> str | None:
    """A vector store is called to search or to write."""
    if span.attributes.get(KIND) != "vector_store":
        return None
    return _DOES.get(str(span.attributes.get(_OPERATION)).lower())


def _extract(row: Row, span: RawSpan, step: str) -> None:
    if row.get("session") == "default":
        del row["session"]  # what is filled in where the app names no conversation
    if step == "retrieve" and DOCUMENTS in span.attributes:
        found = unpack(span.attributes[DOCUMENTS], DOCUMENTS)
        if isinstance(found, list | tuple):
            put_documents(row, [{"text": item} if isinstance(item, str) else item for item in found])


def _as_number(value: object) -> float | None:
    if not isinstance(value, str):
        return number(value)
    try:
        return number(float(value))
    except ValueError:
        return None


CONVENTION: Final[Convention] = Convention(
    "spring_ai",
    "Spring AI (Java)",
    rules=(
        Rule(
            KIND,
            {
                "chat_client": CHAIN,
                "advisor": TASK,
                "chat_client_advisor": TASK,
                "tool_call": "tool",
                "vector_store": STORE_READ,
            },
        ),
    ),
    refine=_refine,
    settled_by=(KIND, _OPERATION),
    extract=_extract,
    marks=(KIND,),
    fields=(
        Field("score_threshold", ("db.vector.query.similarity_threshold",), _as_number, frozenset({"retrieve"})),
        Field("session", ("spring.ai.chat.client.conversation.id",), text),
        Field("question", ("spring.ai.chat.client.user.text",), text, frozenset({"query"})),
    ),
    packed=(("documents", f"{DOCUMENTS} (their texts)"),),
    lacks=(
        ("documents", "spring.ai.vectorstore.observations.log-query-response=true, and an exporter that keeps them"),
        ("first_chunk_s", "another instrumentor"),
    ),
)
