"""Workload W: a root span ``rag.query`` of eight attributes and five steps of the same eight."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ragwatch.sdk.wire import ScopeKey, TraceEncoder

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
        self.spans = spans
        self.queries = (spans + 5) // 6
        encoder = TraceEncoder({"service.name": service, "deployment.environment.name": "bench"})
        encoded: list[bytes] = []
        markers: list[bytes] = []
        for query in range(self.queries):
            trace_id = 0xFEEDFACE_00000000_00000000_00000000 | query << 32 | 0xABCD
            root_id = 0xFEEDFACE_00000000 | query << 8
            markers += [trace_id.to_bytes(16, "big"), root_id.to_bytes(8, "big")]
            for index, step in enumerate((*STEPS, "query")):
                if len(encoded) == spans:
                    break
                span_id = root_id if step == "query" else root_id | index + 1
                markers.append(span_id.to_bytes(8, "big"))
                found = attributes(query) | {"rag.step": step} | ({"ragwatch.counted": True} if counted else {})
                encoded.append(encoder.span(_span(step, trace_id, span_id, root_id, index, found)))
        self._body = bytearray(encoder.request([(ScopeKey("bench"), encoded)]))
        self._places = sorted({place for marker in markers for place in _find(self._body, marker)})
        self.whole_queries = spans // 6

    def make(self, number: int) -> bytes:
        """The request of that number: no two numbers share an id."""
        body = self._body
        ids = (0x1000_0000 + number).to_bytes(4, "big")
        for place in self._places:
            body[place : place + 4] = ids
        return bytes(body)


def _span(step: str, trace_id: int, span_id: int, root_id: int, index: int, found: dict[str, Any]) -> Any:
    start = 1_700_000_000_000_000_000 + index * 10_000_000
    return SimpleNamespace(
        name="rag.query" if step == "query" else step, kind_number=1, trace_id=trace_id, span_id=span_id,
        parent_span_id=0 if step == "query" else root_id, trace_state_header="", flags=0x101,
        start_ns=1_700_000_000_000_000_000 if step == "query" else start, end_ns=start + 9_000_000, attribute_map=found,
        event_list=None, link_list=None, status_number=0, status_message="", dropped_attributes=0, dropped_events=0,
        dropped_links=0,
    )  # fmt: skip


def _find(body: bytearray, marker: bytes) -> list[int]:
    places, at = [], body.find(marker)
    while at >= 0:
        places.append(at)
        at = body.find(marker, at + 1)
    return places
