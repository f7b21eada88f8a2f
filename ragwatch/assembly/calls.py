"""The model calls that wait, by the seconds that they cover: a client's span finds the framework's around it, and back.

A look-up sees the calls of one service, step and second only, so that it costs the same however many wait.
"""

from __future__ import annotations

from collections.abc import Iterator

from ragwatch.assembly.node import CALLS, Node

SECOND_NS = 1_000_000_000
MAX_SECONDS = 30
"""A longer call stands in one more place: a stream of minutes."""
MAX_LOOKED_AT = 1000
_Place = tuple[str, str, int]


class Calls:
    """Frameworks' calls and clients' calls that are alone in their trace."""

    def __init__(self) -> None:
        self._hosts: dict[_Place, dict[bytes, Node]] = {}
        self._loners: dict[_Place, dict[bytes, Node]] = {}

    def add(self, node: Node) -> None:
        """Remember a call; any other span is none."""
        if node.role in CALLS:
            for place in _places(node):
                self._table(node).setdefault(place, {})[node.key] = node

    def remove(self, node: Node) -> None:
        """Forget a call."""
        if node.seen.role in CALLS:
            table = self._table(node)
            for place in _places(node):
                held = table.get(place)
                if held is not None and held.pop(node.key, None) is not None and not held:
                    del table[place]

    def around(self, call: Node) -> Iterator[Node]:
        """The frameworks' calls at the time of a client's call."""
        service, role = call.origin.service, call.role
        for second in (call.span.start_ns // SECOND_NS, -1):
            yield from _some(self._hosts.get((service, role, second)))

    def within(self, host: Node) -> Iterator[Node]:
        """The clients' calls at the time of a framework's call."""
        if host.role not in CALLS or not self._loners or host.alone:
            return
        first = host.span.start_ns // SECOND_NS
        for second in range(first, min(host.span.end_ns // SECOND_NS, first + 10 * MAX_SECONDS) + 1):
            yield from _some(self._loners.get((host.origin.service, host.role, second)))

    def _table(self, node: Node) -> dict[_Place, dict[bytes, Node]]:
        return self._loners if node.alone else self._hosts


def _places(node: Node) -> Iterator[_Place]:
    service, role = node.origin.service, node.seen.role
    first, last = node.span.start_ns // SECOND_NS, node.span.end_ns // SECOND_NS
    if node.alone:
        last = first
    if last - first > MAX_SECONDS:
        yield service, role, -1
        return
    for second in range(first, max(first, last) + 1):
        yield service, role, second


def _some(held: dict[bytes, Node] | None) -> list[Node]:
    return list(held.values())[:MAX_LOOKED_AT] if held else []
