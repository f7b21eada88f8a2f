"""What became of a document, and of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

Outcome = Literal["ok", "failed", "deferred", "dead", "unchanged"]
MAX_DETAILS = 10_000
"""Failed documents that a result names; the ledger knows them all."""


class DocResult(NamedTuple):
    """One document's outcome; ``attempts`` over all runs, ``retry_at`` in seconds since the epoch."""

    source: str
    outcome: Outcome
    attempts: int = 0
    reason: str = ""
    error_type: str | None = None
    error_class: str | None = None
    duration_s: float = 0.0
    retry_at: float | None = None
    value: Any = None


@dataclass
class ProcessingResult:
    """The sums of a run: success + failure + skipped + deferred is the number of documents that were read.

    ``failure_count`` holds failed and dead documents, ``skipped_count`` unchanged ones. ``failed_documents`` and
    ``error_details`` name the first ``MAX_DETAILS`` of those that failed or were deferred.
    """

    success_count: int = 0
    failure_count: int = 0
    failed_documents: list[str] = field(default_factory=list)
    processing_time: float = 0.0
    error_details: dict[str, str] = field(default_factory=dict)
    skipped_count: int = 0
    deferred_count: int = 0
    dead_count: int = 0
    _max_details: ClassVar[int] = MAX_DETAILS

    @property
    def total(self) -> int:
        """The documents that were read."""
        return self.success_count + self.failure_count + self.skipped_count + self.deferred_count

    def add(self, found: DocResult) -> None:
        """Take one document's outcome."""
        outcome = found.outcome
        if outcome == "ok":
            self.success_count += 1
            return
        if outcome == "unchanged":
            self.skipped_count += 1
            return
        if outcome == "deferred":
            self.deferred_count += 1
        else:
            self.failure_count += 1
            self.dead_count += outcome == "dead"
        if len(self.failed_documents) < self._max_details:
            self.failed_documents.append(found.source)
            self.error_details[found.source] = found.reason
