"""How much time is left: a deadline that travels in the context, and the time-out of one attempt.

``async`` code is cancelled when its time is over. Sync code cannot be stopped from outside: it asks ``remaining()`` and
gives that to its client as time-out; retries never begin an attempt or a wait that the deadline would cut off.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self, TypeVar

from ragwatch.errors import ConfigError, DeadlineExceeded

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Clock = Callable[[], float]
_until: ContextVar[tuple[float, Clock] | None] = ContextVar("ragwatch_deadline", default=None)
_attempt_until: ContextVar[tuple[float, Clock] | None] = ContextVar("ragwatch_attempt", default=None)


def remaining() -> float | None:
    """Seconds until the nearest deadline, never below 0; None where there is none."""
    found = [until - clock() for until, clock in filter(None, (_until.get(), _attempt_until.get()))]
    return max(0.0, min(found)) if found else None


def check() -> None:
    """Raise ``DeadlineExceeded`` when no time is left."""
    if expired():
        raise DeadlineExceeded("no time is left")


def expired() -> bool:
    """Whether no time is left; cheaper than ``remaining`` where there is no deadline."""
    if _until.get() is None and _attempt_until.get() is None:
        return False
    return remaining() == 0.0


def attempt_expired() -> bool:
    """Whether the running attempt's time is over: a cancellation is then a time-out, and the dependency's fault."""
    held = _attempt_until.get()
    return held is not None and held[1]() >= held[0]


class deadline:  # noqa: N801  (reads like ``asyncio.timeout``)
    """``with deadline(2.0):``, ``async with``, or a decorator: what is inside has that many seconds.

    Deadlines nest: the nearest one holds. An async block is cancelled at its deadline and raises ``DeadlineExceeded``.

    >>> with deadline(2.0, clock=lambda: 0.0), deadline(5.0, clock=lambda: 0.0):
    ...     remaining()
    2.0
    >>> remaining() is None
    True
    """

    def __init__(self, seconds: float, *, clock: Clock = time.monotonic) -> None:
        if not seconds > 0:
            raise ConfigError("seconds", f"{seconds!r} is not more than 0", source="deadline")
        self.seconds = seconds
        self._clock = clock
        self._entered: tuple[Token[Any], Any] | None = None

    def __call__(self, function: F) -> F:
        """Give every call of a function that many seconds."""
        seconds, clock = self.seconds, self._clock
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def limited(*args: Any, **kwargs: Any) -> Any:
                async with deadline(seconds, clock=clock):
                    return await function(*args, **kwargs)

        elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigError("deadline", f"{function.__name__} is a stream: use ``with deadline(...)`` around it")
        else:

            @functools.wraps(function)
            def limited(*args: Any, **kwargs: Any) -> Any:
                with deadline(seconds, clock=clock):
                    return function(*args, **kwargs)

        return limited  # type: ignore[return-value]

    def __enter__(self) -> Self:
        """Set the deadline for this context."""
        self._enter(None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Back to the deadline before."""
        self._leave()

    async def __aenter__(self) -> Self:
        """Set the deadline, and cancel the block when it is reached."""
        import asyncio

        left = remaining()
        timer = asyncio.timeout(self.seconds if left is None else min(self.seconds, left))
        await timer.__aenter__()
        self._enter(timer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Back to the deadline before; a cancellation by this one becomes ``DeadlineExceeded``."""
        timer = self._leave()
        try:
            await timer.__aexit__(kind, error, tb)
        except TimeoutError as late:
            raise DeadlineExceeded(
                f"the deadline of {self.seconds:g} s was reached", deadline_s=self.seconds
            ) from late.__cause__

    def _enter(self, timer: Any) -> None:
        if self._entered is not None:
            raise RuntimeError("a deadline is entered once: make one for each block")
        until = self._clock() + self.seconds
        held = _until.get()
        if held is not None and held[0] - held[1]() <= self.seconds:
            until, clock = held
        else:
            clock = self._clock
        self._entered = _until.set((until, clock)), timer

    def _leave(self) -> Any:
        if self._entered is None:
            return None
        (token, timer), self._entered = self._entered, None
        _until.reset(token)
        return timer


class attempt_timeout:  # noqa: N801
    """The time-out of one attempt, innermost in the stated order; sync code reads it from ``remaining()``."""

    def __init__(self, seconds: float, *, clock: Clock = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function that looks at ``remaining()``."""
        token = _attempt_until.set((self._clock() + self.seconds, self._clock))
        try:
            return function(*args, **kwargs)
        finally:
            _attempt_until.reset(token)

    async def acall(self, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """Await a function, and cancel it when its time is over: ``DeadlineExceeded``, which is a ``TimeoutError``."""
        import asyncio

        token = _attempt_until.set((self._clock() + self.seconds, self._clock))
        timer = asyncio.timeout(self.seconds)
        try:
            async with timer:
                return await function(*args, **kwargs)
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise DeadlineExceeded(
                f"the attempt took longer than {self.seconds:g} s", deadline_s=self.seconds
            ) from error.__cause__
        finally:
            _attempt_until.reset(token)
