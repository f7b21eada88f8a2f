"""Queries a second over the last minute, in sixty counters."""

from __future__ import annotations

from typing import Final

WINDOW_S: Final = 60


class RateWindow:
    """A ring of one-second counters.

    >>> rate = RateWindow()
    >>> for second in range(30): rate.note(1000.0 + second)
    >>> rate.per_second(now_s=1030.0)
    1.0
    """

    __slots__ = ("_counts", "_first_s", "_seconds")

    def __init__(self) -> None:
        self._counts = [0] * WINDOW_S
        self._seconds = [-1] * WINDOW_S
        self._first_s: float | None = None

    def note(self, at_s: float) -> None:
        """Count one at that time (seconds since the epoch)."""
        second = int(at_s)
        slot = second % WINDOW_S
        if self._seconds[slot] != second:
            if self._seconds[slot] > second:
                return
            self._seconds[slot] = second
            self._counts[slot] = 0
        self._counts[slot] += 1
        if self._first_s is None:
            self._first_s = at_s

    def per_second(self, now_s: float) -> float | None:
        """The rate over the last minute, or since the first one if that is shorter; None before the first."""
        if self._first_s is None:
            return None
        oldest = int(now_s) - WINDOW_S
        total = sum(count for count, second in zip(self._counts, self._seconds, strict=True) if second > oldest)
        return total / min(float(WINDOW_S), max(1.0, now_s - self._first_s))
