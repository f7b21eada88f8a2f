"""The one place that knows the four kinds of callable: function, coroutine, generator, async generator.

A stream is one step: it begins with the first item that is asked for, and ends when the stream ends, is closed or is
cancelled. Its context is current only while its own code runs, never between items, so nothing leaks to the consumer.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from time import time_ns
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach

from ragwatch import semconv
from ragwatch.sdk import results
from ragwatch.sdk.runtime import Active

if TYPE_CHECKING:
    from ragwatch.sdk.api import Use


def wrap(function: Any, use: Use) -> Any:
    """The function with a step around each call; it stays the kind of callable that it is."""
    if use.name == use.kind and use.kind in {"tool", "ingest"}:
        use.name = getattr(function, "__name__", use.kind)
    if inspect.isasyncgenfunction(function):
        return _async_generator(function, use)
    if inspect.isgeneratorfunction(function):
        return _generator(function, use)
    if inspect.iscoroutinefunction(function):
        return _coroutine(function, use)
    return _function(function, use)


def _function(function: Any, use: Use) -> Any:
    @functools.wraps(function)
    def stepped(*args: Any, **kwargs: Any) -> Any:
        if Active.runtime is None:
            return function(*args, **kwargs)
        once = use.again()
        step = once.__enter__()
        results.given(use.kind, step, args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            once.__exit__(type(error), error, None)
            raise
        kind = type(result)  # not isinstance: that reads __class__, which the app's proxies answer as they like
        if kind is GeneratorType:
            return _generator(lambda: result, use, _Run(once, step))()
        if kind is AsyncGeneratorType:
            return _async_generator(lambda: result, use, _Run(once, step))()
        if kind is CoroutineType:
            return _await(result, _Run(once, step))
        results.returned(use.kind, step, result)
        once.__exit__(None, None, None)
        return result

    return stepped


def _coroutine(function: Any, use: Use) -> Any:
    @functools.wraps(function)
    async def stepped(*args: Any, **kwargs: Any) -> Any:
        if Active.runtime is None:
            return await function(*args, **kwargs)
        once = use.again()
        step = once.__enter__()
        results.given(use.kind, step, args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            once.__exit__(type(error), error, None)
            raise
        if type(result) is AsyncGeneratorType:
            return _async_generator(lambda: result, use, _Run(once, step))()
        results.returned(use.kind, step, result)
        once.__exit__(None, None, None)
        return result

    return stepped


async def _await(awaitable: Any, run: _Run) -> Any:
    """Finish a step whose plain function returned a coroutine."""
    before = run.resume()
    try:
        result = await awaitable
    except BaseException as error:
        run.failed(error)
        raise
    finally:
        attach(before)
    run.last = result
    run.done()
    return result


def _generator(function: Any, use: Use, opened: _Run | None = None) -> Any:
    @functools.wraps(function)
    def stepped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        if Active.runtime is None and opened is None:
            return (yield from function(*args, **kwargs))
        run = opened or _Run.begin(use, args, kwargs)
        stream = function(*args, **kwargs)
        resume, argument = stream.send, None
        try:
            while True:
                before = run.resume()
                try:
                    item = resume(argument)
                except StopIteration as stop:
                    run.done(stop.value)
                    return stop.value
                finally:
                    attach(before)
                run.chunk(item)
                try:
                    argument = yield item
                    resume = stream.send
                except GeneratorExit:
                    run.within(stream.close)
                    raise
                except BaseException as error:  # noqa: BLE001  (handed to the app's own generator)
                    resume, argument = stream.throw, error
        except BaseException as error:
            run.failed(error)
            raise

    return stepped


def _async_generator(function: Any, use: Use, opened: _Run | None = None) -> Any:
    @functools.wraps(function)
    async def stepped(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        run = opened or _Run.begin(use, args, kwargs)
        stream = function(*args, **kwargs)
        resume, argument = stream.asend, None
        try:
            while True:
                before = run.resume()
                try:
                    item = await resume(argument)
                except StopAsyncIteration:
                    run.done()
                    return
                finally:
                    attach(before)
                run.chunk(item)
                try:
                    argument = yield item
                    resume = stream.asend
                except GeneratorExit:
                    before = run.resume()
                    try:
                        await stream.aclose()
                    finally:
                        attach(before)
                    raise
                except BaseException as error:  # noqa: BLE001  (handed to the app's own generator)
                    resume, argument = stream.athrow, error
        except BaseException as error:
            run.failed(error)
            raise

    return stepped


class _Run:
    """A step whose work goes on after the call: its context, when the first chunk came, how long it has become."""

    __slots__ = ("first_ns", "last", "length", "once", "step", "text")

    def __init__(self, once: Use, step: Any) -> None:
        self.once = once
        self.step = step
        self.first_ns = 0
        self.length = 0
        self.last: Any = None
        self.text: list[str] = []
        once.leave()

    @classmethod
    def begin(cls, use: Use, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Run:
        """Start the step; it is current only while its own code runs."""
        once = use.again()
        step = once.__enter__()
        results.given(use.kind, step, args, kwargs)
        return cls(once, step)

    def resume(self) -> Context:
        """Make the step current; what was current is returned, to be attached again."""
        return self.once.resume()

    def within(self, act: Callable[[], Any]) -> None:
        """Do something while the step is current."""
        before = self.resume()
        try:
            act()
        finally:
            attach(before)

    def chunk(self, item: Any) -> None:
        """Take one item of the stream."""
        if not self.first_ns:
            self.first_ns = time_ns()
        self.last = item
        if type(item) is str:
            self.length += len(item)
            if self.length <= results.MAX_ANSWER:
                self.text.append(item)

    def done(self, value: Any = None) -> None:
        """The stream has ended by itself; a generator may have returned a value, such as what it used."""
        if value is not None:
            results.returned(self.once.kind, self.step, value)
        self._said()
        self.step.end()

    def failed(self, error: BaseException) -> None:
        """The stream has failed, was closed, or was cancelled."""
        self._said()
        self.step.fail(error)
        self.step.end()

    def _said(self) -> None:
        step, kind = self.step, self.once.kind
        if self.first_ns and kind in {"generate", "query"}:
            step.set_attribute(semconv.FIRST_CHUNK_S, (self.first_ns - step.start_ns) / 1e9)
        if self.length:
            step.answer("".join(self.text))
            step.set_attribute(semconv.ANSWER_LENGTH, self.length)
        elif self.last is not None:
            results.returned(kind, step, self.last)
