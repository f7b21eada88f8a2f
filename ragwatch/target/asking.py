"""Asking a target one question, as a query that ragwatch sees: sync and async."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import ragwatch
import ragwatch.sdk.api
import ragwatch.sdk.judgements  # what the first query would else load while its time is taken
from ragwatch.config.otel_env import read_settings
from ragwatch.sdk.setup import running
from ragwatch.target.answer import Answer
from ragwatch.target.target import Target

K = 5
LISTENS_S = 0.3
_EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")


def switch_on(service: str, *, content: str | None = None) -> bool:
    """Switch ragwatch on unless the app has done so; True when it was done here.

    Nothing is sent anywhere unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` names a receiver. ``content`` applies only where
    nothing is sent: then the text never leaves this process.
    """
    process = running()
    if process is not None:
        process[1].quiet()  # its lines would stand among what the tool shows
        return False
    wanted: dict[str, str] = {}
    if not _names_receiver():
        wanted = dict.fromkeys(_EXPORTERS, "none")
        if content is not None:
            wanted["RAGWATCH_CONTENT"] = content
    with _unless_set(wanted):
        ragwatch.init(service=service, environment="bench", log_queries=False)
    return True


def keeps_text() -> bool:
    """Whether ``RAGWATCH_CONTENT`` lets ragwatch keep text, as it is in force in this process."""
    process = running()
    return process is not None and process[0].content.mode != "off"


def send_to_nobody() -> None:
    """Before an app is imported that may call ``ragwatch.init()`` itself: it sends nothing where nobody would take it.

    That is where the environment names no receiver, and nobody listens at OTLP's own port of this host.
    """
    endpoint = read_settings().endpoints.get("traces")
    if endpoint is None or _names_receiver():
        return
    parts = urlsplit(endpoint.url)
    try:
        socket.create_connection((parts.hostname or "localhost", parts.port or 4318), LISTENS_S).close()
    except OSError:
        for name in _EXPORTERS:
            os.environ.setdefault(name, "none")


def _names_receiver() -> bool:
    return any(name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("ENDPOINT") for name in os.environ)


@contextmanager
def _unless_set(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables for the length of a block, where the environment does not have them."""
    added = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def ask(
    target: Target,
    question: str,
    options: Mapping[str, Any],
    *,
    relevant: Collection[str] = (),
    on_text: Callable[[str], None] | None = None,
) -> Answer:
    """Ask, and read the answer to its end; what the app raises is in ``Answer.error``.

    >>> ask(Target("app", lambda question, loud=False: question + "!" * loud), "really", {"loud": True}).text
    'really!'
    """
    answer = Answer(on_text)
    try:
        with ragwatch.query(question) as query:
            answer.trace_id = ragwatch.trace_id()
            if relevant:
                query.relevant(sorted(relevant), k=K)
            result = target.call(question, **options)
            if isinstance(result, Iterator):
                _drain(result, answer)
            elif inspect.isawaitable(result) or isinstance(result, AsyncIterator):  # a plain function that returns one
                asyncio.run(_settle(result, answer))
            else:
                answer.whole(result)
            query.answer(answer.text)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (the app's errors are a result)
        answer.error = error
    answer.ended()
    return answer


async def ask_async(
    target: Target,
    question: str,
    options: Mapping[str, Any],
    *,
    relevant: Collection[str] = (),
    on_text: Callable[[str], None] | None = None,
    timeout_s: float | None = None,
) -> Answer:
    """Ask a target whose ``is_async`` is True; what it raises is in ``Answer.error``, cancellation is raised."""
    answer = Answer(on_text)
    try:
        async with asyncio.timeout(timeout_s):
            with ragwatch.query(question) as query:
                answer.trace_id = ragwatch.trace_id()
                if relevant:
                    query.relevant(sorted(relevant), k=K)
                await _settle(target.call(question, **options), answer)
                query.answer(answer.text)
    except (Exception, SystemExit) as error:  # noqa: BLE001
        answer.error = error
    answer.ended()
    return answer


async def _settle(result: Any, answer: Answer) -> None:
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncIterator):
        async for chunk in result:
            answer.add(chunk)
    elif isinstance(result, Iterator):
        _drain(result, answer)
    else:
        answer.whole(result)


def _drain(stream: Iterator[Any], answer: Answer) -> None:
    """Read a stream to its end, and what its generator returned."""
    while True:
        try:
            chunk = next(stream)
        except StopIteration as stop:
            answer.whole(stop.value)
            return
        answer.add(chunk)
