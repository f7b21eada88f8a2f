"""``retry``: calls again what failed for a moment. One set of decisions, drivers for the four kinds of callable.

Outside-in the order is deadline → retry → breaker → bulkhead → time-out of the attempt, so that each *attempt*
reports to the breaker. Given ``breaker=`` and ``bulkhead=`` (or the policy's ``attempt_timeout``) they are put inside
in that order, and the breaker's fallback outermost.
"""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from types import CoroutineType
from typing import Any, TypeVar, overload

from ragwatch.errors import ConfigError, DeadlineExceeded
from ragwatch.resilience.deadline import attempt_timeout, deadline, expired
from ragwatch.resilience.events import Listener
from ragwatch.resilience.guarded import Guarded, Rescue
from ragwatch.resilience.kinds import kind_of
from ragwatch.resilience.retry_budget import RetryBudget, budget_of
from ragwatch.resilience.retry_policy import RetryPolicy
from ragwatch.resilience.retry_run import Run, running
from ragwatch.resilience.retry_tally import tally_of
from ragwatch.resilience.retryable import retry_test
from ragwatch.resilience.streams import async_streamed, streamed

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Retry:
    """A policy with what it needs to run: budget, clock, sleep, randomness. Decorates, or calls once.

    >>> answers = iter([ConnectionError("away"), "here"])
    >>> def fetch():
    ...     answer = next(answers)
    ...     if isinstance(answer, Exception): raise answer
    ...     return answer
    >>> waits = []
    >>> Retry(RetryPolicy(base_delay=1.0, jitter="none"), sleep=waits.append).call(fetch), waits
    ('here', [1.0])
    """

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        *,
        budget: RetryBudget | bool | None = True,
        breaker: Guarded | None = None,
        bulkhead: Guarded | None = None,
        listeners: Iterable[Listener] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = time.sleep,
        async_sleep: Callable[[float], Awaitable[Any]] | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.policy = policy if policy is not None else RetryPolicy()
        self.budget = budget_of(self.policy.name) if budget is True else budget or None
        self.listeners = tuple(listeners)
        self.clock = clock
        self.uniform = uniform
        self.test = retry_test(self.policy.retry_on)
        self.tally = tally_of(self.policy.name)
        self._sleep = sleep
        self._async_sleep = async_sleep
        self._guards = tuple(guard for guard in (bulkhead, breaker) if guard is not None)
        self._rescue = Rescue(breaker) if breaker is not None and breaker.fallback is not None else None
        self._keyed = self.policy.key is not None

    # -- decorator and calls ------------------------------------------------------------------------------------------

    def __call__(self, function: F) -> F:
        """Retry every call of a function; it stays the kind of callable that it is."""
        inner = self._inside(function)
        retried: Any
        kind = kind_of(function)
        if kind == "async generator":
            retried = async_streamed(lambda *args, **kwargs: _Stream(self, inner, args, kwargs))
        elif kind == "generator":
            retried = streamed(lambda *args, **kwargs: _Stream(self, inner, args, kwargs))
        elif kind == "coroutine":

            async def retried(*args: Any, **kwargs: Any) -> Any:
                return await self._acall(inner, args, kwargs)

        else:
            retried = self._plain_function(inner)

        retried = functools.wraps(function)(retried)
        decorated: F = retried if self._rescue is None else self._rescue(retried)
        return decorated

    def _plain_function(self, inner: Any) -> Any:
        hidden = False
        """Whether it turned out to give coroutines: those are what must be retried."""

        def retried(*args: Any, **kwargs: Any) -> Any:
            nonlocal hidden
            if hidden:
                return self._acall(inner, args, kwargs)
            result = self._call(inner, args, kwargs)
            if type(result) is not CoroutineType:
                return result
            hidden, first = True, [result]
            return self._acall(lambda *a, **k: first.pop() if first else inner(*a, **k), args, kwargs)

        return retried

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function until it succeeds or the policy says stop; the last exception is raised as it was."""
        kind = kind_of(function)
        if kind != "function":
            again = "await acall(...)" if kind == "coroutine" else "decorate it"
            raise TypeError(f"{function!r} is a {kind} function: {again}")
        inner = self._inside(function)
        if self._rescue is None:
            return self._call(inner, args, kwargs)  # type: ignore[no-any-return]
        return self._rescue.call(lambda *a, **k: self._call(inner, a, k), *args, **kwargs)  # type: ignore[no-any-return]

    async def acall(self, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """The same for what is awaited."""
        inner = self._inside(function, awaited=True)
        if self._rescue is None:
            return await self._acall(inner, args, kwargs)  # type: ignore[no-any-return]
        return await self._rescue.acall(lambda *a, **k: self._acall(inner, a, k), *args, **kwargs)

    def _inside(self, function: Any, *, awaited: bool = False) -> Any:
        """The function with the attempt's time-out, the bulkhead and the breaker around it, in this order."""
        seconds = self.policy.attempt_timeout
        kind = kind_of(function)
        is_stream = "generator" in kind
        is_async = awaited or kind == "coroutine"
        if seconds is not None and is_stream:
            problem = f"{function!r} is a stream, which cannot be cut off between its items: give its client a time-out"
            raise ConfigError("attempt_timeout", problem, source="RetryPolicy")
        if seconds is not None:
            limit = attempt_timeout(seconds, clock=self.clock)
            function = functools.partial(limit.acall if is_async else limit.call, function)
        for guard in self._guards:
            if is_stream:
                function = guard.bare(function)
            else:
                function = functools.partial(guard.aattempt if is_async else guard.attempt, function)
        return function

    def _call(self, function: Any, args: Any, kwargs: Any) -> Any:
        if expired():
            self._too_late()
        if self.policy.deadline is None:
            return self._attempts(function, args, kwargs)
        with deadline(self.policy.deadline, clock=self.clock):
            return self._attempts(function, args, kwargs)

    def _attempts(self, function: Any, args: Any, kwargs: Any) -> Any:
        started = self.clock()
        if self.budget is not None:
            self.budget.earn()
        if self._keyed:  # the first attempt must see its key
            return self._again(Run(self, started, args, kwargs), None, function, args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            run = Run(self, started, args, kwargs)
            wait = run.failed(error)
            if wait is None:
                raise
        else:
            self.tally.went_well()
            return result
        return self._again(run, wait, function, args, kwargs)

    def _again(self, run: Run, wait: float | None, function: Any, args: Any, kwargs: Any) -> Any:
        while True:
            if wait is not None:
                self._sleep(wait)
            token = run.begin()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                wait = run.failed(error)
                if wait is None:
                    raise
            else:
                run.succeeded()
                return result
            finally:
                running.reset(token)

    async def _acall(self, function: Any, args: Any, kwargs: Any) -> Any:
        if expired():
            self._too_late()
        if self.policy.deadline is None:
            return await self._aattempts(function, args, kwargs)
        async with deadline(self.policy.deadline, clock=self.clock):
            return await self._aattempts(function, args, kwargs)

    async def _aattempts(self, function: Any, args: Any, kwargs: Any) -> Any:
        started = self.clock()
        if self.budget is not None:
            self.budget.earn()
        if self._keyed:
            return await self._aagain(Run(self, started, args, kwargs), None, function, args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            run = Run(self, started, args, kwargs)
            wait = run.failed(error)
            if wait is None:
                raise
        else:
            self.tally.went_well()
            return result
        return await self._aagain(run, wait, function, args, kwargs)

    async def _aagain(self, run: Run, wait: float | None, function: Any, args: Any, kwargs: Any) -> Any:
        while True:
            if wait is not None:
                await self.asleep(wait)
            token = run.begin()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                wait = run.failed(error)
                if wait is None:
                    raise
            else:
                run.succeeded()
                return result
            finally:
                running.reset(token)

    def _too_late(self) -> None:
        self.tally.add("deadline", 0, 0.0)
        raise DeadlineExceeded("no time is left for the first attempt")

    def pause(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait, without blocking the event loop."""
        if self._async_sleep is not None:
            await self._async_sleep(seconds)
            return
        import asyncio

        await asyncio.sleep(seconds)


class _Stream:
    """A stream under a policy: a failure before the first item opens it again, a later one is the consumer's to see."""

    __slots__ = ("_args", "_function", "_kwargs", "_retry", "_run", "_yielded")

    def __init__(self, retry: Retry, function: Any, args: Any, kwargs: Any) -> None:
        self._retry = retry
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._yielded = False

    def open(self) -> Any:
        if self._retry.budget is not None:
            self._retry.budget.earn()
        self._run = Run(self._retry, self._retry.clock(), self._args, self._kwargs)
        return self._function(*self._args, **self._kwargs)

    async def aopen(self) -> Any:
        return self.open()

    def enter(self) -> Any:
        return self._run.show()

    def leave(self, entered: Any) -> None:
        if entered is not None:
            running.reset(entered)

    def first(self) -> None:
        self._yielded = True

    def failed(self, error: BaseException) -> Any:
        wait = self._run.failed(error, stop=self._yielded)
        if wait is None:
            return None
        self._retry.pause(wait)
        self._run.started = self._retry.clock()
        return self._function(*self._args, **self._kwargs)

    async def afailed(self, error: BaseException) -> Any:
        wait = self._run.failed(error, stop=self._yielded)
        if wait is None:
            return None
        await self._retry.asleep(wait)
        self._run.started = self._retry.clock()
        return self._function(*self._args, **self._kwargs)

    def ended(self, error: BaseException | None) -> None:  # noqa: ARG002  (closed early or not, it went well)
        self._run.succeeded()


_OPTIONS = frozenset(inspect.signature(Retry).parameters) - {"policy"}


@overload
def retry(policy: F, /) -> F: ...
@overload
def retry(policy: RetryPolicy | None = None, /, **options: Any) -> Retry: ...
def retry(policy: Any = None, /, **options: Any) -> Any:
    """``@retry``, ``@retry(max_retries=5)``, ``@retry(policy)``: call again what failed for a moment.

    Options are those of ``RetryPolicy`` and ``Retry``; without a name the policy is called after the function.

    >>> @retry(max_retries=1, base_delay=0)
    ... def fetch(): return "here"
    >>> fetch()
    'here'
    """
    if callable(policy) and not isinstance(policy, RetryPolicy):
        return Retry(RetryPolicy(name=_name_of(policy)))(policy)
    if isinstance(policy, RetryPolicy):
        return Retry(policy, **options)
    settings = {name: options.pop(name) for name in tuple(options) if name in RetryPolicy.__dataclass_fields__}
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        raise ConfigError(unknown[0], "is no option of retry", source="retry")
    if "name" in settings:
        return Retry(RetryPolicy(**settings), **options)
    RetryPolicy(**settings)  # a wrong value is said here, and not when a function is decorated
    return lambda function: Retry(RetryPolicy(name=_name_of(function), **settings), **options)(function)


def _name_of(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__name__)
