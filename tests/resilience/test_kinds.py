"""Callables that hide what they are are guarded and retried as what they are."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ragwatch import (
    Bulkhead,
    CircuitBreaker,
    ConfigError,
    LimitExceeded,
    RetryPolicy,
    breaker,
    breakers,
    current_attempt,
)
from ragwatch.resilience.kinds import kind_of
from ragwatch.resilience.retry import Retry


class Search:
    """An object that is called and awaited."""

    async def __call__(self) -> None:
        raise ConnectionError


async def down() -> None:
    raise ConnectionError


def stream() -> Iterator[int]:
    yield 1


async def later_stream() -> AsyncIterator[int]:
    yield 1


def test_kinds() -> None:
    assert [kind_of(f) for f in (Search(), functools.partial(down), down)] == ["coroutine"] * 3
    assert [kind_of(f) for f in (stream, later_stream, print)] == ["generator", "async generator", "function"]


async def test_async_failures_count_however_they_are_hidden() -> None:
    seen = CircuitBreaker("hidden", failure_threshold=100)
    for guarded in (seen(Search()), seen(functools.partial(down)), seen(lambda: down())):
        with pytest.raises(ConnectionError):
            await guarded()
    with pytest.raises(ConnectionError):
        await seen.call(down)
    assert (seen.tally.failure, seen.tally.ok) == (4, 0)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
async def test_a_bulkhead_holds_its_room_until_a_hidden_coroutine_ends() -> None:
    bulkhead = Bulkhead("hidden", max_concurrent=1)
    gate = asyncio.Event()
    waiting = bulkhead.call(gate.wait)
    assert bulkhead.running == 0, "nothing runs yet"
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0)
    assert bulkhead.running == 1
    with pytest.raises(LimitExceeded):
        await bulkhead.call(down)
    gate.set()
    assert await task
    assert bulkhead.running == 0
    never = bulkhead.call(down)
    never.close()
    del never
    assert bulkhead.running == 0, "what is never awaited keeps no room"


async def test_hidden_streams_are_guarded_while_they_run() -> None:
    seen = CircuitBreaker("hidden-streams", failure_threshold=100)

    def failing() -> Iterator[int]:
        yield 1
        raise ConnectionError

    async def failing_later() -> AsyncIterator[int]:
        yield 1
        raise ConnectionError

    for guarded in (seen(lambda: failing()), lambda: seen.call(failing)):
        items = guarded()
        assert next(items) == 1
        with pytest.raises(ConnectionError):
            next(items)
    with pytest.raises(ConnectionError):
        assert [item async for item in seen.call(failing_later)] == []
    assert (seen.tally.failure, seen.tally.ok) == (3, 0)


async def test_an_async_object_is_retried() -> None:
    calls: list[int] = []

    class Flaky:
        async def __call__(self) -> int:
            calls.append(1)
            if len(calls) < 3:
                raise ConnectionError
            return len(calls)

    flaky: Any = Flaky()
    assert await Retry(RetryPolicy("flaky-object", base_delay=0))(flaky)() == 3


async def test_hidden_coroutines_are_retried() -> None:
    calls: list[int] = []

    async def search() -> int:
        calls.append(1)
        if len(calls) % 3:
            raise ConnectionError
        return len(calls)

    again = Retry(RetryPolicy("hidden-search", base_delay=0), budget=None, breaker=CircuitBreaker("hidden-search"))
    hidden = again(lambda: search())
    assert [await hidden(), await hidden()] == [3, 6]


def test_a_stream_sees_its_attempt_and_key_and_its_consumer_does_not() -> None:
    seen: list[Any] = []

    def items() -> Iterator[int]:
        attempt = current_attempt()
        seen.append((attempt.number, attempt.key) if attempt else None)
        if len(seen) == 1:
            raise ConnectionError
        yield 1
        yield 2

    for _ in Retry(RetryPolicy("seen-stream", base_delay=0, key="k", idempotent=False))(items)():
        assert current_attempt() is None
    assert seen == [(1, "k"), (2, "k")]


def test_what_cannot_work_is_said() -> None:
    with pytest.raises(TypeError, match="acall"):
        Retry().call(down)
    with pytest.raises(TypeError, match="decorate it"):
        Retry().call(stream)
    with pytest.raises(ConfigError, match="stream"):
        Retry(RetryPolicy("cut-off", attempt_timeout=1.0))(stream)


def test_breakers_by_name() -> None:
    first = breaker("by-name", failure_threshold=2)
    assert breaker("by-name") is first
    assert breaker("by-name", failure_threshold=2) is first
    assert breakers()["by-name"] is first
    with pytest.raises(ConfigError, match="was made with 2"):
        breaker("by-name", failure_threshold=3)
    with pytest.raises(ConfigError, match="the default"):
        breaker("by-name", reset_timeout=1.0)
