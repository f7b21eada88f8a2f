"""Answers that a cache of the framework's replayed: the span carries the whole usage of a call that was never made.

What tells is the id of an answer that came before, or a speed that no server has, of a model that was slower before:
the models that frameworks bring for tests always answer at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ragwatch.assembly.node import Node
from ragwatch.conventions.own import STATUS_ERROR

IMPOSSIBLE_S: Final = 0.002
"""No model server has been seen to answer with tokens in less; LangChain's in-memory cache takes 0.4 to 0.6 ms."""
SERVED_S: Final = 0.02
"""What a model server takes at least. Far from the other: a test's model takes a while too when it is first called."""
REMEMBERED: Final = 20_000
MAX_MODELS: Final = 1000


class Replays:
    """Remembers which answers came, by service and response id. ``mark`` wants the calls of one release together."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str], int] = {}
        self._served: dict[tuple[str, str], None] = {}
        """The models by service that once took as long as a server does."""

    def mark(self, nodes: Iterable[Node]) -> None:
        """Mark the replays among these spans; the same id in overlapping windows is one call seen twice."""
        calls = [node for node in nodes if node.role == "generate" and not node.own]
        for node in sorted(calls, key=lambda node: (node.span.start_ns, node.span.span_id)):
            fields = node.fields("generate")
            identity = fields.get("response_id")
            if node.span.status_code == STATUS_ERROR:
                continue
            if fields.get("cache_result") is None and self._is_replay(node, identity):
                fields["cache_result"] = "hit"
                fields["cache_suspected"] = True
            if isinstance(identity, str) and fields.get("cache_result") != "hit":
                self._remember((node.origin.service, identity), node.span.end_ns)
            if _lasted(node) >= SERVED_S and len(self._served) < MAX_MODELS:
                self._served[_model(node)] = None

    def _is_replay(self, node: Node, identity: object) -> bool:
        if isinstance(identity, str):
            ended = self._ends.get((node.origin.service, identity))
            if ended is not None and ended <= node.span.start_ns:
                return True
        tokens = node.fields("generate").get("output_tokens")
        if not tokens or not 0 < _lasted(node) < IMPOSSIBLE_S:  # a span of no time at all is a report of a call
            return False
        return _model(node) in self._served

    def _remember(self, key: tuple[str, str], end_ns: int) -> None:
        self._ends[key] = min(end_ns, self._ends.get(key, end_ns))
        if len(self._ends) > REMEMBERED:
            for old in list(self._ends)[: REMEMBERED // 10]:
                del self._ends[old]


def _lasted(node: Node) -> float:
    return (node.span.end_ns - node.span.start_ns) / 1e9


def _model(node: Node) -> tuple[str, str]:
    return node.origin.service, str(node.fields("generate").get("model", ""))
