"""The rules of a breaker as values: when it opens, for how long, and which exceptions count."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ragwatch.errors import ConfigError, Rejected
from ragwatch.resilience.events import log
from ragwatch.resilience.window import CountWindow, TimeWindow, Window

Kinds = type[BaseException] | tuple[type[BaseException], ...]
Predicate = Kinds | Callable[[BaseException], bool]


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """The settings of a breaker; ``CircuitBreaker`` says what each means. Times are seconds, rates are shares."""

    failure_threshold: int | None
    reset_timeout: float
    failure_rate: float | None
    slow_call_rate: float | None
    slow_call_duration: float
    window: int
    window_seconds: float | None
    minimum_calls: int
    half_open_permits: int
    success_threshold: int
    half_open_timeout: float
    reset_backoff: float
    max_reset_timeout: float
    reset_jitter: float

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("window", "minimum_calls", "half_open_permits", "success_threshold"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        for name in ("failure_rate", "slow_call_rate"):
            value = getattr(self, name)
            self._need(name, value is None or 0 < value <= 1, "a share: over 0, at most 1")
        for name in ("reset_timeout", "half_open_timeout", "slow_call_duration"):
            self._need(name, 0 <= getattr(self, name) < math.inf, "0 or more seconds")
        self._need("window_seconds", self.window_seconds is None or self.window_seconds > 0, "more than 0 seconds")
        self._need("failure_threshold", self.failure_threshold is None or self.failure_threshold >= 1, "at least 1")
        self._need("reset_backoff", self.reset_backoff >= 1, "at least 1")
        self._need("reset_jitter", 0 <= self.reset_jitter <= 1, "a share: 0 to 1")
        self._need("success_threshold", self.success_threshold <= self.half_open_permits, "at most half_open_permits")
        if self.window_seconds is None:
            self._need("minimum_calls", self.minimum_calls <= self.window or not self._uses_window, "at most window")

    def new_window(self) -> Window | None:
        """An empty window, where a rate is to be judged."""
        if not self._uses_window:
            return None
        return CountWindow(self.window) if self.window_seconds is None else TimeWindow(self.window_seconds)

    @property
    def _uses_window(self) -> bool:
        return self.failure_rate is not None or self.slow_call_rate is not None

    def _need(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ConfigError(name, f"{getattr(self, name)!r} is not {wanted}", source="CircuitBreaker")

    def reason_to_open(self, in_a_row: int, window: Window | None) -> str | None:
        """Why a closed breaker must open now, or None."""
        if self.failure_threshold is not None and in_a_row >= self.failure_threshold:
            return f"{in_a_row} failures in a row"
        if window is None or window.calls < self.minimum_calls:
            return None
        if self.failure_rate is not None and window.failed >= self.failure_rate * window.calls:
            return f"{window.failed} of {window.calls} calls failed"
        if self.slow_call_rate is not None and window.slow >= self.slow_call_rate * window.calls:
            return f"{window.slow} of {window.calls} calls were slow"
        return None

    def open_for(self, reopened: int, uniform: Callable[[float, float], float]) -> float:
        """Seconds that the breaker stays open when probes have failed ``reopened`` times in a row.

        The jitter spreads the time over ``reset_jitter`` of it, below the cap: a cap applied after the jitter would
        send all processes at the same instant.
        """
        cap = max(self.reset_timeout, self.max_reset_timeout)
        grown = self.reset_timeout * self.reset_backoff ** min(reopened, 64)
        wait = min(cap, grown)
        return uniform(wait * (1 - self.reset_jitter), wait) if self.reset_jitter else wait


def judge_of(ignore: Predicate, record: Predicate) -> Callable[[BaseException], bool]:
    """Whether an exception is a failure of the dependency.

    Cancellation, the end of the interpreter and another policy's rejection never are, whatever the predicates say. A
    predicate that raises is logged, and the exception counts as a failure.

    >>> judge = judge_of(ignore=ValueError, record=Exception)
    >>> judge(ConnectionError()), judge(UnicodeError()), judge(GeneratorExit()), judge(Rejected("x", "full"))
    (True, False, False, False)
    """
    ignored, recorded = _test_of(ignore), _test_of(record)

    def judge(error: BaseException) -> bool:
        if is_cancellation(error) or isinstance(error, Rejected):
            return False
        try:
            return not ignored(error) and recorded(error)
        except Exception:  # noqa: BLE001  (the app's own predicate)
            log.exception("ragwatch: a breaker's predicate failed; %s counts as a failure", type(error).__qualname__)
            return True

    return judge


def guarded_test(failure_result: Callable[[Any], bool], name: str) -> Callable[[Any], bool]:
    """Whether a result is a failure; where the app's own test raises, it is none."""

    def is_bad(result: Any) -> bool:
        try:
            return bool(failure_result(result))
        except Exception:  # noqa: BLE001  (the app's own predicate)
            log.exception("ragwatch: failure_result of breaker %s failed; the call counts as a success", name)
            return False

    return is_bad


def is_cancellation(error: BaseException) -> bool:
    """Whether no one failed: a task was cancelled, a stream was closed, the interpreter ends.

    Told by name, so that asyncio need not be loaded: asyncio's, concurrent.futures', anyio's and trio's are called so.
    """
    if not isinstance(error, Exception):
        return True
    return any(base.__name__ in {"CancelledError", "Cancelled"} for base in type(error).__mro__)


def _test_of(predicate: Predicate) -> Callable[[BaseException], bool]:
    if isinstance(predicate, type | tuple):
        kinds = predicate

        def is_kind(error: BaseException) -> bool:
            return isinstance(error, kinds)

        return is_kind
    return predicate
