"""One call under a retry policy: which attempt it is at, whether there will be another, what was wasted so far."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragwatch.errors import Rejected
from ragwatch.resilience.deadline import remaining
from ragwatch.resilience.events import AttemptFailed, tell
from ragwatch.resilience.retry_policy import Result
from ragwatch.resilience.retryable import retry_after_of

if TYPE_CHECKING:
    from ragwatch.resilience.retry import Retry


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt that runs now: its number (1 is the first), and the key that all attempts of a call share.

    ``along_path`` is the number times that of each attempt around it: how often the innermost call has been made for
    the one at the top.
    """

    operation: str
    number: int
    key: str | None
    along_path: int = 1


running: ContextVar[Attempt | None] = ContextVar("ragwatch_retry", default=None)
writes: Callable[[], bool] = bool
"""Whether the surrounding step changes something; the SDK says so."""


def current_attempt() -> Attempt | None:
    """The attempt that runs now; None outside of a retry, and in a first attempt that has no key."""
    return running.get()


class Run:
    """One call under a policy: which attempt it is at, and what has been wasted so far."""

    __slots__ = ("_key", "_last", "_outer", "_retry", "_until", "_wait", "_wasted", "attempt", "started")

    def __init__(self, retry: Retry, started: float, args: Any, kwargs: Any) -> None:
        self._retry = retry
        self.started = started
        seconds = retry.policy.deadline
        self._until = None if seconds is None else started + seconds
        self._wait = 0.0
        self._wasted = 0.0
        self._last: BaseException | None = None
        self.attempt = 1
        outer = running.get()
        self._outer = 1 if outer is None else outer.along_path
        key = retry.policy.key
        self._key = uuid.uuid4().hex if key == "auto" else key(*args, **kwargs) if callable(key) else key

    def begin(self) -> Any:
        """An attempt begins."""
        self.started = self._retry.clock()
        return running.set(self._attempt())

    def show(self) -> Any:
        """As ``begin``, for the code of a stream each time that it runs; None where there is nothing to show."""
        return running.set(self._attempt()) if self.attempt > 1 or self._key is not None else None

    def _attempt(self) -> Attempt:
        return Attempt(self._retry.policy.name, self.attempt, self._key, self._outer * self.attempt)

    def succeeded(self) -> None:
        """The attempt that just ran went well."""
        self._retry.tally.add("ok", self.attempt, self._wasted)

    def failed(self, error: BaseException, *, stop: bool = False) -> float | None:
        """The attempt that just ran failed: seconds to wait before the next one, or None to give up."""
        retry = self._retry
        took = retry.clock() - self.started
        self._wasted += took
        if isinstance(error, Rejected) and error.__cause__ is None:
            error.__cause__ = self._last  # what opened the breaker
        self._last = error
        result, wait = ("not_retryable", 0.0) if stop else self._decide(error)
        if result == "ok":
            self._wait = wait
            self._wasted += wait
            self._tell(self.attempt, error, took, wait)
            self.attempt += 1
            return wait
        made = self.attempt - isinstance(error, Rejected)  # what was turned away never reached the dependency
        retry.tally.add(result, made, self._wasted)
        self._tell(made, error, took, None, result)
        return None

    def _tell(
        self, made: int, error: BaseException, took: float, wait: float | None, result: str | None = None
    ) -> None:
        along_path = self._outer * (made + (wait is not None))
        event = AttemptFailed(self._retry.policy.name, made, error, took, wait, result, along_path)
        tell(self._retry.listeners, event)

    def _decide(self, error: BaseException) -> tuple[Result, float]:
        """``ok`` and the wait where another attempt is right; else why not."""
        retry, policy = self._retry, self._retry.policy
        left = self._left()
        if left == 0 and not isinstance(error, Exception):
            return "deadline", 0.0
        if not retry.test(error) or not policy.may_repeat(writes=writes(), key=self._key):
            return "not_retryable", 0.0
        if self.attempt > policy.max_retries:
            return "exhausted", 0.0
        wait = policy.delay(self.attempt, self._wait, retry.uniform)
        asked = retry_after_of(error)
        if asked is not None:
            if asked > policy.max_retry_after:
                return "deadline", 0.0
            wait = _after(asked, wait, left, spread=policy.jitter != "none")
        if left is not None and wait >= left:
            return "deadline", 0.0
        if retry.budget is not None and not retry.budget.spend():
            return "budget", 0.0
        return "ok", wait

    def _left(self) -> float | None:
        """Seconds that are left, by the policy's deadline or by the one in the context."""
        own = None if self._until is None else max(0.0, self._until - self._retry.clock())
        held = remaining()
        return held if own is None else own if held is None else min(own, held)


def _after(asked: float, wait: float, left: float | None, *, spread: bool) -> float:
    """The wait where the server asked for one: at least that, and not all clients at the same instant."""
    found = asked + wait if spread else max(asked, wait)
    return asked if left is not None and asked < left <= found else found
