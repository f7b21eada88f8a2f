"""Which step a query was waiting for, and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ragwatch.record import Step


def critical_path(root: Step, children: Mapping[str, Sequence[Step]]) -> tuple[tuple[str, float], ...]:
    """Seconds of the query by the step that owned them, in order of first use; they add up to the query's duration.

    Walks back from the query's end: the child that ends last owns the time back to its start, what no child covers is
    its parent's own, and the root's own time is ``query``. ``children`` maps a span id to the steps right below it.

    >>> root = Step("query", "q", "r", None, 0, 1_000_000_000)
    >>> embed = Step("embed", "e", "a", "r", 0, 200_000_000)
    >>> slow = Step("retrieve", "b", "b", "r", 200_000_000, 700_000_000)
    >>> fast = Step("retrieve", "c", "c", "r", 250_000_000, 400_000_000)
    >>> critical_path(root, {"r": [embed, slow, fast]})
    (('query', 0.3), ('retrieve', 0.5), ('embed', 0.2))
    """
    owned: dict[str, int] = {}
    if root.end_ns > root.start_ns:
        _walk(root, root.start_ns, root.end_ns, children, owned, 0)
    return tuple((step, nanoseconds / 1e9) for step, nanoseconds in owned.items())


def usual_path(root: Step, steps: Sequence[Step]) -> tuple[tuple[str, float], ...] | None:
    """The same for the usual query, whose steps come in order and follow one another right below the root; else None.

    A third of the time of the general walk.
    """
    owned: dict[str, int] = {}
    root_id, began, ended = root.span_id, root.start_ns, root.end_ns
    own, now = 0, began
    for step in steps:
        kind, _, span_id, parent_id, start, end = step[:6]
        if start < now or end < start or (parent_id != root_id and parent_id is not None) or span_id == root_id:
            return None
        own += start - now
        owned[kind] = owned.get(kind, 0) + end - start
        now = end
    if now > ended:
        return None
    owned[root.step] = owned.get(root.step, 0) + own + ended - now
    return tuple([(step, nanoseconds / 1e9) for step, nanoseconds in owned.items() if nanoseconds])


_MAX_DEPTH: Final = 100
"""Steps nest a handful deep; parent links that form a chain longer than this are hostile."""


def _walk(
    step: Step, low: int, high: int, children: Mapping[str, Sequence[Step]], owned: dict[str, int], depth: int
) -> None:
    now = high
    for child in _latest_first(children.get(step.span_id, ())) if depth < _MAX_DEPTH else ():
        start = max(child.start_ns, low)
        end = min(child.end_ns, now)
        if end <= start:
            continue
        if now > end:
            owned[step.step] = owned.get(step.step, 0) + now - end
        _walk(child, start, end, children, owned, depth + 1)
        now = start
        if now <= low:
            return
    if now > low:
        owned[step.step] = owned.get(step.step, 0) + now - low


def _latest_first(steps: Sequence[Step]) -> Iterable[Step]:
    return steps if len(steps) < 2 else sorted(steps, key=_end, reverse=True)


def _end(step: Step) -> int:
    return step.end_ns
