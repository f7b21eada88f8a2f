"""The ``ingest`` step of a document: around the call on a thread, written afterwards for other processes."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from opentelemetry.context import get_current

from ragwatch import semconv
from ragwatch.processing.failure import TRACE_ID, RemoteError
from ragwatch.processing.item import MAX_NAME, Item
from ragwatch.processing.work import Done, is_async
from ragwatch.sdk.api import ingest
from ragwatch.sdk.guard import fault
from ragwatch.sdk.runtime import Active


def stepped(
    function: Callable[[Any], Any], pipeline: str, source_of: Callable[[Any], str | None]
) -> Callable[[Any], Any]:
    """The function with an ingest step around each call, while ragwatch is on; its exceptions carry the trace id."""
    if is_async(function):

        @functools.wraps(function)
        async def run_async(document: Any) -> Any:
            async with ingest(pipeline) as step:
                step.set(semconv.DOCUMENT_ID, source_of(document))
                try:
                    return await function(document)
                except Exception as error:
                    _mark(error, step)
                    raise

        return run_async

    @functools.wraps(function)
    def run(document: Any) -> Any:
        if Active.runtime is None:
            return function(document)
        with ingest(pipeline) as step:
            step.set(semconv.DOCUMENT_ID, source_of(document))
            try:
                return function(document)
            except Exception as error:
                _mark(error, step)
                raise

    return run


def _mark(error: Exception, step: Any) -> None:
    """Note the trace that an exception ended; an exception without attributes stays as it is."""
    context = step.get_span_context()
    if context.is_valid:
        with suppress(AttributeError, TypeError):
            setattr(error, TRACE_ID, f"{context.trace_id:032x}")


def name_of(document: Any) -> str | None:
    """What a step says of its document: a path or a URI, never content."""
    text = str(document) if isinstance(document, str | os.PathLike) else None
    return text if text is not None and len(text) <= MAX_NAME and "\n" not in text else None


def record_step(pipeline: str, item: Item, done: Done) -> None:
    """The step of a document that ran in another process."""
    runtime = Active.runtime
    if runtime is None:
        return
    try:
        step, _ = runtime.begin(
            "ingest", pipeline, {semconv.DOCUMENT_ID: name_of(item.source) or ""}, get_current(), done.start_ns
        )
        if done.failure is not None:
            step.set(semconv.ERROR_TYPE, done.failure.error_type)
            step.fail(RemoteError(done.failure))
        step.end()
    except Exception as error:  # noqa: BLE001  (guests behave)
        fault("ingest", error)
