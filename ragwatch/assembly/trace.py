"""The spans of one trace, of any convention, to queries and steps. Pure: the order in which spans came is nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from ragwatch import semconv
from ragwatch.assembly.collapse import collapse, whole_step
from ragwatch.assembly.complete import complete, incomplete
from ragwatch.assembly.node import Node, Origin, link
from ragwatch.assembly.pairs import rehang, rejoin
from ragwatch.assembly.roots import ANSWERING, of_a_query, settle_roles
from ragwatch.conventions.keys import keys_of
from ragwatch.conventions.own import STATUS_ERROR, hashed
from ragwatch.conventions.read import QUERY_FIELDS, read_step
from ragwatch.conventions.registry import field_table
from ragwatch.conventions.table import OTHER
from ragwatch.record import QueryRecord, Step


class Made(NamedTuple):
    """What became of a trace."""

    queries: list[QueryRecord]
    loose: list[tuple[Step, Origin, bool]]
    """Steps that belong to no query, whose they are, and whether their process has counted them."""
    uncounted: list[tuple[Step, Origin]]
    """Steps of queries that their process counted without knowing of these."""
    collapsed: list[tuple[Node, str]]
    nodes: list[Node]


def assemble(nodes: Iterable[Node]) -> Made:
    """The queries and loose steps of one trace."""
    nodes = list(nodes)
    tops = link(nodes)
    if rehang(tops):
        tops = link(nodes)
    if rejoin(other for top in tops for other in (top, *top.below())):
        tops = link(nodes)
    everything = [other for top in tops for other in (top, *top.below())]
    roots = settle_roles(tops)
    collapsed = collapse(everything)
    gone = {id(node) for node, _ in collapsed}
    steps = [node for node in everything if node.is_step and id(node) not in gone]
    made = Made([], [], [], collapsed, everything)
    of_query: dict[int, list[Node]] = {id(root): [] for root in roots}
    left: list[Node] = []
    for node in steps:
        root = next((above for above in node.above() if id(above) in of_query), None)
        (left if root is None else of_query[id(root)]).append(node)
    for root in roots:
        _query(root, of_query[id(root)], made)
    for group in _lost_queries(left, tops):
        first = group[0]
        made.queries.append(
            incomplete(
                first.span.parent_id.hex(),
                [whole_step(node) for node in group],
                trace_id=first.span.trace_id.hex(),
                origin=first.origin,
                counted=any(node.counted for node in group),
            )
        )
        taken = {id(node) for node in group}
        left = [node for node in left if id(node) not in taken]
    for node in left:
        made.loose.append((whole_step(node), node.origin, node.counted))
    return made


def steps_of(nodes: Iterable[Node]) -> list[tuple[Step, Origin, bool]]:
    """The steps among spans that came too late for their query, as they would be counted in it."""
    nodes = list(nodes)
    if not nodes:
        return []
    tops = link(nodes)
    everything = [other for top in tops for other in (top, *top.below())]
    gone = {id(node) for node, _ in collapse(everything)}
    return [
        (whole_step(node), node.origin, node.counted) for node in everything if node.is_step and id(node) not in gone
    ]


_AS_ATTRIBUTE: Final = {
    "session": semconv.SESSION_ID,
    "tenant": semconv.TENANT_ID,
    "prompt_version": semconv.PROMPT_VERSION,
}


def _query(root: Node, nodes: Sequence[Node], made: Made) -> None:
    """The record of one query."""
    counted = root.counted or any(node.counted for node in nodes)
    steps = [_placed(node, root) for node in nodes]
    made.queries.append(
        complete(
            _root_step(root),
            steps,
            service=root.origin.service,
            environment=root.origin.environment,
            instance=root.origin.instance,
            version=root.origin.version,
            counted=counted,
        )
    )
    if counted:
        made.uncounted.extend((step, node.origin) for step, node in zip(steps, nodes, strict=True) if not node.counted)


def _root_step(root: Node) -> Step:
    if root.own:
        return root.step()
    fields = root.fields("query")
    held: dict[str, Any] = {name: fields[name] for name in QUERY_FIELDS if name in fields}
    for node in root.below():  # what the run's own span does not say, a span below may
        missing = [name for name in ("session", "user", "tenant", "prompt_version") if name not in held]
        if not missing:
            break
        if not (node.seen.keys or keys_of(node.span.attributes)).tells_of_query(field_table()):
            continue
        found = node.fields(node.role)
        held.update({name: found[name] for name in missing if name in found})
    step = read_step(root.span, root.seen, "query", {**fields, **held})
    extra = {key: value for key, value in (step.extra or {}).items() if key not in QUERY_FIELDS}
    for name, key in _AS_ATTRIBUTE.items():
        if name in held:
            extra[key] = held[name]
    if "user" in held:
        extra[semconv.USER_HASH] = hashed(held["user"])
    for name, key in (("question", semconv.QUESTION_LENGTH), ("answer", semconv.ANSWER_LENGTH)):
        if name in held:  # the text itself stays behind: the agent keeps no content
            extra[key] = len(held[name])
    if step.outcome == "ok" and _failed_within(root):
        step = step._replace(outcome="error")
    return step._replace(extra=extra)


def _failed_within(root: Node) -> bool:
    """Whether a run says that all is well, or nothing, though the run within it that ended last failed.

    Some instrumentors give the outermost span of a run no status of its own. Where a model answered after it, or a tool
    is around it, somebody caught the failure.
    """
    if not root.seen.is_run:
        return False
    runs = [
        node
        for node in root.below()
        if node.seen.is_run
        and node.scope == root.scope
        and next((above for above in node.above() if above.is_step or above is root), None) is root
    ]
    last = max(runs, key=lambda node: (node.span.end_ns, -node.span.start_ns), default=None)
    if last is None or last.span.status_code != STATUS_ERROR:
        return False
    return not any(node.role == "generate" and node.span.start_ns >= last.span.end_ns for node in root.below())


def _placed(node: Node, root: Node) -> Step:
    """The step, hung below the step around it, else below the query."""
    around = next((above for above in node.above() if above is root or above.is_step), root)
    step = whole_step(node)
    return step if step.parent_id == around.id else step._replace(parent_id=around.id)


def _lost_queries(left: Sequence[Node], tops: Sequence[Node]) -> list[list[Node]]:
    """Steps whose query's own span never came: several that miss one parent, one below lost structure, one of ours.

    A single step of others whose parent is missing may have been called from anywhere.
    """
    by_parent: dict[bytes, list[Node]] = {}
    for top in tops:
        if top.lost and top.role != "query" and (top.role != OTHER or any(node.is_step for node in top.below())):
            by_parent.setdefault(top.span.parent_id, []).append(top)
    groups = []
    for lost in by_parent.values():
        if len(lost) == 1 and lost[0].is_step and not lost[0].own:
            continue
        inside = {id(other) for top in lost for other in (top, *top.below())}
        group = [node for node in left if id(node) in inside]
        if any(node.role in ANSWERING for node in group) or of_a_query(node.role for node in group if node.own):
            groups.append(group)
    return groups
