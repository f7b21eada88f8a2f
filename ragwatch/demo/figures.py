"""Figures as people read them; a dash is what nobody knows."""

from __future__ import annotations

from bisect import bisect_left

from ragwatch.catalogue import DURATION_BUCKETS
from ragwatch.kpi.quality import Estimate

UNKNOWN = "–"
FEW = 20
"""Values, of which no quantile is read between the bounds of a bucket."""


def percent(value: float | None) -> str:
    """A share.

    >>> percent(0.123), percent(None)
    ('12.3%', '–')
    """
    return UNKNOWN if value is None else f"{value:.1%}"


def quantile(seconds: float | None, n: int | None = None, mean: float | None = None) -> str:
    """A quantile from buckets, of ``n`` values: below the first edge nothing finer is known, nor in a bucket of a few.

    A single value is its own ``mean``; where it is one of a few, the bound of its bucket is what is known.

    >>> quantile(0.001), quantile(0.25), quantile(0.38, 1, 0.3), quantile(0.38, 4, 0.31), quantile(0.38, 40, 0.31)
    ('< 5 ms', '250.0 ms', '300.0 ms', '≤ 500 ms', '380.0 ms')
    >>> quantile(DURATION_BUCKETS[-1], 2, 200.0)
    '> 60 s'
    """
    if n == 1 and mean is not None:
        return duration(mean)
    if seconds is not None and seconds < DURATION_BUCKETS[0]:
        return f"< {_edge(DURATION_BUCKETS[0])}"
    if seconds is not None and n is not None and n < FEW:
        at = bisect_left(DURATION_BUCKETS, seconds)
        last = len(DURATION_BUCKETS) - 1
        return f"≤ {_edge(DURATION_BUCKETS[at])}" if at < last else f"> {_edge(DURATION_BUCKETS[last - 1])}"
    return duration(seconds)


def _edge(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1e3:g} ms"


def duration(seconds: float | None) -> str:
    """A time in its unit.

    >>> duration(1.5), duration(0.000012)
    ('1.50 s', '12 µs')
    """
    if seconds is None:
        return UNKNOWN
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def estimate(value: Estimate | None) -> str:
    """An estimate with its interval."""
    return UNKNOWN if value is None else f"{value.value:.2f} [{value.low:.2f}–{value.high:.2f}]"
