"""The last calls of a breaker: how many there were, how many failed, how many were slow.

A count window holds the last n calls, a time window the calls of the last n seconds in a ring of buckets. Both answer
in constant time and memory, and neither reads a clock: the caller says what time it is.
"""

from __future__ import annotations

from typing import Protocol

FAILED = 1
SLOW = 2


class Window(Protocol):
    """What a breaker asks of its window; ``flags`` is a sum of ``FAILED`` and ``SLOW``."""

    calls: int
    failed: int
    slow: int

    def add(self, flags: int, now: float) -> None:
        """Take one call."""

    def clear(self) -> None:
        """Forget all calls."""


class CountWindow:
    """The last ``size`` calls.

    >>> window = CountWindow(2)
    >>> for flags in (FAILED, FAILED, 0): window.add(flags, now=0.0)
    >>> window.calls, window.failed
    (2, 1)
    """

    __slots__ = ("_place", "_ring", "calls", "failed", "slow")

    def __init__(self, size: int) -> None:
        self._ring = bytearray(size)
        self.calls = self.failed = self.slow = self._place = 0

    def add(self, flags: int, now: float) -> None:  # noqa: ARG002  (the time window's signature)
        """Take one call; the oldest one goes when the window is full."""
        ring, place = self._ring, self._place
        if self.calls == len(ring):
            gone = ring[place]
            if gone:
                self.failed -= gone & FAILED
                self.slow -= gone >> 1
        else:
            self.calls += 1
        ring[place] = flags
        if flags:
            self.failed += flags & FAILED
            self.slow += flags >> 1
        place += 1
        self._place = place if place < len(ring) else 0

    def clear(self) -> None:
        """Forget all calls."""
        self.calls = self.failed = self.slow = self._place = 0


class TimeWindow:
    """The calls of the last ``seconds``, to the nearest of ``buckets`` equal parts.

    >>> window = TimeWindow(10.0, buckets=10)
    >>> window.add(FAILED, now=0.5); window.add(0, now=9.5)
    >>> window.calls, window.failed
    (2, 1)
    >>> window.add(0, now=10.1)
    >>> window.calls, window.failed
    (2, 0)
    """

    __slots__ = ("_buckets", "_latest", "_width", "calls", "failed", "slow")

    def __init__(self, seconds: float, buckets: int = 10) -> None:
        self._width = seconds / buckets
        self._buckets = [[0, 0, 0] for _ in range(buckets)]
        self._latest: int | None = None
        self.calls = self.failed = self.slow = 0

    def add(self, flags: int, now: float) -> None:
        """Take one call."""
        number = int(now / self._width)
        if number != self._latest:
            self._turn(number)
        bucket = self._buckets[number % len(self._buckets)]
        bucket[0] += 1
        self.calls += 1
        if flags:
            bucket[1] += flags & FAILED
            bucket[2] += flags >> 1
            self.failed += flags & FAILED
            self.slow += flags >> 1

    def _turn(self, number: int) -> None:
        """Empty the buckets whose time has passed; a clock that stands still or was late empties nothing."""
        latest = number if self._latest is None else self._latest
        for step in range(min(len(self._buckets), number - latest)):
            bucket = self._buckets[(number - step) % len(self._buckets)]
            self.calls -= bucket[0]
            self.failed -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = 0, 0, 0
        self._latest = max(latest, number)

    def clear(self) -> None:
        """Forget all calls."""
        self.calls = self.failed = self.slow = 0
        self._latest = None
        for bucket in self._buckets:
            bucket[:] = 0, 0, 0
