"""One question of a load: when it should have been asked, when it was, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ragwatch.demo.evaluate import hit, recall, reciprocal_rank
from ragwatch.demo.golden import Golden
from ragwatch.record import Document
from ragwatch.target.asking import K

Label = tuple[float, bool, float]


class Job(NamedTuple):
    """A question to ask; times are seconds on the run's clock.

    ``sent_s`` is when the bench handed it over, ``until_s`` when its user leaves (closed loop).
    """

    phase: int
    due_s: float
    sent_s: float
    golden: Golden
    until_s: float = 0.0


class Shot(NamedTuple):
    """A question that was asked. ``outcome`` is ok, error, rejected or cancelled; ``error`` is class and message.

    ``label`` is recall, hit and reciprocal rank of the documents in the answer; ``relevant`` are those that answer the
    question, for whoever finds the documents elsewhere.
    """

    phase: int
    due_s: float
    sent_s: float
    begun_s: float
    ended_s: float
    outcome: str = "ok"
    error: tuple[str, str] | None = None
    first_s: float | None = None
    trace_id: str | None = None
    label: Label | None = None
    relevant: frozenset[str] = frozenset()


def judged(documents: Iterable[Document], relevant: frozenset[str]) -> Label | None:
    """Documents, best first, held against those that answer the question; None where nobody knows these.

    >>> judged([Document("a", 1), Document("b", 2)], frozenset("b"))
    (1.0, True, 0.5)
    """
    if not relevant:
        return None
    ids = [document.id or "" for document in documents]
    return recall(ids[:K], relevant), hit(ids[:K], relevant), reciprocal_rank(ids, relevant)
