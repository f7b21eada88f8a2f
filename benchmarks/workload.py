"""Workload W: a root span ``rag.query`` of eight attributes and five steps of the same eight; and what others send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from types import SimpleNamespace
from typing import Any

from ragwatch.conventions.decode_json import decode_traces_json
from ragwatch.conventions.raw import RawSpan
from ragwatch.sdk.wire import CountedSteps, ScopeKey, TraceEncoder

STEPS = ("cache", "embed", "retrieve", "rerank", "generate")


def attributes(number: int) -> dict[str, Any]:
    """The eight attributes; scores differ from query to query, token counts repeat."""
    return {
        "rag.step": "query",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.provider.name": "openai",
        "rag.top_k": 5,
        "rag.docs": 5,
        "rag.score": 0.5 + number * 1e-6,
        "gen_ai.usage.input_tokens": 100 + number % 50,
        "gen_ai.usage.output_tokens": 20 + number % 30,
    }


class Requests:
    """Serialised trace requests of a fixed number of spans, each with ids of its own.

    One request is encoded; the ids of the next are patched into its bytes, so that a generator costs next to nothing.
    """

    def __init__(self, spans: int, *, counted: bool = False, service: str = "bench") -> None:
        self.whole_queries = spans // 6
        held = []
        for number in range(spans):
            query, index = divmod(number, 6)
            step = (*STEPS, "query")[index]
            trace_id, root_id = _identity(query, 16), _identity(query << 8, 8)
            span_id = root_id if step == "query" else _identity(query << 8 | index + 1, 8)
            found = attributes(query) | {"rag.step": step}
            held.append((ScopeKey("bench"), _span(step, trace_id, span_id, root_id, index, found)))
        self._body = bytearray(_encoded(held, service, counted=counted))
        self._places = _places_of(self._body)

    def make(self, number: int) -> bytes:
        """The request of that number: no two numbers share an id."""
        body = self._body
        ids = (0x1000_0000 + number).to_bytes(4, "big")
        for place in self._places:
            body[place : place + 4] = ids
        return bytes(body)


class CapturedRequests(Requests):
    """The same of other instrumentors' spans: real captures, until there are enough."""

    def __init__(self, spans: int, *, rate: float, service: str = "bench") -> None:
        held: list[tuple[ScopeKey, Any]] = []
        self.whole_queries = 0
        ids: dict[bytes, int] = {}
        while len(held) < spans:
            ids.clear()  # each time round they are other traces
            for path in sorted(CAPTURES.glob("*.otlp.jsonl")):
                for scope, raw in _captured(path):
                    if len(held) < spans:
                        held.append((scope, _replayed(raw, ids, len(held) << 16)))
        self._body = bytearray(_encoded(held, service))
        self._places = _places_of(self._body)
        self._times = [(place, time_ns) for _, span in held for place, time_ns in _times_of(self._body, span)]
        self._apart_ns = round(spans / rate * 1e9)

    def make(self, number: int) -> bytes:
        """The request of that number, whose calls were made that much later: calls are told apart by their time."""
        shift_ns = number * self._apart_ns
        for place, time_ns in self._times:
            _PUT_TIME(self._body, place, time_ns + shift_ns)
        return super().make(number)


CAPTURES = Path(__file__).resolve().parent.parent / "tests" / "data" / "captures"
_PUT_TIME = Struct("<Q").pack_into
_MARK = b"\xfe\xed\xfa\xce"


def _identity(number: int, size: int) -> int:
    """An id whose first four bytes are patched from request to request."""
    return int.from_bytes(_MARK + number.to_bytes(size - 4, "big"), "big")


def _captured(path: Path) -> Iterator[tuple[ScopeKey, RawSpan]]:
    for line in path.read_bytes().splitlines():
        for _, scopes in decode_traces_json(line):
            for scope, spans in scopes:
                for raw in spans:
                    yield ScopeKey(scope.name, scope.version), raw


def _replayed(raw: RawSpan, ids: dict[bytes, int], first: int) -> Any:
    """A captured span under other ids; the links of a trace hold."""

    def other(identity: bytes) -> int:
        return _identity(ids.setdefault(identity, first + len(ids)), len(identity)) if identity else 0

    return SimpleNamespace(
        name=raw.name, kind_number=raw.kind, trace_id=other(raw.trace_id), span_id=other(raw.span_id),
        parent_span_id=other(raw.parent_id), trace_state_header=raw.trace_state, flags=raw.flags,
        start_ns=raw.start_ns, end_ns=raw.end_ns, attribute_map=raw.attributes,
        event_list=[(name, time_ns, held, 0) for name, time_ns, held in raw.events or ()] or None, link_list=None,
        status_number=raw.status_code, status_message=raw.status_message, dropped_attributes=0, dropped_events=0,
        dropped_links=0,
    )  # fmt: skip


def _encoded(held: list[tuple[ScopeKey, Any]], service: str, *, counted: bool = False) -> bytes:
    encoder = TraceEncoder({"service.name": service, "deployment.environment.name": "bench"})
    groups: dict[ScopeKey, list[bytes]] = {}
    for scope, span in held:
        first = CountedSteps()[span.attribute_map.pop("rag.step")] if counted else b""
        groups.setdefault(scope, []).append(encoder.span(span, first))
    return encoder.request(groups.items())


def _times_of(body: bytearray, span: Any) -> Iterator[tuple[int, int]]:
    """Where a span's start and end stand: behind its id, as fields 7 and 8."""
    at = body.find(b"\x12\x08" + span.span_id.to_bytes(8, "big"))
    for tag, time_ns in ((b"\x39", span.start_ns), (b"\x41", span.end_ns)):
        yield body.index(tag + time_ns.to_bytes(8, "little"), at) + 1, time_ns


def _places_of(body: bytearray) -> list[int]:
    places, at = [], body.find(_MARK)
    while at >= 0:
        places.append(at)
        at = body.find(_MARK, at + 4)
    return places


def _span(step: str, trace_id: int, span_id: int, root_id: int, index: int, found: dict[str, Any]) -> Any:
    start = 1_700_000_000_000_000_000 + index * 10_000_000
    return SimpleNamespace(
        name="rag.query" if step == "query" else step, kind_number=1, trace_id=trace_id, span_id=span_id,
        parent_span_id=0 if step == "query" else root_id, trace_state_header="", flags=0x101,
        start_ns=1_700_000_000_000_000_000 if step == "query" else start, end_ns=start + 9_000_000, attribute_map=found,
        event_list=None, link_list=None, status_number=0, status_message="", dropped_attributes=0, dropped_events=0,
        dropped_links=0,
    )  # fmt: skip
