"""Spans to queries in the agent: steps wait, by trace, until the root of their query has come.

Bounded by spans and by age. Children usually come before their root, since they end first; a short linger after the
root takes those of other processes that are still on their way. A root that never comes makes the query
``incomplete``, a step that comes too late counts as a step alone, and each of these is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ragwatch import semconv
from ragwatch.assembly.complete import complete
from ragwatch.conventions.decode import RawSpan
from ragwatch.conventions.own import step_name, to_step
from ragwatch.record import QueryRecord, Step

RECENT = 30_000
"""Span ids in each of the two generations that are remembered against duplicates, and recent traces."""


class Origin(NamedTuple):
    """Whose spans these are."""

    service: str
    environment: str
    instance: str | None


class Events(NamedTuple):
    """What the assembler tells its owner."""

    query: Callable[[QueryRecord], None]
    loose: Callable[[Step, Origin], None]
    tally: Callable[[str, str], None]
    """(metric, reason)"""


class _Trace:
    """The steps of one trace that wait."""

    __slots__ = ("counted", "first_row", "links", "origin", "root_at", "roots", "since", "steps")

    def __init__(self, origin: Origin, row: int, now: float) -> None:
        self.origin = origin
        self.first_row = row
        self.since = now
        self.root_at: float | None = None
        self.steps: list[Step] = []
        self.roots: list[Step] = []
        self.links: dict[str, str] = {}
        self.counted = False


class Assembler:
    """Holds the steps whose query is not yet whole. ``now`` is the time of receipt, in seconds of any clock."""

    def __init__(self, events: Events, *, linger_s: float, incomplete_after_s: float, max_spans: int) -> None:
        self._events = events
        self._linger_s = linger_s
        self._incomplete_after_s = incomplete_after_s
        self._max_spans = max_spans
        self._traces: dict[bytes, _Trace] = {}
        self._seen: set[bytes] = set()
        self._seen_before: set[bytes] = set()
        self._done: dict[bytes, None] = {}
        self.spans = 0

    def add(self, raw: RawSpan, origin: Origin, row: int, now: float) -> None:
        """Take one span of ragwatch's convention, or the link that any other span is between two of them."""
        span_id = raw.span_id
        attributes = raw.attributes
        kind = step_name(attributes)
        if len(span_id) != 8 or len(raw.trace_id) != 16:
            self._events.tally("ragwatch.agent.decode_errors", "invalid_id")
            return
        if kind is None:
            held = self._traces.get(raw.trace_id)
            if held is not None and len(held.links) < 1000:
                held.links[span_id.hex()] = raw.parent_id.hex()
            return
        key = raw.trace_id + span_id
        if key in self._seen or key in self._seen_before:
            self._events.tally("ragwatch.agent.duplicates", "span")
            return
        self._remember(key)
        step = to_step(
            kind,
            raw.name,
            (raw.trace_id.hex(), span_id.hex(), raw.parent_id.hex() or None),
            (raw.start_ns, raw.end_ns),
            (raw.status_code, raw.status_message),
            attributes,
            raw.events,
        )
        counted = attributes.get(semconv.COUNTED) is True
        if kind != "query" and not raw.parent_id:
            self._alone(step, origin, counted)
            return
        trace = self._traces.get(raw.trace_id)
        if trace is None:
            if kind != "query" and raw.trace_id in self._done:
                self._events.tally("ragwatch.agent.late", "after_query")
                self._alone(step, origin, counted)
                return
            trace = self._traces[raw.trace_id] = _Trace(origin, row, now)
        self.spans += 1
        trace.counted = trace.counted or counted
        if kind == "query":
            trace.roots.append(step)
            trace.root_at = now
            trace.origin = origin
        else:
            trace.steps.append(step)

    def release(self, now: float) -> None:
        """Hand on what is whole, what is too old, and, over the bound, what has waited longest."""
        due_root = now - self._linger_s
        due_age = now - self._incomplete_after_s
        due = [
            trace_id
            for trace_id, trace in self._traces.items()
            if (trace.root_at is not None and trace.root_at <= due_root) or trace.since <= due_age
        ]
        for trace_id in due:
            self._finish(trace_id, "no_root")
        if self.spans > self._max_spans:
            for trace_id in list(self._traces):
                if self.spans <= self._max_spans * 9 // 10:
                    break
                self._finish(trace_id, "too_many_spans")

    def pending(self) -> tuple[int | None, bytes]:
        """The lowest row that holds a waiting step, and the ids of all that wait (24 bytes each: trace, span)."""
        if not self._traces:
            return None, b""
        parts: list[bytes] = []
        for trace_id, trace in self._traces.items():
            parts += [trace_id + bytes.fromhex(step.span_id) for step in trace.roots]
            parts += [trace_id + bytes.fromhex(step.span_id) for step in trace.steps]
        return min(trace.first_row for trace in self._traces.values()), b"".join(parts)

    def _remember(self, key: bytes) -> None:
        self._seen.add(key)
        if len(self._seen) >= RECENT:
            self._seen_before, self._seen = self._seen, set()

    def _alone(self, step: Step, origin: Origin, counted: bool) -> None:
        if not counted:
            self._events.loose(step, origin)

    def _finish(self, trace_id: bytes, reason: str) -> None:
        trace = self._traces.pop(trace_id)
        self.spans -= len(trace.steps) + len(trace.roots)
        self._done[trace_id] = None
        if len(self._done) > RECENT:
            for old in list(self._done)[: RECENT // 10]:
                del self._done[old]
        if not trace.roots:
            self._incomplete(trace_id, trace, reason)
            return
        roots = sorted(trace.roots, key=lambda root: root.start_ns)
        groups = _by_root(roots, trace.steps, trace.links) if len(roots) > 1 else {roots[0].span_id: trace.steps}
        for root in roots:
            self._events.query(
                complete(
                    root,
                    groups.get(root.span_id, ()),
                    service=trace.origin.service,
                    environment=trace.origin.environment,
                    instance=trace.origin.instance,
                    counted=trace.counted,
                )
            )

    def _incomplete(self, trace_id: bytes, trace: _Trace, reason: str) -> None:
        """A query whose root never came: not a success, and not forgotten."""
        self._events.tally("ragwatch.agent.incomplete", reason)
        steps = trace.steps
        first = min(step.start_ns for step in steps)
        last = max(step.end_ns for step in steps)
        root = Step(
            "query", "query", steps[0].parent_id or "", None, first, last, trace_id=trace_id.hex(), outcome="incomplete"
        )
        self._events.query(
            complete(
                root,
                steps,
                service=trace.origin.service,
                environment=trace.origin.environment,
                instance=trace.origin.instance,
                counted=trace.counted,
            )
        )


def _by_root(roots: list[Step], steps: list[Step], links: dict[str, str]) -> dict[str, list[Step]]:
    """The steps of each of several queries in one trace: by parent links, else by time, else the first query's."""
    parents: dict[str, str | None] = {**links, **{step.span_id: step.parent_id for step in steps}}
    known = {root.span_id for root in roots}
    groups: dict[str, list[Step]] = {}
    for step in steps:
        at: Any = step.parent_id
        for _ in range(100):
            if at is None or at in known:
                break
            at = parents.get(at)
        if at not in known:
            inside = (root.span_id for root in roots if root.start_ns <= step.start_ns <= root.end_ns)
            at = next(inside, roots[0].span_id)
        groups.setdefault(at, []).append(step)
    return groups
