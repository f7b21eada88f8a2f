"""A client's span that stands in a trace of its own finds the framework's span for the same call.

Some frameworks do not make their span current, so that the client's instrumentor begins a new trace: the call would
count twice. The two are one where the client's window lies within the framework's, for the same step, service and
model. Below a span of the app's own the client's span stands in the same trace, beside the framework's or beside what
is around it: the same holds there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ragwatch.assembly.calls import NEAR_NS, is_within
from ragwatch.assembly.node import CALLS, Node, is_frameworks
from ragwatch.assembly.roots import RUNS
from ragwatch.conventions.own import STATUS_ERROR

MAX_COMPARED: Final = 200
"""Calls of one step in a trace that are compared with one another."""


def loner(nodes: Sequence[Node]) -> Node | None:
    """The client's call that makes up a trace by itself, transport aside; None for any other trace."""
    roots = [node for node in nodes if not node.span.parent_id]
    if len(roots) != 1 or not roots[0].alone:
        return None
    root = roots[0]
    if any(node.is_step and node is not root for node in nodes):
        return None
    return root


def host_of(call: Node, candidates: Iterable[Node]) -> Node | None:
    """The framework's span around a call; None without one.

    One with the same answer, else one that began just before, else any that fits; of several the tightest.
    """
    fitting = [
        node
        for node in candidates
        if is_within(call, node)
        and node.role == call.role
        and node.scope != call.scope
        and node.origin.service == call.origin.service
        and node.span.trace_id != call.span.trace_id
        and _same_model(call, node)
    ]
    if len(fitting) > 1:
        answer = call.fields(call.role).get("response_id")
        if answer is not None:
            fitting = [node for node in fitting if node.fields(node.role).get("response_id") == answer] or fitting
        fitting = [node for node in fitting if call.span.start_ns - node.span.start_ns <= NEAR_NS] or fitting
    return min(fitting, key=_tightness, default=None)


def adopt(call: Node, nodes: Iterable[Node], host: Node) -> None:
    """Move a trace's nodes below the host's span."""
    for node in nodes:
        parent = host.span.span_id if node is call else node.span.parent_id
        node.span = node.span._replace(trace_id=host.span.trace_id, parent_id=parent)


def pair_up(traces: Mapping[bytes, Sequence[Node]]) -> dict[bytes, list[Node]]:
    """The traces with every loner moved to its host."""
    alone = {trace_id: found for trace_id, nodes in traces.items() if (found := loner(nodes)) is not None}
    hosts = [
        node for trace_id, nodes in traces.items() if trace_id not in alone for node in nodes if node.role in CALLS
    ]
    joined = {trace_id: list(nodes) for trace_id, nodes in traces.items()}
    for trace_id, call in sorted(alone.items(), key=lambda item: (item[1].span.start_ns, item[0])):
        host = host_of(call, hosts)
        if host is not None:
            moved = joined.pop(trace_id)
            joined[host.span.trace_id] += moved
            adopt(call, moved, host)
    return joined


def rehang(tops: Sequence[Node]) -> bool:
    """Hang what has lost its parent below the one run of its trace in whose time it lies; whether any was moved.

    What was between the two was never exported: some instrumentors forget to end a span that failed.
    """
    lost = [top for top in tops if top.lost and not top.remote and not top.own]
    if not lost:
        return False
    runs = [top for top in tops if not top.lost and top.role in RUNS]
    if len(runs) != 1:
        return False
    (run,) = runs
    inside = [
        top
        for top in lost
        if run.origin == top.origin and run.span.start_ns <= top.span.start_ns and top.span.end_ns <= run.span.end_ns
    ]
    for top in inside:
        top.span = top.span._replace(parent_id=run.span.span_id)
    return bool(inside)


def rejoin(nodes: Iterable[Node]) -> bool:
    """Hang each client's call of a trace below another instrumentor's span for the same call; whether any was moved."""
    by_role: dict[str, list[Node]] = {}
    for node in nodes:
        if node.role in CALLS and not node.own and not node.seen.weak:
            by_role.setdefault(node.role, []).append(node)
    moved = False
    for calls in by_role.values():
        moved = _reports(calls) or moved
        if len({node.scope for node in calls}) > 1 and len(calls) <= MAX_COMPARED:
            taken: dict[int, list[Node]] = {}
            for call in calls:
                host = _host_beside(call, calls, taken)
                if host is not None:
                    call.span = call.span._replace(parent_id=host.span.span_id)
                    taken.setdefault(id(host), []).append(call)
                    moved = True
    return moved


def _reports(calls: Sequence[Node]) -> bool:
    """Hang a span of no duration, which reports what a stream said, below the call before it that does not say it."""
    moved = False
    for report in calls:
        if report.span.start_ns == report.span.end_ns and report.parent is not None:
            before = [
                call
                for call in calls
                if call.scope == report.scope
                and call.parent is report.parent
                and call.span.start_ns < call.span.end_ns <= report.span.start_ns
                and not _has_answer(call)
                and _same_model(report, call)
            ]
            if before and _has_answer(report):
                host = max(before, key=lambda call: (call.span.end_ns, call.key))
                report.span = report.span._replace(parent_id=host.span.span_id)
                moved = True
    return moved


def _has_answer(call: Node) -> bool:
    fields = call.fields(call.role)
    return "response_id" in fields or "output_tokens" in fields or call.span.status_code == STATUS_ERROR


def _host_beside(call: Node, calls: Sequence[Node], taken: Mapping[int, Sequence[Node]]) -> Node | None:
    """The span of another instrumentor for the same call, which was not current while the client was called."""
    if is_frameworks(call.scope) or any(above.role == call.role for above in call.above()):
        return None
    answer = call.fields(call.role).get("response_id")
    around = call.parent
    fitting = []
    for node in calls:
        if (
            node.scope != call.scope
            and node.origin.service == call.origin.service
            and is_within(call, node)
            and _tightness(node) > _tightness(call)
            and not any(above is call for above in node.above())
            and (around is None or any(above is around for above in node.above()))
            and _same_model(call, node)
            and not any(_is_rival(call, other) for other in (*node.below(), *taken.get(id(node), ())))
        ):
            other = node.fields(node.role).get("response_id")
            if answer is None or other is None or answer == other:
                fitting.append((answer is None or other is None, node))
    if not fitting:
        return None
    best = min(unsure for unsure, _ in fitting)
    sure = [node for unsure, node in fitting if unsure == best]
    near = [node for node in sure if call.span.start_ns - node.span.start_ns <= NEAR_NS]
    return min(near or sure, key=_tightness)


def _is_rival(call: Node, other: Node) -> bool:
    """Whether a span below the same host is another call at the same time: a host stands for one call at a time."""
    return (
        other is not call
        and other.role == call.role
        and other.scope == call.scope
        and other.span.start_ns < call.span.end_ns
        and call.span.start_ns < other.span.end_ns
    )


def _tightness(node: Node) -> tuple[int, int, bytes]:
    return (node.span.end_ns - node.span.start_ns, node.span.start_ns, node.key)


def _same_model(call: Node, host: Node) -> bool:
    mine, theirs = call.fields(call.role), host.fields(host.role)
    names = {mine.get("model"), mine.get("response_model")} - {None}
    others = {theirs.get("model"), theirs.get("response_model")} - {None}
    return not names or not others or bool(names & others)
