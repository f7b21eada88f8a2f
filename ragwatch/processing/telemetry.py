"""The ``ingest`` step of a document: around the call on a thread, written afterwards for other processes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from opentelemetry.context import get_current

from ragwatch import semconv
from ragwatch.processing.failure import RemoteError
from ragwatch.processing.item import Item
from ragwatch.processing.work import Done
from ragwatch.sdk.api import ingest
from ragwatch.sdk.guard import fault
from ragwatch.sdk.runtime import Active


def stepped(
    function: Callable[[Any], Any], pipeline: str, source_of: Callable[[Any], str | None]
) -> Callable[[Any], Any]:
    """The function with an ingest step around each call, while ragwatch is on."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(document: Any) -> Any:
            async with ingest(pipeline) as step:
                step.set(semconv.DOCUMENT_ID, source_of(document))
                return await function(document)

        return run_async

    @functools.wraps(function)
    def run(document: Any) -> Any:
        if Active.runtime is None:
            return function(document)
        with ingest(pipeline) as step:
            step.set(semconv.DOCUMENT_ID, source_of(document))
            return function(document)

    return run


def record_step(pipeline: str, item: Item, done: Done) -> None:
    """The step of a document that ran in another process."""
    runtime = Active.runtime
    if runtime is None:
        return
    try:
        step, _ = runtime.begin("ingest", pipeline, {semconv.DOCUMENT_ID: item.source}, get_current(), done.start_ns)
        if done.failure is not None:
            step.set(semconv.ERROR_TYPE, done.failure.error_type)
            step.fail(RemoteError(done.failure))
        step.end()
    except Exception as error:  # noqa: BLE001  (guests behave)
        fault("ingest", error)
