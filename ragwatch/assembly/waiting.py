"""A trace while it waits in the assembler, and what is remembered of it after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from ragwatch import semconv
from ragwatch.assembly.complete import complete, incomplete
from ragwatch.assembly.node import Node, Origin
from ragwatch.conventions.own_late import read_steps
from ragwatch.conventions.own_wire import OwnTrace
from ragwatch.record import QueryRecord, Step


class Done(NamedTuple):
    """What is remembered of a trace that was handed on; one whose root never came may go on for hours."""

    called: str | None
    rooted: bool


WHOLE: Final = Done(None, rooted=True)
MAX_LINKS: Final = 1000
_Held = TypeVar("_Held")
_Some = list[_Held] | tuple[_Held, ...]
"""Most of a trace's lists stay empty: no tuple is made for that, and an empty list would take 56 bytes."""


class Waiting:
    """The spans of one trace that wait for the root of their query."""

    __slots__ = (
        "again", "alone", "bytes", "called", "counted", "links", "nodes", "origin", "own_root", "root_at",
        "roots", "rows", "since", "steps", "tells", "uncounted", "unread", "unread_roots",
    )  # fmt: skip

    def __init__(self, origin: Origin, row: int, now: float) -> None:
        self.origin = origin
        self.rows = [row]
        """The rows of the inbox that hold its spans."""
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
        self.steps: _Some[Step] = ()
        self.roots: _Some[Step] = ()
        self.uncounted: _Some[str] = ()
        """Own steps that their process has not counted."""
        self.unread: _Some[bytes] = ()
        """Spans of own steps that were put off: of those that their process has counted most are never looked at."""
        self.unread_roots: _Some[bytes] = ()
        """The same of queries."""
        self.nodes: _Some[Node] = ()
        """Everybody else's."""
        self.tells = False
        """One of the others is more than transport."""
        self.links: dict[str, str] | None = None
        """The parents of what is silent in it."""
        self.counted = False

    def take(self, came: OwnTrace) -> None:
        """Add what a request holds of it, whose lists become its own."""
        if came.steps:
            self.steps = self._more(self.steps, came.steps)
        if came.unread:
            self.unread = self._more(self.unread, came.unread)
        if came.uncounted:
            self.uncounted = self._more(self.uncounted, came.uncounted)
        if came.roots:
            self.roots = self._more(self.roots, came.roots)
        if came.unread_roots:
            self.unread_roots = self._more(self.unread_roots, came.unread_roots)

    def add_node(self, node: Node) -> None:
        """Add a span of anybody else's."""
        if isinstance(self.nodes, list):
            self.nodes.append(node)
        else:
            self.nodes = [node]

    def adopt(self, trace: Waiting) -> None:
        """Add another trace, which is a part of this one."""
        self.nodes = self._more(self.nodes, list(trace.nodes))
        self.bytes += trace.bytes
        self.rows += trace.rows

    def hold_on(self, trace: Waiting, nodes: list[Node]) -> None:
        """Take what is left of a trace when the rest of it was handed on."""
        self.rows, self.nodes = sorted({node.row for node in nodes}), nodes
        self.bytes = trace.bytes * len(nodes) / max(1, trace.size)
        self.again = self.tells = True

    def add_link(self, span_id: str, parent_id: str) -> None:
        """Remember the parent of a span that says nothing."""
        if self.links is None:
            self.links = {}
        if len(self.links) < MAX_LINKS:
            self.links[span_id] = parent_id

    def read(self) -> None:
        """Read what was put off."""
        uncounted: list[str] = []
        if self.unread_roots:
            self.roots = self._more(self.roots, read_steps(self.unread_roots, uncounted))
        if self.unread:
            self.steps = self._more(self.steps, read_steps(self.unread, uncounted))
        self.unread = self.unread_roots = ()
        if uncounted:
            self.uncounted = self._more(self.uncounted, uncounted)

    @staticmethod
    def _more(held: _Some[_Held], came: list[_Held]) -> list[_Held]:
        if isinstance(held, list):
            held += came
            return held
        return came

    def mark(self) -> None:
        """Mark what the queries say that their process has counted with them: its other exporters do not."""
        said = [(root.extra or {}).get(semconv.COUNTED_SPANS) for root in self.roots]
        ids = {str(held) for found in said if isinstance(found, list | tuple) for held in found}
        for node in self.nodes if ids else ():
            node.counted = node.counted or node.id in ids

    def told(self, steps: Iterable[Step]) -> Iterator[tuple[Step, bool]]:
        """Own steps, each with whether its process has counted it."""
        uncounted = frozenset(self.uncounted)
        return ((step, step.span_id not in uncounted) for step in steps)

    def query(self, root: Step, steps: Sequence[Step]) -> QueryRecord:
        """The record of one of its queries."""
        origin = self.origin
        return complete(
            root,
            steps,
            service=origin.service,
            environment=origin.environment,
            instance=origin.instance,
            version=origin.version,
            counted=self.counted,
        )

    def without_root(self, trace_id: bytes) -> QueryRecord:
        """The record of a query whose own span never came."""
        return incomplete(
            self.steps[0].parent_id or "",
            self.steps,
            trace_id=trace_id.hex(),
            origin=self.origin,
            counted=self.counted,
        )

    def done(self) -> Done:
        """What is to be remembered of it."""
        if self.root_at is not None and self.called is None:
            return WHOLE
        return Done(self.called, self.root_at is not None)

    def only_query(self) -> QueryRecord:
        """The record of the one query that it holds."""
        self.read()
        return self.query(self.roots[0], self.steps)

    @property
    def size(self) -> int:
        """How many spans it holds."""
        own = len(self.steps) + len(self.unread) + len(self.roots) + len(self.unread_roots)
        return own + len(self.nodes)
