"""One attempt at one document, where it runs: on a thread, in another process, on another machine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from time import time_ns
from typing import Any, NamedTuple

from ragwatch.processing.failure import Failure, failure_of


class Done(NamedTuple):
    """What came of an attempt; times are nanoseconds since the epoch where it ran."""

    token: int
    failure: Failure | None
    value: Any
    start_ns: int
    end_ns: int
    error: BaseException | None = None
    """The exception itself, where it did not have to travel."""


def attempt(
    function: Callable[[Any], Any], document: Any, token: int, keep_value: bool, keep_error: bool = False
) -> Done:
    """Run the function; picklable as long as the document and, where it is kept, the value are."""
    start_ns = time_ns()
    try:
        value = function(document)
        if inspect.isawaitable(value):
            value = _awaited(value)
    except Exception as error:  # noqa: BLE001  (a document's failure is a value here)
        return Done(token, failure_of(error), None, start_ns, time_ns(), error if keep_error else None)
    return Done(token, None, value if keep_value else None, start_ns, time_ns())


def attempts(function: Callable[[Any], Any], batch: list[tuple[int, Any]], keep_value: bool) -> list[Done]:
    """Several, one after the other: small documents on a far executor travel together."""
    return [attempt(function, document, token, keep_value) for token, document in batch]


def _awaited(value: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await value

    return asyncio.run(wait())
