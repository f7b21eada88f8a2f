"""One attempt at one document, where it runs: on a thread, in another process, on another machine."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import time_ns
from typing import Any, NamedTuple, TypeVar

from ragwatch.processing.failure import Failure, RemoteError, failure_of

T = TypeVar("T")
MAX_ERROR_BYTES = 1 << 16


class Done(NamedTuple):
    """What came of an attempt; times are nanoseconds since the epoch where it ran."""

    token: int
    failure: Failure | None
    value: Any
    start_ns: int
    end_ns: int
    error: BaseException | bytes | None = None
    """The exception itself; pickled where it had to travel."""

    def raised(self) -> BaseException | None:
        """The exception, for a predicate of the app's; where it could not travel, one that tells what is known of it.

        >>> Done(0, failure_of(KeyError("k")), None, 0, 0, pickle.dumps(KeyError("k"))).raised()
        KeyError('k')
        """
        if self.failure is None or isinstance(self.error, BaseException):
            return self.error if isinstance(self.error, BaseException) else None
        if self.error is not None:
            try:
                found = pickle.loads(self.error)  # noqa: S301  (of our own worker)
            except Exception:  # noqa: BLE001  (its class cannot be had here)
                found = None
            if isinstance(found, BaseException):
                return found
        if self.failure.error_type == "TimeoutError":
            return TimeoutError(self.failure.message)
        return RemoteError(self.failure)


def ended(done: SimpleQueue[T], timeout_s: float) -> list[T]:
    """All that is in the queue; waits at most so long for the first."""
    found: list[T] = []
    try:
        found.append(done.get(timeout=timeout_s))
        while True:
            found.append(done.get_nowait())
    except Empty:
        return found


def attempt(
    function: Callable[[Any], Any], document: Any, token: int, keep_value: bool, keep_error: bool = False
) -> Done:
    """Run the function; picklable as long as the document and, where it is kept, the value are.

    Whatever it raises is the document's failure, ``sys.exit()`` included: a worker goes on.
    """
    start_ns = time_ns()
    try:
        value = function(document)
        if inspect.isawaitable(value):
            value = _awaited(value)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not keep_error:
            raise  # Ctrl-C reaches the processes of a pool as well
        return Done(token, failure_of(error), None, start_ns, time_ns(), error if keep_error else _pickled(error))
    return Done(token, None, value if keep_value else None, start_ns, time_ns())


def attempts(function: Callable[[Any], Any], batch: list[tuple[int, Any]], keep_value: bool) -> list[Done]:
    """Several, one after the other: small documents on a far executor travel together."""
    return [attempt(function, document, token, keep_value) for token, document in batch]


def is_async(function: Callable[[Any], Any]) -> bool:
    """Whether calling it makes a coroutine: a coroutine function, or an object whose ``__call__`` is one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _pickled(error: BaseException) -> bytes | None:
    """The exception, if it survives the journey."""
    try:
        found = pickle.dumps(error)
        pickle.loads(found)  # noqa: S301  (made a line above)
    except Exception:  # noqa: BLE001  (the app's own class)
        return None
    return found if len(found) <= MAX_ERROR_BYTES else None


def _awaited(value: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await value

    return asyncio.run(wait())
