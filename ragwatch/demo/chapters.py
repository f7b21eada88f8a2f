"""The figures of a run act by act: what the KPIs were in each, so that an outage's effect stands beside its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ragwatch.demo.people import cites
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.kpi.state import State


@dataclass(slots=True)
class Chapter:
    """One act: its KPIs, and how many of its answers cite a document that is known to answer (of how many)."""

    name: str
    metrics: RAGMetrics
    right: int = 0
    answered: int = 0


class Chapters:
    """Cuts the KPIs of a process at the moments when the act changes.

    >>> from ragwatch.kpi.engine import Engine
    >>> from ragwatch.record import QueryRecord
    >>> engine = Engine()
    >>> chapters = Chapters(engine.state.copy, "calm")
    >>> engine.observe(QueryRecord("ab" * 16, "cd" * 8, "bot", "prod", 0, 2_000_000_000))
    >>> chapters.judge("see [a]", {"a"})
    >>> chapters.begin("storm")
    >>> [(c.name, c.metrics.query_count, c.right) for c in chapters.all()]
    [('calm', 1, 1), ('storm', 0, 0)]
    """

    def __init__(self, state: Callable[[], State], name: str) -> None:
        self._state = state
        self._done: list[Chapter] = []
        self._before = state()
        self._name = name
        self._right = self._answered = 0

    def judge(self, answer: str, relevant: Iterable[str]) -> None:
        """Take an answer: it is right when it cites one of the relevant documents."""
        wanted = list(relevant)
        if wanted:
            self._answered += 1
            self._right += cites(answer, wanted)

    def begin(self, name: str) -> None:
        """End the act that runs and begin the next."""
        now = self._state()
        self._done.append(self._until(now))
        self._before, self._name = now, name
        self._right = self._answered = 0

    def all(self) -> list[Chapter]:
        """The acts so far, the one that runs included."""
        return [*self._done, self._until(self._state())]

    def _until(self, now: State) -> Chapter:
        since = State()
        since.add(now)
        since.subtract(self._before)
        return Chapter(self._name, RAGMetrics.of(since), self._right, self._answered)
