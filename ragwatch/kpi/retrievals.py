"""What retrievals found: how many documents, how near, how old, how often the same; cells looked up once a source."""

from __future__ import annotations

from typing import Any, Final

from ragwatch import catalogue
from ragwatch.kpi.bounds import OTHER, LabelBounds
from ragwatch.kpi.state import Histogram, Key, State, Tally
from ragwatch.record import Document, Step
from ragwatch.semconv import ANSWERED

MAX_KEPT: Final = 4096
SCORED: Final = 10
"""Documents whose scores are looked at."""
Asked = tuple[str, str, str | None]
"""Service, environment, source: as the step says."""


class _Source:
    """The cells of retrievals from one source."""

    __slots__ = ("documents", "key", "results")

    def __init__(self, key: Key) -> None:
        self.key = key
        """Service, environment, source."""
        self.results: dict[str, Tally] = {}
        self.documents: Histogram | None = None


class Retrievals:
    """Counts the retrievals of steps into a state. Bounded."""

    def __init__(self, state: State, bounds: LabelBounds) -> None:
        self._state = state
        self._bounds = bounds
        self._known: dict[Asked, _Source] = {}

    def count(self, step: Step, service: str, environment: str) -> None:
        """Count one; ``service`` and ``environment`` are admitted already."""
        outcome = step.outcome
        asked = (service, environment, step.data_source)
        source = self._known.get(asked)
        if source is None:
            source = self._new(asked)
        if outcome not in ANSWERED:
            if outcome == "error":
                self._result(source, "error")
            return
        found: Any = step[_FOUND]
        threshold, count, documents = found
        if count is None:
            return
        scores: list[float] = (
            [document.score for document in documents[:SCORED] if document.score is not None] if documents else []
        )
        result = "ok"
        if count == 0:
            result = "empty"
        elif threshold is not None and scores and max(scores) < threshold:
            result = "below_threshold"
        self._result(source, result)
        if source.documents is None:
            source.documents = self._state.histogram("rag.retrieval.documents", source.key)
        source.documents.observe(count)
        if scores:
            self._scores((*source.key, "score"), scores, max(scores))
        if documents:
            if not scores:
                distances = [document.distance for document in documents[:SCORED] if document.distance is not None]
                if distances:
                    self._scores((*source.key, "distance"), distances, min(distances))
            self._health(source.key, documents, step.end_ns / 1e9)

    def _new(self, asked: Asked) -> _Source:
        service, environment, name = asked
        admitted = self._bounds.admit(catalogue.DATA_SOURCE, name)
        source = _Source((service, environment, admitted))
        if admitted != OTHER or name == OTHER:  # one that is over the bound is counted anew
            if len(self._known) >= MAX_KEPT:
                self._known.clear()
            self._known[asked] = source
        return source

    def _result(self, source: _Source, result: str) -> None:
        held = source.results.get(result)
        if held is None:
            held = source.results[result] = Tally(self._state, "rag.retrieval.requests", (*source.key, result))
        held.add()

    def _scores(self, key: Key, values: list[float], top: float) -> None:
        histogram = self._state.histogram
        histogram("rag.retrieval.score.top", key).observe(top)
        histogram("rag.retrieval.score.mean", key).observe(sum(values) / len(values))
        histogram("rag.retrieval.score.spread", key).observe(abs(values[0] - values[-1]))

    def _health(self, key: Key, documents: tuple[Document, ...], now_s: float) -> None:
        hashes = [document.content_hash for document in documents if document.content_hash is not None]
        repeated = len(hashes) - len(set(hashes))
        if repeated:
            self._state.increment("rag.retrieval.duplicates", key, repeated)
        for document in documents:
            if document.date is not None:
                self._state.histogram("rag.document.age", key).observe(max(0.0, now_s - document.date))


_FOUND: Final = slice(Step._fields.index("score_threshold"), Step._fields.index("documents") + 1)
