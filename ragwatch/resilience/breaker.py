"""``CircuitBreaker``: stops calling what is down, finds out by a few probes when it is back.

The core is three calls: ``acquire`` gives a ticket or raises ``CircuitOpen``, ``record`` takes the result of a call,
``release`` gives the ticket back without a result. A ticket holds the epoch in which it was given; every transition
begins a new epoch, and a result from an older one changes nothing. The lock is held for a few assignments, never while
the caller's code or a listener runs, so that a closed breaker lets any number of calls run at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from ragwatch.errors import CircuitOpen
from ragwatch.resilience import events
from ragwatch.resilience.at_fork import renewed_after_fork
from ragwatch.resilience.breaker_policy import BreakerPolicy, Predicate, guarded_test, is_cancellation, judge_of
from ragwatch.resilience.breaker_tally import BreakerTally
from ragwatch.resilience.deadline import attempt_expired
from ragwatch.resilience.events import BreakerState, Listener, Rejection, Transition, tell
from ragwatch.resilience.guarded import Guarded
from ragwatch.resilience.sharing import SharedState, Shares
from ragwatch.resilience.tallies import TALLIES
from ragwatch.resilience.window import FAILED, SLOW

Ticket = tuple[int, float]
"""The right to make one call: the epoch in which it was given, and when (a plain tuple: it is on every call's path)."""


class CircuitBreaker(Shares, Guarded):
    """A circuit breaker around one dependency.

    It opens after ``failure_threshold`` failures in a row, or, where ``failure_rate`` or ``slow_call_rate`` (shares,
    0 to 1) is given, when that share of the last ``window`` calls (a number of calls, or seconds with
    ``window_seconds``) failed or took longer than ``slow_call_duration`` seconds, once there were ``minimum_calls``.
    After ``reset_timeout`` seconds it lets ``half_open_permits`` probes through: one failure opens it again (for
    ``reset_backoff`` times as long, up to ``max_reset_timeout``, spread by ``reset_jitter``), ``success_threshold``
    successes close it.

    ``ignore`` and ``record`` are exception types or a predicate: what is ignored, and any cancellation, counts
    neither way and gives its permit back. ``failure_result`` says of a result that it is a failure all the same.
    ``fallback(exception, *arguments)`` answers where a call was rejected or failed, and the step is then ``degraded``;
    it may raise the exception again. With ``shared`` (a ``RedisState``) breakers of one name in many processes open,
    probe and close together.

    >>> breaker = CircuitBreaker("vector-db", failure_threshold=2, listeners=())
    >>> @breaker
    ... def search(question): raise ConnectionError("down")
    >>> for _ in range(2):
    ...     try: search("why?")
    ...     except ConnectionError: pass
    >>> breaker.state
    'open'
    >>> search("why?")
    Traceback (most recent call last):
    ragwatch.errors.CircuitOpen: vector-db: circuit breaker open; try again in 60 s
    """

    def __init__(
        self,
        name: str = "default",
        *,
        failure_threshold: int | None = 5,
        reset_timeout: float = 60.0,
        failure_rate: float | None = None,
        slow_call_rate: float | None = None,
        slow_call_duration: float = 60.0,
        window: int = 100,
        window_seconds: float | None = None,
        minimum_calls: int = 10,
        half_open_permits: int = 1,
        success_threshold: int | None = None,
        half_open_timeout: float | None = None,
        reset_backoff: float = 1.0,
        max_reset_timeout: float = 600.0,
        reset_jitter: float = 0.0,
        ignore: Predicate = (),
        record: Predicate = Exception,
        failure_result: Callable[[Any], bool] | None = None,
        fallback: Callable[..., Any] | None = None,
        listeners: Iterable[Listener] = (),
        shared: SharedState | None = None,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name = name
        self.policy = BreakerPolicy(
            failure_threshold=failure_threshold,
            reset_timeout=reset_timeout,
            failure_rate=failure_rate,
            slow_call_rate=slow_call_rate,
            slow_call_duration=slow_call_duration,
            window=window,
            window_seconds=window_seconds,
            minimum_calls=minimum_calls,
            half_open_permits=half_open_permits,
            success_threshold=half_open_permits if success_threshold is None else success_threshold,
            half_open_timeout=reset_timeout if half_open_timeout is None else half_open_timeout,
            reset_backoff=reset_backoff,
            max_reset_timeout=max_reset_timeout,
            reset_jitter=reset_jitter,
        )
        self.fallback = fallback
        self._is_bad = None if failure_result is None else guarded_test(failure_result, name)
        self.listeners = tuple(listeners)
        self.clock = clock
        self.judge = judge_of(ignore, record)
        self._uniform = uniform
        self._lock = threading.Lock()
        self._window = self.policy.new_window()
        self._slow_after = slow_call_duration if slow_call_rate is not None else inf
        self._passes = True
        """Whether calls are let through without asking for a permit: closed, disabled, metrics only."""
        self._closed = True
        self._epoch = 0
        self._in_a_row = 0
        self._reopened = 0
        self._until = 0.0
        self._permits = 0
        self._successes = 0
        self.tally = BreakerTally(name, clock)
        TALLIES.enter(self, self.tally)
        renewed_after_fork(self)
        self._share(shared)

    # -- the core -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> BreakerState:
        """The state now. An open breaker whose time is over stays ``open`` until a call comes to probe it."""
        return self.tally.state

    @property
    def epoch(self) -> int:
        """The number of transitions so far."""
        return self._epoch

    def retry_after(self) -> float | None:
        """Seconds until a call may be let through; 0 where one is now, None while forced open."""
        with self._lock:
            return self._retry_after(self.clock())

    def try_acquire(self) -> Ticket | None:
        """A ticket, or None where there is none: for whoever waits and asks again. Not counted as a rejection."""
        now, epoch = self.clock(), self._epoch
        if self._passes:
            return epoch, now
        happened: list[Any] = []
        ticket: Ticket | None = self._ask(now, happened)
        self._report(happened)
        return ticket

    def acquire(self) -> Ticket:
        """A ticket for one call, which must be recorded or released; ``CircuitOpen`` where none is to be had."""
        now, epoch = self.clock(), self._epoch  # the epoch before the state: a transition between them makes it late
        if self._passes:
            if events.witness is not None:
                events.witness(self.tally)
            return epoch, now
        happened: list[Any] = []
        return self._asked(self._ask(now, happened), happened)

    def at_once(self) -> Ticket | None:
        """A ticket where the breaker is closed, disabled or only counts."""
        now, epoch = self.clock(), self._epoch
        if not self._passes:
            return None
        if events.witness is not None:
            events.witness(self.tally)
        return epoch, now

    async def aacquire(self) -> Ticket:
        """The same; where a shared breaker must ask its store, the event loop goes on meanwhile."""
        ticket = self.at_once()
        if ticket is not None:
            return ticket
        now, happened = self.clock(), list[Any]()
        return self._asked(await self._ask_async(now, happened), happened)

    def _asked(self, ticket: Ticket | None, happened: list[Any]) -> Ticket:
        if events.witness is not None:
            events.witness(self.tally)
        if ticket is not None:
            self._report(happened)
            return ticket
        with self._lock:
            self.tally.rejected += 1
            wait, state = self._retry_after(self.clock()), self.tally.state
        self._report([*happened, Rejection("breaker", self.name, state, wait)])
        reason = "circuit breaker half open" if state == "half_open" else "circuit breaker open"
        raise CircuitOpen(self.name, reason, wait)

    def succeeded(self, ticket: Ticket) -> None:
        """The call went well."""
        self._take(ticket, 0)

    def failed(self, ticket: Ticket) -> None:
        """The call failed."""
        self._take(ticket, FAILED)

    def release(self, ticket: Ticket) -> None:
        """The call counts neither way: it was cancelled, or failed for reasons of its own. Its permit is free again."""
        with self._lock:
            self.tally.ignored += 1
        self.give_back(ticket)

    def give_back(self, ticket: Ticket) -> None:
        """No call was made of this ticket."""
        with self._lock:
            if ticket[0] == self._epoch and self.tally.state == "half_open":
                self._permits += 1
                self._unsent["permits"] += 1
        if self._store is not None:
            self._report([])

    def record(self, ticket: Ticket, error: BaseException | None = None, result: Any = None) -> None:
        """Take what came of a call: the exception that ended it, or its result."""
        if error is None:
            self._take(ticket, FAILED if self._is_bad is not None and self._is_bad(result) else 0)
        elif self.judge(error) or (is_cancellation(error) and attempt_expired()):
            self._take(ticket, FAILED)
        else:
            self.release(ticket)

    def begun(self, ticket: Ticket) -> Ticket:
        """A stream is as slow as its first item: what the consumer does between items is not the dependency's time."""
        epoch, started = ticket
        return epoch, -inf if self.clock() - started > self._slow_after else inf

    def _take(self, ticket: Ticket, flags: int) -> None:
        now = self.clock()
        epoch, started = ticket
        if now - started > self._slow_after:
            flags |= SLOW
        with self._lock:
            window = self._window
            if flags or not self._closed or epoch != self._epoch:
                happened = self._took(epoch, flags, now)
            else:
                self._in_a_row = 0
                self.tally.ok += 1
                if window is None:
                    return
                window.add(0, now)
                if not (window.failed or window.slow):
                    return
                happened = []
                self._check(now, happened)
        if happened or self._store is not None:
            self._report(happened)

    def _took(self, epoch: int, flags: int, now: float) -> list[Any]:
        """Everything but the success of a closed breaker; under the lock."""
        tally, happened = self.tally, list[Any]()
        if epoch != self._epoch:
            tally.late += 1
            return happened
        if tally.state == "disabled":
            return happened
        if flags & FAILED:
            tally.failure += 1
            self._in_a_row += 1
        else:
            self._in_a_row = 0
            if flags:
                tally.slow += 1
            else:
                tally.ok += 1
        if tally.state == "half_open":
            if flags:
                self._open(now, "a probe failed" if flags & FAILED else "a probe was slow", happened)
            else:
                self._successes += 1
                self._unsent["successes"] += 1
                if self._successes >= self.policy.success_threshold:
                    self._reopened = 0
                    self._go("closed", f"{self._successes} probes succeeded", happened)
            return happened
        if self._window is not None:
            self._window.add(flags, now)
        if tally.state == "closed":
            self._check(now, happened)
        return happened

    def _check(self, now: float, happened: list[Any]) -> None:
        reason = self.policy.reason_to_open(self._in_a_row, self._window)
        if reason:
            self._open(now, reason, happened)

    # -- by hand ------------------------------------------------------------------------------------------------------

    def force_open(self) -> None:
        """Reject every call until ``reset``."""
        self._by_hand("forced_open")

    def disable(self) -> None:
        """Let every call through and record nothing, until ``reset``."""
        self._by_hand("disabled")

    def metrics_only(self) -> None:
        """Let every call through, count it, and never open, until ``reset``."""
        self._by_hand("metrics_only")

    def reset(self) -> None:
        """Close, with nothing remembered."""
        self._by_hand("closed")

    def open(self, reason: str = "by hand") -> None:
        """Open now, for the usual time."""
        happened: list[Any] = []
        with self._lock:
            if self.tally.state in {"closed", "half_open"}:
                self._open(self.clock(), reason, happened)
        self._report(happened)

    def _by_hand(self, state: BreakerState) -> None:
        happened: list[Any] = []
        with self._lock:
            self._reopened = 0
            self._go(state, "by hand", happened)
            self._untold = "by hand"
        self._report(happened)

    # -- helpers, under the lock ---------------------------------------------------------------------------------------

    def _admit(self, now: float, happened: list[Any]) -> Ticket | None:
        state = self.tally.state
        if self._passes:  # closed while this thread waited for the lock
            return self._epoch, now
        if state == "open" and now >= self._until and not self.shared:
            self._go("half_open", "the reset timeout is over", happened)
            self._until = now + self.policy.half_open_timeout
        elif state == "half_open" and not self._permits and now >= self._until:
            self._open(now, "the probes did not come back", happened)
        if self.tally.state != "half_open" or not self._permits:
            return None
        self._permits -= 1
        return self._epoch, now

    def _open(self, now: float, reason: str, happened: list[Any]) -> None:
        wait = self.policy.open_for(self._reopened, self._uniform)
        self._reopened += 1
        self._until = now + wait
        self._go("open", reason, happened, wait)

    def _go(self, state: BreakerState, reason: str, happened: list[Any], open_s: float | None = None) -> None:
        before = self.tally.state
        self._epoch += 1
        self._in_a_row = self._successes = 0
        self._permits = self.policy.half_open_permits if state == "half_open" else 0
        if self._window is not None:
            self._window.clear()
        self._went()
        self._closed = state == "closed"
        self._passes = state in {"closed", "disabled", "metrics_only"}
        if before != state:
            self.tally.went(before, state)
            happened.append(Transition(self.name, before, state, reason, open_s))

    def _report(self, happened: list[Any]) -> None:
        """Tell listeners, and the store; never under the lock."""
        tell(self.listeners, *happened)
        if (
            self._store is not None
            and self._alone is None
            and (self._untold or self._unsent["permits"] or self._unsent["successes"])
        ):
            self._store.wake()

    def after_fork(self) -> None:
        """In a forked child: a thread that held the lock is not there to give it back."""
        self._lock = threading.Lock()

    def _retry_after(self, now: float) -> float | None:
        state = self.tally.state
        if state == "forced_open":
            return None
        if state == "open" or (state == "half_open" and not self._permits):
            return max(0.0, self._until - now)
        return 0.0

    # -- around code: what ``Guarded`` asks ---------------------------------------------------------------------------

    def rescues(self, error: BaseException) -> bool:
        """Whether the fallback answers to this exception: to a rejection, and to what counts as a failure."""
        return isinstance(error, CircuitOpen) or self.judge(error)

    def why(self, error: BaseException) -> str:
        """The reason of a fallback, in a word."""
        return "open" if isinstance(error, CircuitOpen) else type(error).__qualname__

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r} {self.state}>"
