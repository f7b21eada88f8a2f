"""A client's span that stands in a trace of its own finds the framework's span for the same call.

Some frameworks do not make their span current, so that the client's instrumentor begins a new trace: the call would
count twice. The two are one where the client's window lies within the framework's, for the same step, service and
model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ragwatch.assembly.calls import NEAR_NS, is_within
from ragwatch.assembly.node import CALLS, Node


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


def _tightness(node: Node) -> tuple[int, int, bytes]:
    return (node.span.end_ns - node.span.start_ns, node.span.start_ns, node.key)


def _same_model(call: Node, host: Node) -> bool:
    mine, theirs = call.fields(call.role), host.fields(host.role)
    names = {mine.get("model"), mine.get("response_model")} - {None}
    others = {theirs.get("model"), theirs.get("response_model")} - {None}
    return not names or not others or bool(names & others)
