"""What a panel and a dashboard are, as plain values; ``codegen.grafana`` makes Grafana's JSON of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["stat", "timeseries", "heatmap", "state"]
Level = tuple[float | None, str]
"""(from which value on, colour); the first begins at None."""

GOOD, WARN, BAD = "green", "orange", "red"
NEUTRAL: tuple[Level, ...] = ((None, "blue"),)
"""One colour: nothing says what would be good or bad."""


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel, and how its series are named."""

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A question, the queries that answer it, and what to do when the answer is bad. Width is of 24."""

    title: str
    description: str
    targets: tuple[Target, ...]
    unit: str
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    levels: tuple[Level, ...] = ()
    low: float | None = None
    high: float | None = None
    stacked: bool = False
    link: str = ""
    """The uid of the dashboard to look at next."""
    names: tuple[tuple[int, str], ...] = ()
    """What the values of a state are called."""
    band: bool = False
    """A series ``x`` has its interval from ``x low`` to ``x high``; ``x`` is a value of the label ``source``."""


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard: rows of panels, each row with a heading; rows after the first may be folded."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    tags: tuple[str, ...] = ("ragwatch",)
    holder: str = "rag.query.duration"
    """The metric whose services and environments the dashboard's variables offer."""
    more: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Further variables: their metric and its label."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels."""
        return tuple(panel for _, panels in self.rows for panel in panels)


def levels(warn: float, bad: float, *, low_is_bad: bool = False) -> tuple[Level, ...]:
    """Three colours with two borders.

    >>> levels(0.9, 0.5, low_is_bad=True)
    ((None, 'red'), (0.5, 'orange'), (0.9, 'green'))
    """
    if low_is_bad:
        return ((None, BAD), (bad, WARN), (warn, GOOD))
    return ((None, GOOD), (warn, WARN), (bad, BAD))
