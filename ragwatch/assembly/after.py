"""What comes of a trace after it was handed on: late steps of its queries, or runs that are queries of their own.

An instrumentor whose context leaks hangs one run below another, hours long, one after the other, in one trace. Of the
runs that were handed on the agent remembers what tells (``roots.Run``) and which spans they held, so that a run that
comes later is judged as if all had come at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ragwatch.assembly.node import Node, link
from ragwatch.assembly.roots import RUNS, Run, leaked
from ragwatch.assembly.seen_spans import SPAN_ID_BYTES

MAX_BYTES: Final = 8 << 20
"""What is remembered of runs; the traces that were handed on longest ago are forgotten first."""
RUN_BYTES: Final = 400
"""What a run takes beside the ids of its spans."""
MAX_RUNS: Final = 100
"""Of one trace; the oldest are forgotten, but for the first."""
MAX_SPANS: Final = 1000
"""Of one run."""


@dataclass
class Parts:
    """What becomes of the spans of a trace."""

    now: list[Node]
    """They are handed on."""
    late: list[Node] = field(default_factory=list)
    """They belong to what was handed on before."""
    told: list[Node] = field(default_factory=list)
    """They tell of a step that was handed on: a client's span within a framework's."""
    later: list[Node] = field(default_factory=list)
    """Their run may still come: they began after the one that is there had ended."""


class After:
    """The runs of traces that were handed on."""

    def __init__(self) -> None:
        self._runs: dict[bytes, list[Run]] = {}
        self._bytes = 0

    def knows(self, trace_id: bytes) -> bool:
        """Whether runs of this trace were handed on."""
        return trace_id in self._runs

    def remember(self, trace_id: bytes, nodes: Sequence[Node], *, is_called: bool = False) -> None:
        """Remember the runs among spans that are handed on; ``nodes`` as they were assembled, parents first.

        In a trace that others are ``called`` in every query is one: a part of it may come late from another service.
        """
        found = _runs_of(nodes, every_query=is_called)
        if not found:
            return
        held = self._runs.pop(trace_id, [])
        self._bytes -= _size(held)
        held = [*held, *found]
        held = held[:1] + held[1:][1 - MAX_RUNS :]
        self._runs[trace_id] = held
        self._bytes += _size(held)
        while self._bytes > MAX_BYTES:
            self._bytes -= _size(self._runs.pop(next(iter(self._runs))))

    def part(self, trace_id: bytes, nodes: Sequence[Node], before: float) -> Parts:
        """Divide the foreign spans of a trace that is due; what came ``before`` that time is not put off (again)."""
        runs = self._runs.get(trace_id)
        if runs is None:
            return _first(nodes, before)
        parts = Parts([])
        for top in link(nodes):
            tree = [top, *top.below()]
            around, step = _around(runs, top.span.parent_id) if top.lost else _NOTHING
            if not top.lost or (top.remote and around is None):
                parts.now.extend(tree)
                continue
            if around is None:
                begins = any(run.end_ns <= top.span.start_ns and run.origin == top.origin for run in runs)
                (parts.late if not begins else parts.later if _is_new(tree, before) else parts.now).extend(tree)
                continue
            own = leaked(around, tree)
            gone: set[int] = set()
            for root in own:
                run = [root, *root.below()]
                parts.now.extend(run)
                gone.update(map(id, run))
                root.span = root.span._replace(parent_id=b"")
            rest = [node for node in tree if id(node) not in gone]
            may_hold_runs = not own and not top.is_step and around.origin == top.origin
            if may_hold_runs and top.span.start_ns >= around.end_ns and _is_new(tree, before):
                parts.later.extend(rest)
                continue
            for node in rest:
                is_told = node.role == step and all(above.role == step for above in node.above() if above.is_step)
                (parts.told if is_told else parts.late).append(node)
        return parts


def _is_new(tree: Iterable[Node], before: float) -> bool:
    return any(node.came_at > before for node in tree)


def _first(nodes: Sequence[Node], before: float) -> Parts:
    """A trace that is handed on for the first time: what began after its run ended waits for a run of its own."""
    known = {node.span.span_id for node in nodes}
    if all(not node.span.parent_id or node.span.parent_id in known or node.remote for node in nodes):
        return Parts(list(nodes))
    tops = link(nodes)
    rooted = [top for top in tops if not top.lost or top.remote]
    ended = [
        (run.span.end_ns, run.origin)
        for top in rooted
        for run in (top, *top.below())
        if run.role in RUNS and not any(above.role in RUNS or above.is_step for above in run.above())
    ]
    parts = Parts([])
    elsewhere = {top.span.parent_id for top in tops if top.remote}
    begins: dict[bytes, int] = {}
    for top in tops:
        if top.lost and top.span.parent_id not in elsewhere:
            begins.setdefault(top.span.parent_id, top.span.start_ns)  # tops are in order of start
    for top in tops:
        begin = begins.get(top.span.parent_id)
        waits = begin is not None and any(end <= begin and origin == top.origin for end, origin in ended)
        tree = [top, *top.below()]
        (parts.later if waits and _is_new(tree, before) else parts.now).extend(tree)
    return parts


def _runs_of(nodes: Iterable[Node], *, every_query: bool) -> list[Run]:
    """The queries that are runs, and runs around which there is no other, each with the spans in it."""
    within: dict[int, tuple[Node | None, str | None]] = {}
    spans: dict[int, list[tuple[bytes, str | None]]] = {}
    found: list[Node] = []
    for node in nodes:
        around, step = within.get(id(node.parent), _NOTHING)
        role = node.role
        if role == "query":
            step = None
            if every_query or node.seen.role in RUNS or node.seen.is_run:
                around = node
                found.append(node)
        elif role in RUNS:
            if around is None:
                around = node
                found.append(node)
        elif node.is_step:
            step = role
        if around is not None:
            within[id(node)] = around, step
            spans.setdefault(id(around), []).append((node.span.span_id, step))
    runs = []
    for node in found:
        ids, steps = zip(*spans[id(node)][:MAX_SPANS], strict=True)
        runs.append(Run.of(node)._replace(spans=b"".join(ids), steps=steps))
    return runs


_NOTHING: Final[tuple[None, None]] = None, None


def _size(runs: Iterable[Run]) -> int:
    return sum(RUN_BYTES + 2 * len(run.spans) for run in runs)


def _around(runs: Iterable[Run], span_id: bytes) -> tuple[Run | None, str | None]:
    """The run that holds a span, and the step in it that the span is or is in."""
    for run in runs:
        at = run.spans.find(span_id)
        while at > 0 and at % SPAN_ID_BYTES:
            at = run.spans.find(span_id, at + 1)
        if at >= 0:
            return run, run.steps[at // SPAN_ID_BYTES]
    return None, None
