"""Which spans came lately: what comes twice, because an answer was lost on the way, is taken once."""

from __future__ import annotations

from typing import Final

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
REMEMBERED: Final = 30_000
"""Spans in each of two generations: the older one goes when the younger is full."""


def is_span_key(trace_id: bytes, span_id: bytes) -> bool:
    """Whether two ids are as long as OTLP wants them.

    >>> is_span_key(b"t" * 16, b"s" * 8), is_span_key(b"t" * 15, b"s" * 9)
    (True, False)
    """
    return len(trace_id) == TRACE_ID_BYTES and len(span_id) == SPAN_ID_BYTES


class SeenSpans:
    """Keys (trace and span id, 24 bytes) of spans that came, in memory that does not grow.

    >>> seen = SeenSpans()
    >>> seen.add({b"k" * 24})
    >>> seen.are_new({b"k" * 24}), seen.are_new({b"l" * 24}), seen.are_new({b"too short"})
    (False, True, False)
    """

    def __init__(self) -> None:
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def are_new(self, keys: set[bytes]) -> bool:
        """Whether none of these came before, and each is as long as a key."""
        return keys.isdisjoint(self._young) and keys.isdisjoint(self._old) and set(map(len, keys)) == _LENGTHS

    def add(self, keys: set[bytes]) -> None:
        """Remember these."""
        self._young |= keys
        if len(self._young) >= REMEMBERED:
            self._old, self._young = self._young, set()


_LENGTHS: Final = {TRACE_ID_BYTES + SPAN_ID_BYTES}
