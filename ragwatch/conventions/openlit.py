"""OpenLIT: OpenTelemetry GenAI names, with fillers where it knows nothing."""

from __future__ import annotations

from typing import Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.table import Convention, Field, Row, cost, flag, number, text

_STREAMS: Final = ("gen_ai.request.stream", "gen_ai.request.is_stream")


def _extract(row: Row, span: RawSpan, step: str) -> None:
    first = row.pop("server_first_token_s", None)
    attributes = span.attributes
    if step == "generate" and first is not None and any(flag(attributes.get(key)) for key in _STREAMS):
        row.setdefault("first_chunk_s", first)  # of a call that does not stream it is the whole duration


CONVENTION: Final[Convention] = Convention(
    "openlit",
    "OpenLIT",
    extract=_extract,
    marks=("gen_ai.server.time_to_first_token",),
    fields=(
        Field("cost_usd", ("gen_ai.usage.cost",), cost),
        Field("server_first_token_s", ("gen_ai.server.time_to_first_token",), number, frozenset({"generate"})),
        Field("user", ("gen_ai.request.user",), text),
    ),
    packed=(("first_chunk_s", "gen_ai.server.time_to_first_token where gen_ai.request.stream is true"),),
    lacks=(("reasoning_tokens", "another instrumentor"), ("documents", "another instrumentor: it says how many rows")),
)
