"""What retry policies have counted, by name: calls by result, attempts, seconds wasted."""

from __future__ import annotations

import os
import threading

from ragwatch.resilience.tallies import TALLIES, Series

RESULTS = ("ok", "exhausted", "not_retryable", "budget", "deadline")
MAX_NAMES = 1000
OVERFLOW = "other"


class RetryTally:
    """The counters of all policies of one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begin again at zero."""
        self._lock = threading.Lock()
        self.ok = self.attempts = 0
        self.ended = dict.fromkeys(RESULTS, 0)
        self.wasted_s = 0.0

    def went_well(self) -> None:
        """A call whose first attempt succeeded."""
        with self._lock:
            self.ok += 1
            self.attempts += 1

    def add(self, result: str, attempts: int, wasted_s: float) -> None:
        """A call that needed, or got, more."""
        with self._lock:
            self.ended[result] += 1
            self.attempts += attempts
            self.wasted_s += wasted_s

    def totals(self) -> dict[Series, float]:
        """Counters of the catalogue."""
        with self._lock:
            ended = {**self.ended, "ok": self.ok + self.ended["ok"]}
            attempts, wasted = self.attempts, self.wasted_s
        found: dict[Series, float] = {
            ("rag.retry.calls", (self.name, result)): count for result, count in ended.items() if count
        }
        if found:
            found["rag.retry.attempts", (self.name,)] = attempts
            found["rag.retry.wasted", (self.name,)] = wasted
        return found

    def levels(self) -> dict[Series, float]:
        """None."""
        return {}


_lock = threading.Lock()
_known: dict[str, RetryTally] = {}


def tally_of(name: str) -> RetryTally:
    """The counters of that name; beyond ``MAX_NAMES`` names, those of ``other``."""
    with _lock:
        found = _known.get(name)
        if found is None:
            if len(_known) >= MAX_NAMES:
                name = OVERFLOW
            found = _known.get(name) or RetryTally(name)
            if name not in _known:
                _known[name] = found
                TALLIES.enter(found, found)
        return found


def _renew() -> None:
    """In a forked child: a thread that held the lock is not there."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew)
