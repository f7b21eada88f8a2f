"""What an ingestion pipeline has counted: the source of its KPIs."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from typing import ClassVar

from ragwatch.processing.result import Outcome
from ragwatch.resilience.tallies import TALLIES, Series

OUTCOMES = ("ok", "failed", "deferred", "dead", "unchanged")


class IngestTally:
    """Documents by outcome, how many wait, and since when the oldest does."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begin again at zero."""
        self._lock = threading.Lock()
        self.outcomes: Counter[Outcome] = Counter()
        self.backlog: int | None = None
        self.oldest_at: float | None = None

    def add(self, outcomes: Counter[Outcome]) -> None:
        """So many documents of each outcome."""
        with self._lock:
            self.outcomes.update(outcomes)

    def totals(self) -> dict[Series, float]:
        """Counters of the catalogue."""
        with self._lock:
            return {
                ("rag.ingest.documents", (self.pipeline, outcome)): count for outcome, count in self.outcomes.items()
            }

    def levels(self) -> dict[Series, float]:
        """How many wait, and the age of the oldest in seconds."""
        if self.backlog is None:
            return {}
        oldest = 0.0 if self.oldest_at is None else max(0.0, time.time() - self.oldest_at)
        return {("rag.ingest.backlog", (self.pipeline,)): self.backlog, ("rag.ingest.oldest", (self.pipeline,)): oldest}


class _Known:
    """The pipelines of this process. In a forked child nobody is there to give a lock back that was held."""

    lock = threading.Lock()
    tallies: ClassVar[dict[str, IngestTally]] = {}


os.register_at_fork(after_in_child=lambda: setattr(_Known, "lock", threading.Lock()))


def tally_of(pipeline: str) -> IngestTally:
    """The counters of that pipeline."""
    with _Known.lock:
        found = _Known.tallies.get(pipeline)
        if found is None:
            found = _Known.tallies[pipeline] = IngestTally(pipeline)
            TALLIES.enter(found, found)
        return found
