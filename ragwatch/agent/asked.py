"""What is asked of the stored queries: one value, which the parameters make and the search answers."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Search(NamedTuple):
    """What is asked for; None and False leave a thing open. Times are seconds, ``since_s`` since the epoch."""

    since_s: float | None = None
    outcome: str | None = None
    bad: bool = False
    empty: bool = False
    step: str | None = None
    error_class: str | None = None
    document: str | None = None
    service: str | None = None
    slower_than_s: float | None = None
    order: Literal["newest", "slowest"] = "newest"
    limit: int = 50
    after: tuple[int, int] | None = None
    """Where the page before ended: (end or duration in ns, id)."""
