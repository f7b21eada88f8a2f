"""A trace while it waits in the assembler, and what is remembered of it after."""

from __future__ import annotations

from typing import NamedTuple

from ragwatch.assembly.node import Node, Origin
from ragwatch.record import Step


class Done(NamedTuple):
    """What is remembered of a trace that was handed on; one whose root never came may go on for hours."""

    called: str | None
    rooted: bool


WHOLE = Done(None, rooted=True)


class Waiting:
    """The spans of one trace that wait for the root of their query."""

    __slots__ = (
        "again", "alone", "bytes", "called", "counted", "first_row", "links", "nodes", "origin", "own_root", "root_at",
        "roots", "since", "steps", "tells", "uncounted",
    )  # fmt: skip

    def __init__(self, origin: Origin, row: int, now: float) -> None:
        self.origin = origin
        self.first_row = row
        self.since = now
        self.bytes = 0.0
        self.root_at: float | None = None
        self.own_root = False
        self.again = False
        """A part of it was handed on before: what now comes without a query has come too late."""
        self.alone = False
        """A step of ragwatch's is on top of it."""
        self.called: str | None = None
        """The service of a span in it whose parent is another process'."""
        self.steps: list[Step] = []
        self.roots: list[Step] = []
        self.uncounted: list[str] = []
        """Own steps that their process has not counted."""
        self.nodes: list[Node] = []
        """Everybody else's."""
        self.tells = False
        """One of the others is more than transport."""
        self.links: dict[str, str] = {}
        self.counted = False

    def has_counted(self, step: Step) -> bool:
        """Whether the process of one of ragwatch's own steps has counted it."""
        return not self.uncounted or step.span_id not in self.uncounted

    @property
    def size(self) -> int:
        """How many spans it holds."""
        return len(self.steps) + len(self.roots) + len(self.nodes)
