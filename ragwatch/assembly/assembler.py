"""Spans to queries in the agent: spans wait, by trace, until the root of their query has come.

Bounded by spans and by age, O(log n) a span. Children usually come before their root, since they end first; a linger
after the root takes those that are still on their way: short for ragwatch's own spans, as long as a batch processor's
interval for others'. A root that never comes makes the query ``incomplete``, a step that comes too late counts as a
step alone, and each of these is counted.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import Final

from ragwatch.assembly.after import After, Parts
from ragwatch.assembly.calls import Calls
from ragwatch.assembly.complete import by_root
from ragwatch.assembly.events import Events
from ragwatch.assembly.node import Node, Origin, own_node
from ragwatch.assembly.pairs import adopt, host_of, loner
from ragwatch.assembly.replays import Replays
from ragwatch.assembly.roots import of_a_query
from ragwatch.assembly.seen_spans import TRACE_ID_BYTES, SeenSpans, is_span_key
from ragwatch.assembly.trace import assemble, steps_of
from ragwatch.assembly.waiting import Done, Waiting
from ragwatch.conventions.own import step_name
from ragwatch.conventions.own_late import key_of, part_of
from ragwatch.conventions.own_wire import OwnTrace, own_trace
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import take_unreadable
from ragwatch.conventions.table import OTHER, SERVER
from ragwatch.record import Step

__all__ = ["Assembler", "Events", "Origin"]
RECENT: Final = 30_000
"""Traces that are remembered after they were handed on."""
CALLER_LINGERS: Final = 10
"""How many lingers a part of a query that another service called waits for that service's span, where nothing is known
of its habits: a model may answer for a minute after the retrieval service is done."""
MAX_SERVICES: Final = 1000
_SILENT: Final = frozenset({OTHER, SERVER})


class Assembler:
    """Holds the spans whose query is not yet whole. ``now`` is the time of receipt, in seconds of any clock."""

    def __init__(
        self,
        events: Events,
        *,
        linger_s: float,
        incomplete_after_s: float,
        max_spans: int,
        max_bytes: float = inf,
        foreign_linger_s: float | None = None,
    ) -> None:
        self._events = events
        self._linger_s = linger_s
        self._foreign_linger_s = linger_s if foreign_linger_s is None else foreign_linger_s
        self._incomplete_after_s = incomplete_after_s
        self._max_spans = max_spans
        self._max_bytes = max_bytes
        self._traces: dict[bytes, Waiting] = {}
        self._due: list[tuple[float, bytes]] = []
        """When a trace with a root may be whole."""
        self._old_at = inf
        """When the next trace may have waited for too long."""
        self._calls = Calls()
        self._replays = Replays()
        self._after = After()
        self._seen = SeenSpans()
        self._now = 0.0
        self._done: dict[bytes, Done] = {}
        self._callers_silent: dict[str, None] = {}
        """Services whose callers have been seen not to report here: their own part is all that will come."""
        self.spans = 0
        self.bytes = 0.0
        """What the spans that wait took on the wire: prompts and documents may stand in them."""

    def add(self, raw: RawSpan, origin: Origin, row: int, now: float, scope: str = "", size: float = 0.0) -> None:
        """Take one span of any convention; ``size`` is what it took on the wire, in bytes."""
        kind = step_name(raw.attributes)
        if kind is not None:
            self.add_own(own_trace(raw, kind), origin, row, now, size)
            return
        keys = {raw.trace_id + raw.span_id}
        if len(raw.trace_id) != TRACE_ID_BYTES or not self._seen.are_new(keys):
            if not is_span_key(raw.trace_id, raw.span_id):
                self._events.tally("ragwatch.agent.decode_errors", "invalid_id")
            return
        self._seen.add(keys)
        self._add_foreign(raw, scope, origin, row, now, size)

    def add_own(self, came: OwnTrace, origin: Origin, row: int, now: float, size: float = 0.0) -> None:
        """Take ragwatch's own spans of one trace, as one request holds them; ``size`` is that of one of them."""
        trace_id = came.trace_id
        keys = {trace_id + span_id for span_id in came.span_ids}
        if len(trace_id) != TRACE_ID_BYTES or len(keys) != len(came.span_ids) or not self._seen.are_new(keys):
            came = self._new_of(came)
        count = len(came.span_ids)
        if not count:
            return
        self._seen.add(keys)
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._open(trace_id, origin, row, now)
            trace.again = trace_id in self._done
        self._hold(trace, count, count * size, row)
        trace.take(came)
        if len(came.uncounted) + came.unread_uncounted < count:
            trace.counted = True
        if came.roots or came.unread_roots:
            trace.origin = origin
        elif came.alone:
            trace.alone = True
        else:
            return
        trace.own_root = True
        self._rooted(trace_id, trace, now)

    def release(self, now: float) -> None:
        """Hand on what is whole, what is too old, and, over the bound, what has waited longest."""
        self._now = now
        mixed = self._finish_due_own(now)
        if mixed:
            self._finish_mixing(mixed)
        if now >= self._old_at:
            self._finish_old(now)
        for attribute, count in take_unreadable().items():
            for _ in range(count):
                self._events.tally("ragwatch.agent.unreadable", attribute)
        if self.spans > self._max_spans or self.bytes > self._max_bytes:
            for trace_id in list(self._traces):
                if self.spans <= self._max_spans * 0.9 and self.bytes <= self._max_bytes * 0.9:
                    break
                self._finish(trace_id, "too_many_spans")

    def pending(self) -> tuple[set[int], bytes]:
        """The rows that hold a waiting span, and the ids of all that wait (24 bytes each: trace, span)."""
        rows: set[int] = set()
        parts: list[bytes] = []
        for trace in self._traces.values():
            parts += [bytes.fromhex(step.trace_id + step.span_id) for step in (*trace.roots, *trace.steps)]
            parts += [key_of(raw) for raw in (*trace.unread_roots, *trace.unread)]
            parts += [node.key for node in trace.nodes]
            rows.update(trace.rows)
        return rows, b"".join(parts)

    # -- taking -------------------------------------------------------------------------------------------------------

    def _new_of(self, came: OwnTrace) -> OwnTrace:
        """What of it did not come before, each once; the rest is counted."""
        keys: set[bytes] = set()

        def is_new(span_id: bytes) -> bool:
            key = came.trace_id + span_id
            if not is_span_key(came.trace_id, span_id):
                self._events.tally("ragwatch.agent.decode_errors", "invalid_id")
                return False
            if key in keys or not self._seen.are_new({key}):
                self._events.tally("ragwatch.agent.duplicates", "span")
                return False
            keys.add(key)
            return True

        return part_of(came, is_new)

    def _add_foreign(self, raw: RawSpan, scope: str, origin: Origin, row: int, now: float, size: float) -> None:
        node = Node(raw, scope, origin, row=row, came_at=now)
        trace = self._traces.get(raw.trace_id)
        if trace is None:
            done = self._done.get(raw.trace_id)
            if done is not None and done.rooted and done.called is None and not self._after.knows(raw.trace_id):
                if node.is_step:
                    self._late(node.step(), origin, node.counted)
                return
            trace = self._open(raw.trace_id, origin, row, now)
            if done is not None:
                trace.again, trace.called = True, done.called
        self._hold(trace, 1, size, row)
        trace.add_node(node)
        if node.role in _SILENT:
            trace.add_link(node.id, raw.parent_id.hex())
        else:
            trace.tells = True
            self._calls.add(node)
        if not raw.parent_id or (trace.again and self._after.knows(raw.trace_id)):
            self._rooted(raw.trace_id, trace, now)
        if not raw.parent_id:
            if trace.called is not None:
                self._callers_silent.pop(trace.called, None)
        elif node.remote or node.role == SERVER:
            if trace.called is None and trace.root_at is None:
                heappush(self._due, (trace.since + CALLER_LINGERS * self._foreign_linger_s, raw.trace_id))
            trace.called = origin.service
            if origin.service in self._callers_silent:
                self._rooted(raw.trace_id, trace, now)

    def _hold(self, trace: Waiting, spans: int, size: float, row: int) -> None:
        if trace.rows[-1] != row:
            trace.rows.append(row)
        self.spans += spans
        self.bytes += size
        trace.bytes += size

    def _open(self, trace_id: bytes, origin: Origin, row: int, now: float) -> Waiting:
        trace = self._traces[trace_id] = Waiting(origin, row, now)
        self._old_at = min(self._old_at, now + self._incomplete_after_s)
        return trace

    def _rooted(self, trace_id: bytes, trace: Waiting, now: float) -> None:
        if trace.again and trace.root_at is None:
            trace.since = now  # what was put off keeps its own time
        trace.root_at = now
        heappush(self._due, (self._deadline(trace), trace_id))

    def _deadline(self, trace: Waiting) -> float:
        """When the trace is to be finished, whatever has come."""
        at = trace.since + self._incomplete_after_s
        if trace.root_at is None:
            return at if trace.called is None else min(at, trace.since + CALLER_LINGERS * self._foreign_linger_s)
        linger = self._foreign_linger_s if trace.tells or not trace.own_root else self._linger_s
        if trace.again:  # one whose spans never cease would wait for its time to be up
            at = min(at, trace.since + CALLER_LINGERS * linger)
        return min(at, trace.root_at + linger)

    def _late(self, step: Step, origin: Origin, counted: bool) -> None:
        self._events.tally("ragwatch.agent.late", "after_query")
        self._alone(step, origin, counted)

    def _alone(self, step: Step, origin: Origin, counted: bool) -> None:
        if not counted:
            self._events.loose(step, origin)

    # -- handing on ---------------------------------------------------------------------------------------------------

    def _finish_due_own(self, now: float) -> dict[bytes, None]:
        """Finish the traces of ragwatch's own spans alone that are due; those with others are returned."""
        mixed: dict[bytes, None] = {}
        due, traces = self._due, self._traces
        while due and due[0][0] <= now:
            trace_id = heappop(due)[1]
            trace = traces.get(trace_id)
            if trace is None:
                continue
            if (at := self._deadline(trace)) > now:  # what came since made it wait for longer
                heappush(due, (at, trace_id))
            elif trace.nodes:
                mixed[trace_id] = None
            else:
                self._finish(trace_id, "no_root")
        return mixed

    def _finish_mixing(self, due: dict[bytes, None], *, final: bool = False) -> None:
        """Finish traces that hold others' spans, each with what belongs to it from traces of its own."""
        for trace_id in due:
            self._adopted(trace_id)
        for trace_id in due:
            self._adopting(trace_id)
        self._replays.mark(
            node for trace_id in due if trace_id in self._traces for node in self._traces[trace_id].nodes
        )
        for trace_id in due:
            if trace_id in self._traces:
                self._finish(trace_id, "no_root", final=final)

    def _finish_old(self, now: float) -> None:
        """Finish the traces whose time is up.

        All are looked at, but no oftener than once a second: an entry in the heap for each would stay for minutes after
        most traces are done.
        """
        last = now - self._incomplete_after_s
        mixed: dict[bytes, None] = {}
        for trace_id in [trace_id for trace_id, trace in self._traces.items() if trace.since <= last]:
            if self._traces[trace_id].nodes:
                mixed[trace_id] = None
            else:
                self._finish(trace_id, "no_root")
        self._finish_mixing(mixed, final=True)
        oldest = min((trace.since for trace in self._traces.values()), default=None)
        self._old_at = inf if oldest is None else max(oldest + self._incomplete_after_s, now + 1)

    def _adopted(self, trace_id: bytes) -> None:
        """Move a client's span that makes up a trace to the framework's span for the same call."""
        trace = self._traces.get(trace_id)
        if trace is None or not trace.tells or trace.size != len(trace.nodes):
            return
        call = loner(trace.nodes)
        if call is None:
            return
        calls = self._calls
        host = (
            host_of(call, calls.answered_as(call))
            or host_of(call, calls.near(call))
            or host_of(call, calls.around(call))
        )
        home = self._traces.get(host.span.trace_id) if host is not None else None
        if host is None or home is None:
            return
        del self._traces[trace_id]
        adopt(call, trace.nodes, host)
        home.adopt(trace)

    def _adopting(self, trace_id: bytes) -> None:
        """Before a trace goes, it takes the clients' spans that wait for one of its calls."""
        trace = self._traces.get(trace_id)
        if trace is None or not trace.tells:
            return
        calls = {
            found.key[:16]: None
            for host in trace.nodes
            for found in self._calls.within(host)
            if host_of(found, (host,)) is host
        }
        for call_id in calls:
            self._adopted(call_id)

    def _finish(self, trace_id: bytes, reason: str, *, final: bool = True) -> None:
        trace = self._traces.pop(trace_id)
        self.spans -= trace.size
        self.bytes = self.bytes - trace.bytes if self._traces else 0.0
        self._done[trace_id] = trace.done()
        if trace.called is not None and trace.root_at is None and len(self._callers_silent) < MAX_SERVICES:
            self._callers_silent[trace.called] = None
        if len(self._done) > RECENT:
            for old in list(self._done)[: RECENT // 10]:
                del self._done[old]
        for node in trace.nodes:
            self._calls.remove(node)
        if not trace.unread_roots:
            trace.read()
        if trace.tells or (trace.nodes and trace.steps and not trace.roots and not trace.unread_roots):
            self._finish_mixed(trace_id, trace, reason, final=final)
        elif trace.roots or trace.unread_roots:
            self._finish_own(trace)
        elif trace.alone or trace.again or not of_a_query(step.step for step in trace.steps):
            tell = self._late if trace.again and not trace.alone else self._alone
            for step, counted in trace.told(trace.steps):
                tell(step, trace.origin, counted)
        else:
            self._events.tally("ragwatch.agent.incomplete", reason)
            self._events.query(trace.without_root(trace_id))

    def _finish_mixed(self, trace_id: bytes, trace: Waiting, reason: str, *, final: bool) -> None:
        """A trace in which other conventions say something."""
        trace.read()
        trace.mark()
        own = (*trace.roots, *trace.steps)
        is_after = not own and self._after.knows(trace_id)
        before = inf if final else self._now - self._incomplete_after_s
        parts = Parts(list(trace.nodes)) if own else self._after.part(trace_id, trace.nodes, before)
        steps = (own_node(step, trace.origin, counted=counted) for step, counted in trace.told(own))
        made = assemble([*parts.now, *steps])
        for record in made.queries:
            if record.outcome == "incomplete" and trace.again and not is_after:
                for step in record.steps:
                    self._late(step, trace.origin, record.counted)
                continue
            if record.outcome == "incomplete":
                self._events.tally("ragwatch.agent.incomplete", reason)
            self._events.query(record)
        for step, origin, counted in made.loose:
            self._alone(step, origin, counted)
        for step, origin in made.uncounted:
            self._events.loose(step, origin)
        for step, origin, counted in steps_of(parts.late):
            self._late(step, origin, counted)
        for _ in parts.told:
            self._events.tally("ragwatch.agent.late", "after_query")
        is_called = trace.called is not None
        if is_after or ((trace.root_at is not None or is_called) and not own):
            self._after.remember(trace_id, made.nodes, is_called=is_called)
        if parts.later:
            self._put_off(trace_id, trace, parts.later)

    def _put_off(self, trace_id: bytes, trace: Waiting, nodes: list[Node]) -> None:
        """Let spans wait on for the run that they are of."""
        held = self._open(trace_id, trace.origin, nodes[0].row, self._now)
        held.hold_on(trace, nodes)
        self.spans += len(nodes)
        self.bytes += held.bytes
        for node in nodes:
            self._calls.add(node)

    def _finish_own(self, trace: Waiting) -> None:
        counted = self._events.counted if trace.counted else None
        if counted is not None and not trace.roots and len(trace.unread_roots) == 1:
            counted(key_of(trace.unread_roots[0])[:TRACE_ID_BYTES].hex(), trace.only_query)
            return
        trace.read()
        roots = sorted(trace.roots, key=lambda root: root.start_ns)
        groups = by_root(roots, trace.steps, trace.links or {}) if len(roots) > 1 else {roots[0].span_id: trace.steps}
        for root in roots:
            make = partial(trace.query, root, groups.get(root.span_id, ()))
            if counted is not None:
                counted(root.trace_id, make)
            else:
                self._events.query(make())
