"""A distribution of times: an HdrHistogram with seconds at its edges."""

from __future__ import annotations

from typing import Any

from hdrh.histogram import HdrHistogram

LONGEST_S = 3600.0
DIGITS = 3
BITS = 11  # what an HdrHistogram of three digits keeps of a value
QUANTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}


class Spread:
    """Times from 1 µs to an hour, kept to three digits, whatever their number.

    They are counted by value and put into the histogram when a figure is wanted: a quarter of the time, while
    questions are due.

    >>> spread = Spread()
    >>> for number in range(1, 1001): spread.add(number / 1000)
    >>> round(spread.quantile(99), 3), round(spread.mean, 4), spread.count
    (0.99, 0.5005, 1000)
    """

    __slots__ = ("_held", "_new", "count", "longest_s", "sum")

    def __init__(self) -> None:
        self._held: Any = None
        self._new: dict[int, int] = {}
        self.sum = 0.0
        self.count = 0
        self.longest_s = 0.0

    def add(self, seconds: float) -> None:
        """Record a time; a negative one (a clock's step) is 0."""
        seconds = min(max(seconds, 0.0), LONGEST_S)
        value = int(seconds * 1e6 + 0.5) or 1
        less = value.bit_length() - BITS
        if less > 0:
            value = value >> less << less
        self._new[value] = self._new.get(value, 0) + 1
        self.sum += seconds
        self.count += 1
        self.longest_s = max(self.longest_s, seconds)

    def merge(self, other: Spread) -> None:
        """Add another's times."""
        if other.count:
            self._histogram().add(other._histogram())
            self.sum += other.sum
            self.count += other.count
            self.longest_s = max(self.longest_s, other.longest_s)

    @property
    def mean(self) -> float | None:
        """The mean in seconds; None without an observation."""
        return self.sum / self.count if self.count else None

    def quantile(self, percent: float) -> float | None:
        """The time that ``percent`` of the observations do not exceed; None without an observation."""
        return self._histogram().get_value_at_percentile(percent) / 1e6 if self.count else None

    def to_dict(self) -> dict[str, float | int | None]:
        """Mean, quantiles, maximum in seconds, and n."""
        out: dict[str, float | int | None] = {name: self.quantile(percent) for name, percent in QUANTILES.items()}
        return {**out, "mean": self.mean, "max": self.longest_s if self.count else None, "n": self.count}

    def _histogram(self) -> Any:
        if self._held is None:
            self._held = HdrHistogram(1, int(LONGEST_S * 1e6), DIGITS)
        for value, times in self._new.items():
            self._held.record_value(value, times)
        self._new.clear()
        return self._held
