"""Figures as people read them, in the terminal and on the page; a dash for what is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MUCH = 10.0


def time(seconds: float | None) -> str:
    """A duration.

    >>> time(0.0123), time(1.5), time(0.0000123), time(None)
    ('12.3 ms', '1.50 s', '12 µs', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def tick(seconds: float) -> str:
    """A duration beside an axis: no more digits than it has.

    >>> tick(0.05), tick(1.0)
    ('50 ms', '1 s')
    """
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def rate(value: float | None) -> str:
    """So many a second."""
    return "–" if value is None else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def figure(name: str, value: float) -> str:
    """A compared figure by its name: a quantile, a rate, a share.

    >>> figure("p95", 0.25), figure("throughput", 51.23), figure("recall_at_5", 0.5)
    ('250.0 ms', '51.2', '0.500')
    """
    if name.startswith("p"):
        return time(value)
    return rate(value) if name == "throughput" else f"{value:.3f}"


def judged_of(row: Mapping[str, Any]) -> str:
    """On how many of its answers an accuracy rests; empty where it has none.

    >>> judged_of({"recall_at_5": {}, "judged": 1200, "answered": 3000}), judged_of({"recall_at_5": None})
    ('1,200 of 3,000 answers', '')
    """
    if row["recall_at_5"] is None:
        return ""
    judged, answered = row.get("judged", row["recall_at_5"].get("n", 0)), row["answered"]
    return f"all {answered:,} answers" if judged == answered else f"{judged:,} of {answered:,} answers"


def estimate(found: dict[str, float] | None) -> str:
    """A share with its interval."""
    return "–" if found is None else f"{found['value']:.2f} [{found['low']:.2f}–{found['high']:.2f}]"


def change(share: float) -> str:
    """A change in per cent; past tenfold its digits say nothing.

    >>> change(0.034), change(23394206010.48)
    ('+3.4%', 'more than +1000%')
    """
    return f"{share:+.1%}" if share <= MUCH else f"more than {MUCH:+.0%}"


def interval(row: Mapping[str, Any]) -> str:
    """The interval of a change.

    >>> interval({"low": -0.885, "high": 826.0}), interval({"low": None, "high": None})
    ('-88.5% to more than +1000%', 'unknown')
    """
    return "unknown" if row["low"] is None else f"{change(row['low'])} to {change(row['high'])}"
