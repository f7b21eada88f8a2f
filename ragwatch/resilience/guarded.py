"""Puts a guard (breaker, bulkhead, limit) around code of every kind: decorator, ``call``, ``with``.

A guard gives a ticket before the code runs and takes its result afterwards. A stream is one call: it asks for its
ticket with the first item, fails at most once, and gives the ticket back when the consumer closes it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from ragwatch.errors import Rejected
from ragwatch.resilience.streams import as_async_generator, as_generator, async_streamed, streamed

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_held: ContextVar[tuple[tuple[int, Any], ...]] = ContextVar("ragwatch_guards", default=())


class Guard(Protocol):
    """What a guard does; ``Guarded`` does the rest."""

    def acquire(self) -> Any:
        """A ticket for one call, or an exception."""

    def record(self, ticket: Any, error: BaseException | None = None, result: Any = None) -> None:
        """Take what came of the call."""


class Guarded:
    """The four kinds of callable, and the context managers, over ``acquire`` and ``record``."""

    fallback: Callable[[BaseException], Any] | None = None

    def acquire(self) -> Any:
        """A ticket for one call, or an exception."""
        raise TypeError(f"{type(self).__name__} guards nothing")

    async def aacquire(self) -> Any:
        """The same, for guards that wait."""
        return self.acquire()

    def record(self, ticket: Any, error: BaseException | None = None, result: Any = None) -> None:
        """Take what came of the call."""

    def substitute(self, error: BaseException) -> Any:
        """The fallback's answer, or the exception again."""
        raise error

    def begun(self, ticket: Any) -> Any:
        """The first item of a stream came: the ticket that the stream goes on with."""
        return ticket

    # -- decorator and calls ------------------------------------------------------------------------------------------

    def __call__(self, function: F) -> F:
        """Guard every call of a function; it stays the kind of callable that it is."""
        guarded: F
        if inspect.isasyncgenfunction(function):
            guarded = self._async_generator(function)
        elif inspect.isgeneratorfunction(function):
            guarded = self._generator(function)
        elif inspect.iscoroutinefunction(function):
            guarded = self._coroutine(function)
        else:
            guarded = self._function(function)
        return guarded

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function once under the guard."""
        try:
            ticket = self.acquire()
        except Rejected as error:
            if self.fallback is None:
                raise
            return self.substitute(error)  # type: ignore[no-any-return]
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            self.record(ticket, error)
            if self.fallback is None:
                raise
            return self.substitute(error)  # type: ignore[no-any-return]
        self.record(ticket, None, result)
        return result

    async def acall(self, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """Await a function once under the guard. An async fallback is awaited too."""
        try:
            ticket = await self.aacquire()
        except Rejected as error:
            if self.fallback is None:
                raise
            return await settled(self.substitute(error))  # type: ignore[no-any-return]
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            self.record(ticket, error)
            if self.fallback is None:
                raise
            return await settled(self.substitute(error))  # type: ignore[no-any-return]
        self.record(ticket, None, result)
        return result

    def _function(self, function: Any) -> Any:
        call = self.call

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return call(function, *args, **kwargs)

        return guarded

    def _coroutine(self, function: Any) -> Any:
        acall = self.acall

        @functools.wraps(function)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            return await acall(function, *args, **kwargs)

        return guarded

    def _generator(self, function: Any) -> Any:
        return functools.wraps(function)(streamed(self._stream(function)))

    def _async_generator(self, function: Any) -> Any:
        return functools.wraps(function)(async_streamed(self._stream(function)))

    def _stream(self, function: Any) -> Callable[..., _Stream]:
        return lambda *args, **kwargs: _Stream(self, lambda: function(*args, **kwargs))

    # -- with ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Guard a block; blocks of several threads and tasks may be inside at once."""
        self._hold(self.acquire())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Take what came of the block."""
        self._let_go(error)

    async def __aenter__(self) -> Self:
        """Guard an async block."""
        self._hold(await self.aacquire())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Take what came of the block."""
        self._let_go(error)

    def _hold(self, ticket: Any) -> None:
        _held.set((*_held.get(), (id(self), ticket)))

    def _let_go(self, error: BaseException | None) -> None:
        held = _held.get()
        for place in range(len(held) - 1, -1, -1):
            if held[place][0] == id(self):
                _held.set(held[:place] + held[place + 1 :])
                self.record(held[place][1], error)
                return


class _Stream:
    """One guarded stream: asks for the ticket, records the end, lets a fallback answer before the first item."""

    __slots__ = ("_guard", "_make", "_substituted", "_ticket", "_yielded")

    def __init__(self, guard: Guarded, make: Callable[[], Any]) -> None:
        self._guard = guard
        self._make = make
        self._ticket: Any = None
        self._yielded = self._substituted = False

    def open(self) -> Any:
        try:
            self._ticket = self._guard.acquire()
        except Rejected as error:
            return self._instead(error)
        return self._make()

    async def aopen(self) -> Any:
        try:
            self._ticket = await self._guard.aacquire()
        except Rejected as error:
            if self._guard.fallback is None:
                raise
            self._substituted = True
            return as_async_generator(await settled(self._guard.substitute(error)))
        return self._make()

    def first(self) -> None:
        self._yielded = True
        if not self._substituted:
            self._ticket = self._guard.begun(self._ticket)

    def failed(self, error: BaseException) -> Any:
        self.ended(error)
        return None if self._yielded or self._substituted or self._guard.fallback is None else self._instead(error)

    async def afailed(self, error: BaseException) -> Any:
        self.ended(error)
        if self._yielded or self._substituted or self._guard.fallback is None:
            return None
        self._substituted = True
        return as_async_generator(await settled(self._guard.substitute(error)))

    def ended(self, error: BaseException | None) -> None:
        if not self._substituted:
            self._guard.record(self._ticket, error)

    def _instead(self, error: BaseException) -> Any:
        if self._guard.fallback is None:
            raise error
        self._substituted = True
        return as_generator(self._guard.substitute(error))


async def settled(value: Any) -> Any:
    """The value, awaited where it can be."""
    return await value if inspect.isawaitable(value) else value
