"""One loop for every stream under a policy; ``send``, ``throw`` and ``close`` reach the app's generator.

What the policy does about it is its driver's: a breaker asks for a ticket before the stream opens, a retry opens
another stream where one failed before its first item.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from typing import Any, Protocol


class StreamDriver(Protocol):
    """What a policy does about one stream."""

    def open(self) -> Generator[Any, Any, Any]:
        """The stream, or an exception."""

    def enter(self) -> Any:
        """The stream's own code runs, until ``leave``."""

    def leave(self, entered: Any) -> None:
        """The consumer's code runs."""

    def first(self) -> None:
        """The first item came."""

    def failed(self, error: BaseException) -> Generator[Any, Any, Any] | None:
        """The stream failed: one to go on with, or None to raise the exception."""

    def ended(self, error: BaseException | None) -> None:
        """The stream came to its end, or the consumer closed it (``GeneratorExit``)."""


class AsyncStreamDriver(Protocol):
    """The same for async generators."""

    async def aopen(self) -> AsyncGenerator[Any, Any]:
        """The stream, or an exception."""

    def enter(self) -> Any:
        """The stream's own code runs, until ``leave``."""

    def leave(self, entered: Any) -> None:
        """The consumer's code runs."""

    def first(self) -> None:
        """The first item came."""

    async def afailed(self, error: BaseException) -> AsyncGenerator[Any, Any] | None:
        """The stream failed: one to go on with, or None to raise the exception."""

    def ended(self, error: BaseException | None) -> None:
        """The stream came to its end, or the consumer closed it."""


def streamed(drive: Callable[..., StreamDriver]) -> Callable[..., Generator[Any, Any, Any]]:
    """A generator function that goes as ``yield from`` the streams of the driver that its arguments give."""

    def relay(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        driver = drive(*args, **kwargs)
        stream = driver.open()
        resume, argument = stream.send, None
        began = False
        while True:
            try:
                entered = driver.enter()
                try:
                    item = resume(argument)
                finally:
                    driver.leave(entered)
            except StopIteration as stop:
                driver.ended(None)
                return stop.value
            except BaseException as error:
                other = driver.failed(error)
                if other is None:
                    raise
                stream, resume, argument = other, other.send, None
                continue
            if not began:
                began = True
                driver.first()
            try:
                argument = yield item
                resume = stream.send
            except GeneratorExit as error:
                try:
                    stream.close()
                finally:
                    driver.ended(error)
                raise
            except BaseException as error:  # noqa: BLE001  (handed to the app's own generator)
                resume, argument = stream.throw, error

    return relay


def async_streamed(drive: Callable[..., AsyncStreamDriver]) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The same for async generators."""

    async def relay(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        driver = drive(*args, **kwargs)
        stream = await driver.aopen()
        resume, argument = stream.asend, None
        began = False
        while True:
            try:
                entered = driver.enter()
                try:
                    item = await resume(argument)
                finally:
                    driver.leave(entered)
            except StopAsyncIteration:
                driver.ended(None)
                return
            except BaseException as error:
                other = await driver.afailed(error)
                if other is None:
                    raise
                stream, resume, argument = other, other.asend, None
                continue
            if not began:
                began = True
                driver.first()
            try:
                argument = yield item
                resume = stream.asend
            except GeneratorExit as error:
                try:
                    await stream.aclose()
                finally:
                    driver.ended(error)
                raise
            except BaseException as error:  # noqa: BLE001  (handed to the app's own generator)
                resume, argument = stream.athrow, error

    return relay


def as_generator(items: Iterable[Any]) -> Generator[Any, Any, Any]:
    """Any iterable as a generator: what a fallback returned for a stream."""
    return (yield from items)


async def as_async_generator(items: AsyncIterable[Any] | Iterable[Any]) -> AsyncGenerator[Any, Any]:
    """Any iterable, async or not, as an async generator."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
