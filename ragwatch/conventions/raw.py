"""A span as it came, before anything is made of it."""

from __future__ import annotations

from typing import Any, NamedTuple


class RawSpan(NamedTuple):
    """A span as it came; its ids are not checked. Arrays are tuples; no ``events`` and no ``links`` are None.

    An event is (name, time_ns, attributes); a link is (trace_id, span_id, trace_state, attributes).
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]] | None
    links: list[tuple[bytes, bytes, str, dict[str, Any]]] | None
    status_code: int
    status_message: str
    trace_state: str
    flags: int
    dropped_attributes: int

    def seconds_until(self, events: frozenset[str]) -> float | None:
        """From its start to the first event that has one of those names; None where there is none."""
        for name, time_ns, _ in self.events or ():
            if name in events:
                return max(0, time_ns - self.start_ns) / 1e9
        return None
