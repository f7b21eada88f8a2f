"""Figures as people read them; a dash is what nobody knows."""

from __future__ import annotations

from ragwatch.catalogue import DURATION_BUCKETS
from ragwatch.kpi.quality import Estimate

UNKNOWN = "–"


def percent(value: float | None) -> str:
    """A share.

    >>> percent(0.123), percent(None)
    ('12.3%', '–')
    """
    return UNKNOWN if value is None else f"{value:.1%}"


def quantile(seconds: float | None) -> str:
    """A quantile from buckets: below the first edge nothing finer is known.

    >>> quantile(0.001), quantile(0.25)
    ('< 5 ms', '250.0 ms')
    """
    if seconds is not None and seconds < DURATION_BUCKETS[0]:
        return f"< {DURATION_BUCKETS[0] * 1e3:.0f} ms"
    return duration(seconds)


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
