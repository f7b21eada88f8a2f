"""``Bulkhead``, ``RateLimit``, ``AdaptiveLimit``: how many calls may run, and what happens to the rest.

All three are guards like the breaker (decorator, ``call``, ``with``; every kind of callable). A call that finds no room
waits at most ``max_wait`` seconds, first come first served, and is then turned away with ``LimitExceeded``.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, TypeVar

from ragwatch.errors import ConfigError, LimitExceeded
from ragwatch.resilience.at_fork import renewed_after_fork
from ragwatch.resilience.deadline import remaining
from ragwatch.resilience.events import Listener, Rejection, tell
from ragwatch.resilience.guarded import Guarded
from ragwatch.resilience.tallies import TALLIES, Series

priority: ContextVar[int] = ContextVar("ragwatch_priority", default=0)
"""How dear the calls of this context are: 0 is the usual, negative is shed first, positive last."""


class LimitTally:
    """What a limit has counted: rejections by reason, and how many calls it lets run now."""

    def __init__(self, name: str, room: Callable[[], float] | None = None) -> None:
        self.name = name
        self._room = room
        self.rejected: Counter[str] = Counter()

    def forget(self) -> None:
        """Begin again at zero."""
        self.rejected.clear()

    def totals(self) -> dict[Series, float]:
        """Counters of the catalogue."""
        return {("rag.limit.rejected", (self.name, reason)): count for reason, count in self.rejected.copy().items()}

    def levels(self) -> dict[Series, float]:
        """How many calls may run at once."""
        return {("rag.limit.concurrency", (self.name,)): self._room()} if self._room is not None else {}


class _Waiter:
    """A call that waits for room on a thread."""

    def __init__(self) -> None:
        self.admitted = False
        self.woken = threading.Event()

    def wake(self) -> bool:
        """There is room; False where nobody waits any more."""
        self.woken.set()
        return True


class _AsyncWaiter(_Waiter):
    """A call that waits for room on an event loop; any thread may wake it."""

    def __init__(self) -> None:
        import asyncio

        self.admitted = False
        self._loop = asyncio.get_running_loop()
        self.room: asyncio.Future[None] = self._loop.create_future()

    def wake(self) -> bool:
        """There is room; False where the event loop was closed over the waiting call."""
        try:
            self._loop.call_soon_threadsafe(self._set)
        except RuntimeError:
            return False
        return True

    def _set(self) -> None:
        if not self.room.done():
            self.room.set_result(None)


W = TypeVar("W", bound=_Waiter)


class Bulkhead(Guarded):
    """At most ``max_concurrent`` calls at once; ``max_queue`` more may wait ``max_wait`` seconds, in their order.

    >>> bulkhead = Bulkhead("embedder", max_concurrent=1)
    >>> with bulkhead:
    ...     bulkhead.call(int)
    Traceback (most recent call last):
    ragwatch.errors.LimitExceeded: embedder: full
    """

    def __init__(
        self,
        name: str = "default",
        *,
        max_concurrent: int = 10,
        max_wait: float = 0.0,
        max_queue: int = 1000,
        fallback: Callable[..., Any] | None = None,
        listeners: Iterable[Listener] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_concurrent < 1:
            raise ConfigError("max_concurrent", f"{max_concurrent!r} is less than 1", source="Bulkhead")
        if not max_wait >= 0:
            raise ConfigError("max_wait", f"{max_wait!r} is not 0 or more seconds", source="Bulkhead")
        self.name = name
        self.fallback = fallback
        self.listeners = tuple(listeners)
        self.clock = clock
        self.max_wait = max_wait
        self.running = 0
        self._limit = float(max_concurrent)
        self._max_queue = max_queue
        self._lock = threading.Lock()
        self._waiting: deque[_Waiter] = deque()
        self._level = _Level(self._limit)
        self.tally = LimitTally(name, self._level)
        TALLIES.enter(self, self.tally)
        renewed_after_fork(self)

    @property
    def limit(self) -> int:
        """How many calls may run at once."""
        return int(self._limit)

    def acquire(self) -> float:
        """Room for one call, waited for at most ``max_wait`` seconds; the time at which it begins."""
        waiter = self._enter(_Waiter)
        if waiter is not None:
            try:
                woken = waiter.woken.wait(self._patience())
            except BaseException:  # Ctrl-C
                if self._leave_queue(waiter):
                    self.release()
                raise
            if not (woken or self._leave_queue(waiter)):
                self._turn_away("full")
        return self.clock()

    async def aacquire(self) -> float:
        """The same without blocking the event loop."""
        waiter = self._enter(_AsyncWaiter)
        if waiter is not None:
            import asyncio

            try:
                await asyncio.wait_for(waiter.room, self._patience())
            except TimeoutError:
                if not self._leave_queue(waiter):
                    self._turn_away("full")
            except BaseException:
                if self._leave_queue(waiter):
                    self.release()
                raise
        return self.clock()

    def record(self, ticket: float, error: BaseException | None = None, result: Any = None) -> None:  # noqa: ARG002
        """The call is over."""
        self.release()

    def give_back(self, ticket: float) -> None:  # noqa: ARG002
        """No call was made."""
        self.release()

    def release(self) -> None:
        """Give the room to who has waited longest."""
        with self._lock:
            self.running = max(0, self.running - 1)  # one that began before a fork
            woken = self._wake_up()
        for waiter in woken:
            if not waiter.wake():
                self.release()

    def after_fork(self) -> None:
        """In a forked child: calls of the parent's other threads do not end here."""
        self._lock = threading.Lock()
        self._waiting.clear()
        self.running = 0

    def _enter(self, make: type[W]) -> W | None:
        """None where there is room at once; else a place in the queue."""
        reason = None
        with self._lock:
            share = self._share()
            if self.running < share and not self._waiting:
                self.running += 1
                return None
            if not self.max_wait or share < self._limit:
                reason = "full" if self.running >= self.limit else "shed"
            elif len(self._waiting) >= self._max_queue:
                reason = "queue_full"
            else:
                waiter = make()
                self._waiting.append(waiter)
                return waiter
        self._turn_away(reason)
        return None

    def _share(self) -> float:
        """How much of the limit this call may use."""
        return self._limit

    def _wake_up(self) -> list[_Waiter]:
        woken = []
        while self._waiting and self.running < self.limit:
            waiter = self._waiting.popleft()
            waiter.admitted = True
            self.running += 1
            woken.append(waiter)
        return woken

    def _leave_queue(self, waiter: _Waiter) -> bool:
        """Stop waiting; True where room was given at the last moment."""
        with self._lock:
            if waiter.admitted:
                return True
            self._waiting.remove(waiter)
            return False

    def _patience(self) -> float:
        left = remaining()
        return self.max_wait if left is None else min(self.max_wait, left)

    def _turn_away(self, reason: str) -> None:
        with self._lock:
            self.tally.rejected[reason] += 1
        tell(self.listeners, Rejection("limit", self.name, reason, None))
        raise LimitExceeded(self.name, reason)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.running} of {self.limit}>"


class _Level:
    """The limit as the tally reads it, also when the bulkhead is gone."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self) -> float:
        return float(int(self.value))


class RateLimit(Guarded):
    """At most ``rate`` calls in ``per`` seconds, ``burst`` of them at once; the rest waits at most ``max_wait``.

    A token bucket with reservations: who waits knows at once for how long, and who would wait too long is told at once.

    >>> limit = RateLimit("embeddings", rate=2, per=1.0, clock=lambda: 0.0)
    >>> limit.call(int), limit.call(int)
    (0, 0)
    >>> limit.call(int)
    Traceback (most recent call last):
    ragwatch.errors.LimitExceeded: embeddings: rate; try again in 0.5 s
    """

    def __init__(
        self,
        name: str = "default",
        *,
        rate: float,
        per: float = 1.0,
        burst: float | None = None,
        max_wait: float = 0.0,
        fallback: Callable[..., Any] | None = None,
        listeners: Iterable[Listener] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        for option, value in (("rate", rate), ("per", per), ("burst", rate if burst is None else burst)):
            if not value > 0:
                raise ConfigError(option, f"{value!r} is not more than 0", source="RateLimit")
        self.name = name
        self.fallback = fallback
        self.listeners = tuple(listeners)
        self.clock = clock
        self.max_wait = max_wait
        self._sleep = sleep
        self._interval = per / rate
        self._burst = max(1.0, rate if burst is None else burst)
        self._lock = threading.Lock()
        self._free_at = clock() - self._interval * self._burst
        """When the bucket would be empty: a call moves it on by one interval."""
        self.tally = LimitTally(name)
        TALLIES.enter(self, self.tally)
        renewed_after_fork(self)

    def acquire(self) -> None:
        """A token, slept for where that is allowed."""
        wait = self._reserve()
        if wait > 0:
            self._sleep(wait)

    async def aacquire(self) -> None:
        """The same without blocking the event loop."""
        import asyncio

        wait = self._reserve()
        if wait > 0:
            await asyncio.sleep(wait)

    def after_fork(self) -> None:
        """In a forked child: a thread that held the lock is not there."""
        self._lock = threading.Lock()

    def _reserve(self) -> float:
        left = remaining()
        patience = self.max_wait if left is None else min(self.max_wait, left)
        with self._lock:
            now = self.clock()
            next_at = max(self._free_at, now - self._interval * self._burst) + self._interval
            wait = next_at - now
            if wait <= max(patience, 1e-9):
                self._free_at = next_at
                return max(0.0, wait)
            self.tally.rejected["rate"] += 1
        tell(self.listeners, Rejection("limit", self.name, "rate", wait - patience))
        raise LimitExceeded(self.name, "rate", wait - patience)
