"""From the steps of one query to its ``QueryRecord``: outcome, cause, cache, critical path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ragwatch.assembly.critical_path import critical_path, usual_path
from ragwatch.assembly.node import Origin
from ragwatch.conventions.own import query_fields
from ragwatch.record import QueryRecord, Step


def complete(
    root: Step,
    steps: Sequence[Step],
    *,
    service: str,
    environment: str,
    instance: str | None = None,
    version: str | None = None,
    counted: bool = False,
) -> QueryRecord:
    """The record of the query whose root step is ``root`` and whose other steps are ``steps``, in any order.

    ``version`` is the service's, unless the query says another. A step whose parent is not among them hangs below the
    root. A query whose own outcome is ok but one of whose steps answered by a fallback is ``degraded``. The cause of an
    error is the deepest failing step on the path of the failure that ended last; ancestors only carry it.
    """
    usual = usual_path(root, steps)
    if usual is None:
        ordered = _by_start(steps)
        children = _children(root, ordered)
        path = critical_path(root, children)
    else:
        ordered = tuple(steps)
        children = None
        path = usual
    outcome, reason = root.outcome, root.degraded_reason
    failing = root
    cause_step = cause_span_id = None
    if outcome == "error":
        failing = _cause(root, children if children is not None else _children(root, ordered))
        cause_step, cause_span_id = failing.step, failing.span_id
    elif outcome == "ok":
        for step in ordered:
            if step.outcome == "degraded":
                outcome, reason = "degraded", step.degraded_reason
                break
    row: list[Any] = [
        root.trace_id,
        root.span_id,
        service,
        environment,
        root.start_ns,
        root.end_ns,
        root.name,
        outcome,
        cause_step,
        cause_span_id,
        failing.error_type,
        failing.error_class,
        failing.error_message,
        reason,
        _cache(ordered, root),
        ordered,
        path,
        *_REST,
    ]
    row[_INSTANCE], row[_VERSION], row[_COUNTED] = instance, version, counted
    for name, value in query_fields(root.extra).items() if root.extra else ():
        if value is not None:
            row[_SLOTS[name]] = value
    if root.breaker is not None:
        row[_BREAKER], row[_BREAKER_STATE] = root.breaker, root.breaker_state
    return _new_record(QueryRecord, row)  # half the time of a call with 29 names


_SLOTS: Final = {name: index for index, name in enumerate(QueryRecord._fields)}
_REST: Final = tuple(QueryRecord._field_defaults[name] for name in QueryRecord._fields[_SLOTS["label"] :])
_INSTANCE, _VERSION, _COUNTED = _SLOTS["instance"], _SLOTS["version"], _SLOTS["counted"]
_BREAKER, _BREAKER_STATE = _SLOTS["breaker"], _SLOTS["breaker_state"]
_new_record: Final = tuple.__new__


def incomplete(span_id: str, steps: Sequence[Step], *, trace_id: str, origin: Origin, counted: bool) -> QueryRecord:
    """The record of a query whose own span, ``span_id``, never came: not a success, and not forgotten.

    It lasts from the first start to the last end of its ``steps``, of which there is at least one.
    """
    first = min(step.start_ns for step in steps)
    last = max(step.end_ns for step in steps)
    return complete(
        Step("query", "query", span_id, None, first, last, trace_id=trace_id, outcome="incomplete"),
        steps,
        service=origin.service,
        environment=origin.environment,
        instance=origin.instance,
        version=origin.version,
        counted=counted,
    )


def by_root(roots: list[Step], steps: Sequence[Step], links: dict[str, str]) -> dict[str, list[Step]]:
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


def _children(root: Step, steps: Sequence[Step]) -> dict[str, list[Step]]:
    known = {step.span_id for step in steps}
    children: dict[str, list[Step]] = {}
    for step in steps:
        parent = step.parent_id if step.parent_id in known and step.parent_id != step.span_id else root.span_id
        children.setdefault(parent or root.span_id, []).append(step)
    return children


def _cause(root: Step, children: dict[str, list[Step]]) -> Step:
    """Follow the failure down: of the failing children the one that ended last carried it."""
    at = root
    for _ in range(100):
        failing = [step for step in children.get(at.span_id, ()) if step.outcome == "error"]
        if not failing:
            return at
        at = max(failing, key=_end)
    return at


def _cache(steps: Sequence[Step], root: Step) -> str:
    """What the first cache that was asked said, else the query itself; later ones are caches of steps."""
    for step in steps:
        if step.step == "cache" and step.cache_result in {"hit", "miss"}:
            return str(step.cache_result)
    return root.cache_result if root.cache_result in {"hit", "miss"} else "none"


def _by_start(steps: Sequence[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=_start))


def _start(step: Step) -> int:
    return step.start_ns


def _end(step: Step) -> int:
    return step.end_ns
