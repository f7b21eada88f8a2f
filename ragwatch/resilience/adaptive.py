"""``AdaptiveLimit``: finds out how many calls a dependency takes at once, from how long they take.

After Netflix's concurrency-limits (github.com/Netflix/concurrency-limits): the gradient compares the long-term time
of a call with the time now, and lets the limit fall as soon as calls begin to queue; AIMD adds one while all is well
and takes a tenth away at a failure.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

from ragwatch.errors import ConfigError, Rejected
from ragwatch.resilience.breaker_policy import is_cancellation
from ragwatch.resilience.events import Listener, log
from ragwatch.resilience.limits import Bulkhead, priority
from ragwatch.resilience.retryable import transient

SHARES = {0: 1.0, -1: 0.8}
"""Up to which share of the limit calls of a priority are let in: 0.6 below -1, all above 0."""


class Algorithm(Protocol):
    """How the limit follows what is seen."""

    def update(self, limit: float, took_s: float, running: int, *, failed: bool) -> float:
        """The new limit after one call that took that long while so many were running."""


class Gradient:
    """The limit times (time of a call without queueing × tolerance ÷ time now), plus √limit of slack, smoothed.

    The time without queueing is the least that was seen. A queue that stays would in the end look like the usual, so
    every ``probe_every`` calls the limit is halved for as many calls as it allows twice over, and the time is taken
    anew. (Averaging the long-term time instead, as Gradient2 does, let the limit climb to four times the capacity in
    the simulation of ``tests/resilience/test_limits.py``.)
    """

    def __init__(self, *, tolerance: float = 1.5, smoothing: float = 0.2, probe_every: int = 1000) -> None:
        self._tolerance = tolerance
        self._smoothing = smoothing
        self._probe_every = probe_every
        self._until_probe = probe_every
        self._least_s = math.inf
        self._probing = 0
        self._resume_at = 0.0

    def update(self, limit: float, took_s: float, running: int, *, failed: bool) -> float:
        """The new limit."""
        if self._probing:
            return self._probe(limit, took_s, failed=failed)
        if failed:
            return limit * 0.9
        took_s = max(took_s, 1e-9)
        self._least_s = min(self._least_s, took_s)
        if running < limit / 2:  # nobody needs more: nothing is learnt of it
            return limit
        self._until_probe -= 1
        if not self._until_probe:
            self._probing, self._resume_at, self._least_s = max(2, round(2 * limit)), limit, math.inf
            return limit / 2
        gradient = max(0.5, min(1.0, self._tolerance * self._least_s / took_s))
        wanted = limit * gradient + math.sqrt(limit)
        return limit * (1 - self._smoothing) + wanted * self._smoothing

    def _probe(self, limit: float, took_s: float, *, failed: bool) -> float:
        if not failed:
            self._least_s = min(self._least_s, max(took_s, 1e-9))
        self._probing -= 1
        if self._probing:
            return limit
        self._until_probe = self._probe_every
        return self._resume_at


class Aimd:
    """Additive increase, multiplicative decrease: a failure, or a call over ``timeout`` seconds, takes a tenth away."""

    def __init__(self, *, backoff: float = 0.9, timeout: float = 5.0) -> None:
        self._backoff = backoff
        self._timeout = timeout

    def update(self, limit: float, took_s: float, running: int, *, failed: bool) -> float:
        """The new limit."""
        if failed or took_s > self._timeout:
            return limit * self._backoff
        return limit + 1 / limit if running * 2 >= limit else limit


class AdaptiveLimit(Bulkhead):
    """A bulkhead whose size follows the dependency, between ``min_limit`` and ``max_limit``.

    It falls at exceptions that ``overloaded`` accepts (by default what is transient: time-outs, lost connections, 429,
    5xx); others say nothing of the dependency's load. Calls of a low priority (``priority.set(-1)`` in their context)
    are turned away first, with the reason ``shed``.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        initial: int = 20,
        min_limit: int = 1,
        max_limit: int = 200,
        algorithm: Literal["gradient", "aimd"] | Algorithm = "gradient",
        overloaded: Callable[[BaseException], bool] = transient,
        max_wait: float = 0.0,
        max_queue: int = 1000,
        fallback: Callable[..., Any] | None = None,
        listeners: Iterable[Listener] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 1 <= min_limit <= initial <= max_limit:
            raise ConfigError("initial", f"{initial!r} is not between min_limit and max_limit", source="AdaptiveLimit")
        super().__init__(
            name,
            max_concurrent=initial,
            max_wait=max_wait,
            max_queue=max_queue,
            fallback=fallback,
            listeners=listeners,
            clock=clock,
        )
        self._min, self._max = float(min_limit), float(max_limit)
        if isinstance(algorithm, str):
            algorithm = Gradient() if algorithm == "gradient" else Aimd()
        self._algorithm = algorithm
        self._overloaded = overloaded

    def record(self, ticket: float, error: BaseException | None = None, result: Any = None) -> None:  # noqa: ARG002
        """The call is over: learn from it. A cancelled call, or one that failed by itself, says nothing."""
        if error is None or self._says_overload(error):
            took_s = self.clock() - ticket
            with self._lock:
                found = self._algorithm.update(self._limit, took_s, self.running, failed=error is not None)
                self._limit = self._level.value = min(self._max, max(self._min, found))
        self.release()

    def _says_overload(self, error: BaseException) -> bool:
        if is_cancellation(error) or isinstance(error, Rejected):
            return False
        try:
            return self._overloaded(error)
        except Exception:  # noqa: BLE001  (the app's own predicate)
            log.exception("ragwatch: overloaded of limit %s failed; the call says nothing", self.name)
            return False

    def _share(self) -> float:
        level = priority.get()
        share = 1.0 if level > 0 else SHARES.get(level, 0.6)
        return max(1.0, self._limit * share)
