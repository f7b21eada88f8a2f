"""The model calls that wait, by answer, moment and second: a client's span finds the framework's around it, and back.

A look-up sees the calls with the same answer, or a bounded number of one service, step and second, so that it costs the
same however many wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from ragwatch.assembly.node import CALLS, Node

SECOND_NS: Final = 1_000_000_000
TOLERANCE_NS: Final = 2_000_000
"""Clocks of one machine, read a moment apart."""
NEAR_NS: Final = 20_000_000
"""A framework calls its client within this time."""
MAX_SECONDS: Final = 30
"""A longer call stands in one more place: a stream of minutes."""
MAX_LOOKED_AT: Final = 100
"""Calls of one service, step and second that are compared; of more at a time only the answer's id could tell."""
_Place = tuple[str, str, int | str]
"""Service, step, and a second, or a moment of ``NEAR_NS`` or an answer as text."""
_Table = dict[_Place, dict[bytes, Node]]


class Calls:
    """Frameworks' calls and clients' calls that are alone in their trace."""

    def __init__(self) -> None:
        self._hosts: _Table = {}
        self._loners: _Table = {}

    def add(self, node: Node) -> None:
        """Remember a call; any other span is none."""
        if node.role in CALLS:
            table = self._table(node)
            for place in _places(node):
                table.setdefault(place, {})[node.key] = node

    def remove(self, node: Node) -> None:
        """Forget a call."""
        if node.seen.role in CALLS:
            table = self._table(node)
            for place in _places(node):
                held = table.get(place)
                if held is not None and held.pop(node.key, None) is not None and not held:
                    del table[place]

    def answered_as(self, call: Node) -> Iterable[Node]:
        """The frameworks' calls that got the same answer as a client's call."""
        return _some(self._hosts, _answer(call))

    def near(self, call: Node) -> Iterable[Node]:
        """The frameworks' calls that began just before a client's call."""
        service, role = call.origin.service, call.role
        at = call.span.start_ns // NEAR_NS
        for moment in (at, at - 1):
            yield from _some(self._hosts, (service, role, f"{moment}"))

    def around(self, call: Node) -> Iterable[Node]:
        """The frameworks' calls at the time of a client's call."""
        service, role = call.origin.service, call.role
        for second in (call.span.start_ns // SECOND_NS, -1):
            yield from _some(self._hosts, (service, role, second))

    def within(self, host: Node) -> Iterable[Node]:
        """The clients' calls that a framework's call may be around."""
        if host.role not in CALLS or not self._loners or host.alone:
            return
        answer = _answer(host)
        yield from _some(self._loners, answer)
        first, last = host.span.start_ns // SECOND_NS, host.span.end_ns // SECOND_NS
        for second in range(first, min(last, first + 10 * MAX_SECONDS) + 1):
            for call in _some(self._loners, (host.origin.service, host.role, second)):
                if is_within(call, host) and (answer is None or _answer(call) in {None, answer}):
                    yield call

    def _table(self, node: Node) -> _Table:
        return self._loners if node.alone else self._hosts


def is_within(call: Node, host: Node) -> bool:
    """Whether a call's window lies within another's."""
    return (
        host.span.start_ns - TOLERANCE_NS <= call.span.start_ns and call.span.end_ns <= host.span.end_ns + TOLERANCE_NS
    )


def _places(node: Node) -> Iterator[_Place]:
    service, role = node.origin.service, node.seen.role
    answer = _answer(node)
    if answer is not None:
        yield answer
    first, last = node.span.start_ns // SECOND_NS, node.span.end_ns // SECOND_NS
    if node.alone:
        yield service, role, first
        return
    yield service, role, f"{node.span.start_ns // NEAR_NS}"
    if last - first > MAX_SECONDS:
        yield service, role, -1
        return
    for second in range(first, max(first, last) + 1):
        yield service, role, second


def _answer(node: Node) -> _Place | None:
    """The place of those that got the same answer, where the call says which."""
    identity = node.fields(node.seen.role).get("response_id") if node.seen.role == "generate" else None
    return (node.origin.service, node.seen.role, identity) if isinstance(identity, str) else None


def _some(table: _Table, place: _Place | None) -> list[Node]:
    held = table.get(place) if place is not None else None
    return list(islice(held.values(), MAX_LOOKED_AT)) if held else []
