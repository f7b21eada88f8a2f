"""What two answers differ in: documents, ranks, time by step, the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ragwatch.explore.asked import Asked

SAME_SHARE = 0.1
"""Times that differ by less than this of the longer one, or by a millisecond, are not worth a line."""
SAME_S = 0.001


class Move(NamedTuple):
    """A document in both, at another rank."""

    id: str
    before: int
    after: int


class Difference(NamedTuple):
    """``gained`` are (id, rank) of what only the second has, ``lost`` of what only the first has.

    All three are empty, and ``unseen`` is true, where one of the two does not say which documents it had.
    """

    gained: tuple[tuple[str, int], ...]
    lost: tuple[tuple[str, int], ...]
    moved: tuple[Move, ...]
    steps: tuple[tuple[str, float, float], ...]
    same_answer: bool
    seconds: tuple[float, float]
    cache: tuple[str | None, str | None]
    unseen: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; documents are None where one of the two does not show them."""
        documents = {
            "gained": [{"id": key, "rank": rank} for key, rank in self.gained],
            "lost": [{"id": key, "rank": rank} for key, rank in self.lost],
            "moved": [move._asdict() for move in self.moved],
        }
        return {
            "documents": None if self.unseen else documents,
            "steps_s": {step: {"before": was, "after": now} for step, was, now in self.steps},
            "same_answer": self.same_answer,
            "latency_s": {"before": self.seconds[0], "after": self.seconds[1]},
            "cache": {"before": self.cache[0], "after": self.cache[1]},
        }


def difference(before: Asked, after: Asked) -> Difference:
    """What ``after`` has that ``before`` had not, and the other way round."""
    unseen = not (before.shows_documents and after.shows_documents)
    gained, lost, moved = of_ranks(
        [] if unseen else [document.id or "" for document in before.documents],
        [] if unseen else [document.id or "" for document in after.documents],
    )
    return Difference(
        gained,
        lost,
        moved,
        of_times(before.seconds_by_step(), after.seconds_by_step()),
        before.answer.text == after.answer.text,
        (before.answer.seconds, after.answer.seconds),
        (before.cache, after.cache),
        unseen,
    )


def of_ranks(
    before: Sequence[str], after: Sequence[str]
) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...], tuple[Move, ...]]:
    """(gained, lost, moved) of two rankings.

    >>> of_ranks(["a", "b", "c"], ["b", "a", "d"])
    ((('d', 3),), (('c', 3),), (Move(id='b', before=2, after=1), Move(id='a', before=1, after=2)))
    """
    first = {key: rank for rank, key in reversed(list(enumerate(before, 1)))}
    second = {key: rank for rank, key in reversed(list(enumerate(after, 1)))}
    gained = tuple(sorted(((key, rank) for key, rank in second.items() if key not in first), key=lambda pair: pair[1]))
    lost = tuple(sorted(((key, rank) for key, rank in first.items() if key not in second), key=lambda pair: pair[1]))
    moved = (Move(key, first[key], rank) for key, rank in second.items() if key in first and first[key] != rank)
    return gained, lost, tuple(sorted(moved, key=lambda move: move.after))


def of_times(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[tuple[str, float, float], ...]:
    """(step, seconds before, seconds after) where they differ by more than noise, the greatest difference first.

    >>> of_times({"embed": 0.010, "retrieve": 0.5}, {"embed": 0.0105, "retrieve": 0.2, "cache": 0.002})
    (('retrieve', 0.5, 0.2), ('cache', 0.0, 0.002))
    """
    names = dict.fromkeys((*before, *after))
    rows = [(name, before.get(name, 0.0), after.get(name, 0.0)) for name in names]
    told = [row for row in rows if abs(row[1] - row[2]) > max(SAME_S, SAME_SHARE * max(row[1:]))]
    return tuple(sorted(told, key=lambda row: -abs(row[1] - row[2])))
