"""The pure part of retry: how long to wait, and whether to try again. It reads no clock and sleeps nowhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ragwatch.errors import ConfigError
from ragwatch.resilience.retryable import RetryOn

Jitter = Literal["full", "decorrelated", "equal", "none"]
Result = Literal["ok", "exhausted", "not_retryable", "budget", "deadline"]
Uniform = Callable[[float, float], float]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again. ``max_retries`` counts the extra attempts; times are seconds.

    ``retry_on`` is exception types, HTTP statuses or a predicate; by default what is transient: time-outs, lost
    connections, HTTP 408, 409, 425, 429 and 5xx. ``idempotent=False`` (or None, within a ``tool`` or ``ingest`` step)
    is retried only with a ``key``, which the operation reads from ``current_attempt().key`` and sends along.
    ``deadline`` bounds the call with all its attempts and waits, ``attempt_timeout`` each attempt. A ``Retry-After``
    of the failure is waited for in full; where it is beyond ``max_retry_after`` or the deadline the call ends.

    >>> policy = RetryPolicy(base_delay=1.0, max_delay=60.0)
    >>> [policy.delay(attempt, 0.0, lambda low, high: high) for attempt in (1, 2, 3, 10)]
    [1.0, 2.0, 4.0, 60.0]
    """

    name: str = "default"
    max_retries: int = 3
    base_delay: float = 0.5
    max_delay: float = 60.0
    exponential_factor: float = 2.0
    jitter: Jitter = "full"
    attempt_timeout: float | None = None
    deadline: float | None = None
    retry_on: RetryOn | None = None
    idempotent: bool | None = None
    key: str | Callable[..., str] | None = None
    max_retry_after: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        self._need("max_retries", self.max_retries >= 0, "0 or more")
        self._need("base_delay", 0 <= self.base_delay < math.inf, "0 or more seconds")
        self._need("max_delay", 0 <= self.max_delay < math.inf, "0 or more seconds")
        self._need("exponential_factor", 1 <= self.exponential_factor < math.inf, "1 or more")
        self._need("jitter", self.jitter in get_args(Jitter), "one of full, decorrelated, equal, none")
        for name in ("attempt_timeout", "deadline"):
            value: Any = getattr(self, name)
            self._need(name, value is None or value > 0, "more than 0 seconds")

    def _need(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ConfigError(name, f"{getattr(self, name)!r} is not {wanted}", source="RetryPolicy")

    def delay(self, attempt: int, previous: float, uniform: Uniform) -> float:
        """Seconds to wait after the ``attempt``-th attempt (1 is the first) failed; ``previous`` is the wait before it.

        The jitter is drawn *under* the cap: added after it, all clients that reached the cap come at the same instant.
        Full, equal and decorrelated jitter are those of Brooker, "Exponential Backoff And Jitter" (2015).
        """
        cap = self.max_delay
        if self.jitter == "decorrelated":
            low = min(cap, self.base_delay)
            return uniform(low, max(low, min(cap, max(previous, self.base_delay) * 3)))
        try:
            grown = min(cap, self.base_delay * self.exponential_factor ** (attempt - 1))
        except OverflowError:
            grown = cap
        if self.jitter == "full":
            return uniform(0.0, grown)
        return grown if self.jitter == "none" else uniform(grown / 2, grown)

    def may_repeat(self, *, writes: bool, key: str | None) -> bool:
        """Whether a second attempt can do no harm; ``writes`` says that the surrounding step changes something."""
        return self.idempotent or key is not None or (self.idempotent is None and not writes)
