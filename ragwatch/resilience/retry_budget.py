"""The retry budget: how much extra load retries may cause, whatever fails.

Every call under a budget earns ``ratio`` tokens, a second earns ``per_second``, and a retry spends one. At 100 %
failure the load is then 1 + ``ratio`` of the calls, where three retries without a budget are four times the load.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from ragwatch.errors import ConfigError
from ragwatch.resilience.at_fork import renewed_after_fork


class RetryBudget:
    """A bucket of tokens that holds at most ``burst``; it begins full.

    >>> budget = RetryBudget(ratio=0.5, burst=1, per_second=0)
    >>> budget.spend(), budget.spend()
    (True, False)
    >>> budget.earn(); budget.earn(); budget.spend()
    True
    """

    __slots__ = ("__weakref__", "_clock", "_lock", "_then", "_tokens", "burst", "per_second", "ratio")

    def __init__(
        self,
        *,
        ratio: float = 0.1,
        burst: float = 10.0,
        per_second: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, value in (("ratio", ratio), ("burst", burst), ("per_second", per_second)):
            if not 0 <= value < float("inf"):
                raise ConfigError(name, f"{value!r} is not 0 or more", source="RetryBudget")
        self.ratio = ratio
        self.burst = burst
        self.per_second = per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._then = clock()
        renewed_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: a thread that held the lock is not there."""
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A call was made."""
        with self._lock:
            tokens = self._tokens + self.ratio
            self._tokens = min(self.burst, tokens)

    def spend(self) -> bool:
        """Take a token for one retry; False when there is none."""
        with self._lock:
            self._refill()
            if self._tokens < 1 - 1e-9:  # ten times a tenth
                return False
            self._tokens = max(0.0, self._tokens - 1)
            return True

    @property
    def tokens(self) -> float:
        """Retries that could be made now."""
        with self._lock:
            self._refill()
            return self._tokens

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._then) * self.per_second)
        self._then = max(now, self._then)


_lock = threading.Lock()
_shared: dict[str, RetryBudget] = {}


def budget_of(name: str) -> RetryBudget:
    """The budget that all policies of this name share."""
    with _lock:
        found = _shared.get(name)
        if found is None:
            found = _shared[name] = RetryBudget()
        return found


def _renew() -> None:
    """In a forked child: a thread that held the lock is not there."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew)
