"""A stream is one step: it begins with its first item, ends when it ends, and leaks nothing to its consumer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace

import ragwatch
from ragwatch import semconv
from tests.sdk.conftest import Watched


@ragwatch.generate
def tell(fail: bool = False) -> Iterator[str]:
    yield "one "
    with ragwatch.tool("inner"):
        yield "two "
    if fail:
        raise ConnectionError("half way")
    yield "three"


@ragwatch.generate
async def atell(fail: bool = False) -> AsyncIterator[str]:
    yield "one "
    await asyncio.sleep(0)
    yield "two "
    if fail:
        raise ConnectionError("half way")
    yield "three"


def outcome(watched: Watched, step: str = "generate") -> str:
    """What the KPIs say of the one step."""
    watched.span(step)
    from ragwatch.sdk.setup import engine_state

    found = {key[3] for key in engine_state().series("rag.step.calls") if key[2] == step}
    assert len(found) == 1
    return found.pop()


def test_read_to_its_end(watched: Watched) -> None:
    assert "".join(tell()) == "one two three"
    found = watched.attributes("generate")
    assert found[semconv.ANSWER_LENGTH] == 13
    assert found[semconv.FIRST_CHUNK_S] >= 0
    assert outcome(watched) == "ok"


def test_nothing_leaks_between_the_items(watched: Watched) -> None:
    with ragwatch.query("q") as query:
        stream = tell()
        seen = []
        for _ in stream:
            seen.append(trace.get_current_span())
            with ragwatch.rerank("between"):
                pass
    assert seen == [query, query, query]
    root = watched.span("query")
    between = [span.parent_span_id for span in watched.spans() if span.name == "between"]
    assert between == [root.span_id] * 3
    assert watched.span("tool").parent_span_id == watched.span("generate").span_id


@pytest.mark.parametrize("how", ["close", "break", "forget"])
def test_a_stream_that_the_consumer_leaves_is_cancelled(watched: Watched, how: str) -> None:
    stream: Any = tell()
    assert next(stream) == "one "
    if how == "close":
        stream.close()
    elif how == "break":
        for _ in stream:
            break
    del stream
    gc.collect()
    assert outcome(watched) == "cancelled"


def test_a_failure_half_way_is_an_error_and_passes_untouched(watched: Watched) -> None:
    seen: list[str] = []
    with pytest.raises(ConnectionError, match="half way"):
        seen.extend(tell(fail=True))
    assert outcome(watched) == "error"


def test_send_throw_and_the_return_value(watched: Watched) -> None:
    @ragwatch.generate
    def talk() -> Any:
        got = yield "first"
        try:
            yield got
        except KeyError:
            yield "caught"
        return {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}

    def driver() -> Any:
        return (yield from talk())

    stream = driver()
    assert next(stream) == "first"
    assert stream.send("sent") == "sent"
    assert stream.throw(KeyError()) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(stream)
    assert stop.value.value["usage"]["completion_tokens"] == 4
    assert watched.attributes("generate")[semconv.OUTPUT_TOKENS] == 4


def test_a_function_that_returns_a_generator_is_a_stream(watched: Watched) -> None:
    @ragwatch.generate
    def write() -> Iterator[str]:
        def inner() -> Iterator[str]:
            yield "a"
            yield "bc"

        return inner()

    assert "".join(write()) == "abc"
    assert watched.attributes("generate")[semconv.ANSWER_LENGTH] == 3


async def test_async_stream_to_its_end(watched: Watched) -> None:
    assert [item async for item in atell()] == ["one ", "two ", "three"]
    assert watched.attributes("generate")[semconv.ANSWER_LENGTH] == 13
    assert outcome(watched) == "ok"


async def test_async_stream_that_is_closed(watched: Watched) -> None:
    stream: Any = atell()
    async for _ in stream:
        break
    await stream.aclose()
    assert outcome(watched) == "cancelled"


async def test_async_stream_whose_task_is_cancelled(watched: Watched) -> None:
    started = asyncio.Event()

    @ragwatch.generate
    async def hang() -> AsyncIterator[str]:
        yield "one"
        started.set()
        await asyncio.Event().wait()

    async def read() -> None:
        async for _ in hang():
            pass

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcome(watched) == "cancelled"


async def test_async_stream_that_fails(watched: Watched) -> None:
    with pytest.raises(ConnectionError):
        _ = [item async for item in atell(fail=True)]
    assert outcome(watched) == "error"


async def test_nothing_leaks_between_async_items(watched: Watched) -> None:
    seen = []
    async with ragwatch.query("q") as query:
        async for _ in atell():
            seen.append(trace.get_current_span() is query)  # noqa: PERF401
    assert seen == [True, True, True]


async def test_a_function_that_returns_a_coroutine_or_async_generator(watched: Watched) -> None:
    @ragwatch.retrieve
    def search() -> Any:
        async def inner() -> list[str]:
            await asyncio.sleep(0)
            return ["a"]

        return inner()

    @ragwatch.generate
    def write() -> Any:
        async def inner() -> AsyncIterator[str]:
            yield "ab"

        return inner()

    assert await search() == ["a"]
    assert [item async for item in write()] == ["ab"]
    assert watched.lines() == []
    assert watched.attributes("retrieve")[semconv.DOCUMENT_COUNT] == 1
    assert watched.attributes("generate")[semconv.ANSWER_LENGTH] == 2


@pytest.mark.parametrize("work", [lambda: "all at once", lambda: {"answer": "x"}])
def test_only_streams_have_a_first_chunk(watched: Watched, work: Callable[[], Any]) -> None:
    ragwatch.generate(work)()
    assert semconv.FIRST_CHUNK_S not in watched.attributes("generate")


def test_a_stream_that_is_never_read_is_no_step(watched: Watched) -> None:
    tell()
    gc.collect()
    assert watched.spans() == []
