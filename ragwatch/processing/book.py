"""The books of a run: what is to be written into the ledger, and what is to be told of each document afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from ragwatch.error_class import error_class
from ragwatch.processing.failure import Failure
from ragwatch.processing.item import Item
from ragwatch.processing.ledger import Ledger, Settled
from ragwatch.processing.result import DocResult, Outcome
from ragwatch.processing.tally import IngestTally
from ragwatch.resilience.retry_tally import RetryTally

LEVEL_INTERVAL_S = 1.0


class Work(NamedTuple):
    """A document that is to run: its attempts so far (over all runs), and in this run."""

    item: Item
    attempts: int = 0
    tries: int = 0
    fingerprint: str | None = None
    suspect: bool = False


class Book:
    """Notes for the ledger, and outcomes to be told once the ledger has them; ``busy`` is what has no outcome yet.

    It holds their digests by source.
    """

    def __init__(self, ledger: Ledger, tally: IngestTally, retry_tally: RetryTally | None) -> None:
        self.busy: dict[str, str] = {}
        self._ledger = ledger
        self._tally = tally
        self._retry_tally = retry_tally
        self._notes: list[Settled] = []
        self._outcomes: list[DocResult] = []
        self._levels_at = 0.0

    def note(self, settled: Settled) -> None:
        """Write this with the next transaction; the document has no outcome yet."""
        self._notes.append(settled)

    def settle(
        self,
        work: Work,
        outcome: Outcome,
        reason: str = "",
        *,
        failure: Failure | None = None,
        error_type: str | None = None,
        seconds: float = 0.0,
        retry_at: float | None = None,
        value: Any = None,
        suspect: bool = False,
    ) -> None:
        """A document's final outcome in this run: for the ledger, and to be told."""
        kind = failure.error_type if failure is not None else error_type
        fingerprint, trace_id = (failure.fingerprint, failure.trace_id) if failure is not None else (None, None)
        self.busy.pop(work.item.source, None)
        self.note(
            Settled(work.item, outcome, work.attempts, retry_at, kind, reason or None, fingerprint, trace_id, suspect)
        )
        if self._retry_tally is not None and work.tries and outcome != "deferred":
            result = "ok" if outcome == "ok" else "exhausted" if failure and failure.transient else "not_retryable"
            self._retry_tally.add(result, work.tries, seconds if outcome != "ok" else 0.0)
        self.say(work.item.source, outcome, work.attempts, reason, kind, seconds, retry_at, value)

    def say(
        self,
        source: str,
        outcome: Outcome,
        attempts: int = 0,
        reason: str = "",
        error_type: str | None = None,
        seconds: float = 0.0,
        retry_at: float | None = None,
        value: Any = None,
    ) -> None:
        """An outcome to be told that the ledger need not be told of."""
        kind = error_class(error_type, reason) if error_type is not None else None
        self._outcomes.append(DocResult(source, outcome, attempts, reason, error_type, kind, seconds, retry_at, value))

    def take_notes(self) -> list[Settled]:
        """What the caller is going to write."""
        notes, self._notes = self._notes, []
        return notes

    def tell(self, *, at_the_end: bool = False) -> Iterator[DocResult]:
        """Write what is settled, then tell of it; once a second also count what waits."""
        if self._notes:
            self._ledger.write(self.take_notes(), (), time.time())
        now = time.monotonic()
        if at_the_end or now >= self._levels_at:
            if at_the_end and self._ledger.path is None:  # nobody will ask for them again
                self._tally.backlog, self._tally.oldest_at = 0, None
            else:
                self._tally.backlog, self._tally.oldest_at = self._ledger.waiting()
            # a hundred thousand that wait take long to count: at most a fiftieth of the time goes there
            self._levels_at = now + max(LEVEL_INTERVAL_S, 50 * (time.monotonic() - now))
        outcomes, self._outcomes = self._outcomes, []
        if outcomes:
            self._tally.add(Counter([found.outcome for found in outcomes]))
        yield from outcomes
