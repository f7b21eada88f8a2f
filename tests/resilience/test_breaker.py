"""What a breaker does around code of every kind, beside what the model test proves of its states."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ragwatch import CircuitBreaker, CircuitOpen, ConfigError, LimitExceeded
from ragwatch.resilience.events import Event, FallbackUsed, Rejection, Transition
from ragwatch.resilience.tallies import TALLIES


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def down(*_args: object) -> None:
    raise ConnectionError("down")


def opened(**options: Any) -> tuple[CircuitBreaker, Clock]:
    clock = Clock()
    breaker = CircuitBreaker("index", failure_threshold=1, clock=clock, **options)
    with pytest.raises(ConnectionError):
        breaker.call(down)
    assert breaker.state == "open"
    return breaker, clock


def test_the_time_boundary_is_exact() -> None:
    breaker, clock = opened(reset_timeout=10)
    clock.now = 9.999
    with pytest.raises(CircuitOpen) as turned_away:
        breaker.call(int)
    assert turned_away.value.retry_after_s == pytest.approx(0.001)
    clock.now = 10.0
    assert breaker.call(int) == 0
    assert breaker.state == "closed"


def test_the_apps_exception_passes_untouched() -> None:
    breaker = CircuitBreaker()
    error = ConnectionError("mine")

    def fail() -> None:
        raise error

    with pytest.raises(ConnectionError) as raised:
        breaker(fail)()
    assert raised.value is error
    assert raised.value.__cause__ is None


def test_what_is_ignored_or_cancelled_counts_neither_way() -> None:
    breaker = CircuitBreaker("index", failure_threshold=1, ignore=ValueError)
    for error in (ValueError(), asyncio.CancelledError(), KeyboardInterrupt(), LimitExceeded("pool", "full")):
        with pytest.raises(type(error)):
            breaker.call(_raise, error)
    assert breaker.state == "closed"
    assert breaker.tally.ignored == 4


def test_a_predicate_that_raises_counts_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    def judge(_error: BaseException) -> bool:
        raise RuntimeError("my own predicate")

    breaker = CircuitBreaker("index", failure_threshold=1, record=judge)
    with pytest.raises(ConnectionError):
        breaker.call(down)
    assert breaker.state == "open"
    assert "predicate failed" in caplog.text


def test_a_result_can_be_a_failure() -> None:
    breaker = CircuitBreaker("index", failure_threshold=2, failure_result=lambda hits: not hits)
    assert breaker.call(list) == []
    assert breaker.call(list) == []
    assert breaker.state == "open"


def test_a_fallback_answers_with_the_calls_arguments() -> None:
    heard: list[Event] = []
    breaker = opened_with(lambda error, question: (type(error).__name__, question))
    breaker.listeners = (heard.append,)
    assert breaker(down)("why?") == ("CircuitOpen", "why?")
    assert FallbackUsed("index", "open") in heard


def opened_with(fallback: Any) -> CircuitBreaker:
    breaker = CircuitBreaker("index", failure_threshold=1, fallback=fallback)
    breaker.open()
    return breaker


def test_a_fallback_may_refuse() -> None:
    breaker = opened_with(lambda error: _raise(error))
    with pytest.raises(CircuitOpen):
        breaker.call(int)


def test_streams_fall_back_before_the_first_item_only() -> None:
    def stream() -> Iterator[int]:
        yield 1
        raise ConnectionError("half way")

    breaker = CircuitBreaker("model", failure_threshold=1, fallback=lambda error: iter([7]))
    guarded = breaker(stream)
    seen = []
    with pytest.raises(ConnectionError):
        seen.extend(item for item in guarded() if not seen.append(item))
    assert seen[0] == 1
    assert list(guarded()) == [7]


def test_listeners_hear_rejections_and_transitions_and_cannot_hurt(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def listener(event: Event) -> None:
        heard.append(event)
        raise RuntimeError("a bad listener")

    breaker = CircuitBreaker("index", failure_threshold=1, listeners=[listener])
    with pytest.raises(ConnectionError):
        breaker.call(down)
    for _ in range(3):
        with pytest.raises(CircuitOpen):
            breaker.call(int)
    assert heard[0] == Transition("index", "closed", "open", "1 failures in a row", 60.0)
    assert [type(event) for event in heard[1:]] == [Rejection] * 3
    assert "a listener failed" in caplog.text


def test_a_listener_may_use_the_breaker() -> None:
    states: list[str] = []
    breaker = CircuitBreaker("index", failure_threshold=1)
    breaker.listeners = (lambda _event: states.append(f"{breaker.state} {breaker.retry_after() is not None}"),)
    with pytest.raises(ConnectionError):
        breaker.call(down)
    assert states == ["open True"]


def test_with_blocks_of_many_threads_are_told_apart() -> None:
    breaker = CircuitBreaker("index", failure_threshold=100, half_open_permits=1)
    inside = threading.Barrier(8)

    def use(number: int) -> None:
        try:
            with breaker:
                inside.wait(10)
                if number % 2:
                    raise ConnectionError
        except ConnectionError:
            pass

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (breaker.tally.ok, breaker.tally.failure) == (4, 4)


def test_a_with_block_is_turned_away_while_open() -> None:
    breaker, _ = opened()
    ran = []
    with pytest.raises(CircuitOpen), breaker:
        ran.append(1)
    assert ran == []


async def test_coroutines_and_async_with() -> None:
    breaker = CircuitBreaker("index", failure_threshold=2)

    @breaker
    async def search(fail: bool) -> str:
        await asyncio.sleep(0)
        if fail:
            raise ConnectionError
        return "found"

    assert await search(False) == "found"
    with pytest.raises(ConnectionError):
        await search(True)
    with pytest.raises(ConnectionError):
        async with breaker:
            raise ConnectionError
    with pytest.raises(CircuitOpen):
        await search(False)


async def test_async_streams_are_one_call() -> None:
    breaker = CircuitBreaker("model", failure_threshold=2)

    @breaker
    async def stream(items: int, fail: bool = False) -> AsyncIterator[int]:
        for item in range(items):
            yield item
        if fail:
            raise ConnectionError

    assert [item async for item in stream(5)] == [0, 1, 2, 3, 4]
    assert breaker.tally.ok == 1
    closed = stream(5)
    assert await anext(closed) == 0
    await closed.aclose()
    assert (breaker.tally.ok, breaker.tally.ignored) == (1, 1)
    with pytest.raises(ConnectionError):
        _ = [item async for item in stream(2, fail=True)]
    assert breaker.tally.failure == 1


def test_a_generators_send_throw_and_return_value_pass_through() -> None:
    breaker = CircuitBreaker("model")

    @breaker
    def talk() -> Iterator[Any]:
        got = yield "first"
        try:
            yield got
        except KeyError:
            yield "caught"
        return "done"

    stream: Any = talk()
    assert next(stream) == "first"
    assert stream.send("sent") == "sent"
    assert stream.throw(KeyError()) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(stream)
    assert stop.value.value == "done"


def test_a_stream_is_as_slow_as_its_first_item() -> None:
    clock = Clock()
    breaker = CircuitBreaker(
        "model", slow_call_rate=1.0, slow_call_duration=1.0, minimum_calls=1, window=1, clock=clock
    )

    @breaker
    def stream(wait: float) -> Iterator[int]:
        clock.now += wait
        yield 1

    for _ in stream(0.5):
        clock.now += 100  # the consumer takes its time
    assert breaker.state == "closed"
    for _ in stream(2.0):
        pass
    assert breaker.state == "open"


def test_a_closed_breaker_does_not_serialise() -> None:
    breaker = CircuitBreaker("slow")
    together = threading.Barrier(8, timeout=30)  # broken where one call waits for another
    threads = [threading.Thread(target=breaker.call, args=(together.wait,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (breaker.tally.ok, breaker.tally.failure) == (8, 0)


def test_counts_outlive_the_breaker_and_add_up_by_name() -> None:
    name = "short-lived"
    for _ in range(3):
        breaker = CircuitBreaker(name)
        breaker.call(int)
    del breaker
    gc.collect()
    assert TALLIES.totals()["rag.breaker.calls", (name, "ok")] == 3
    assert ("rag.breaker.state", (name, "closed")) not in TALLIES.levels()


def test_rejections_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(CircuitOpen("index", retry_after_s=3.0)))
    assert (type(error), error.name, error.retry_after_s) == (CircuitOpen, "index", 3.0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("failure_threshold", 0),
        ("failure_rate", 1.5),
        ("reset_timeout", -1),
        ("half_open_permits", 0),
        ("success_threshold", 2),
        ("reset_jitter", 2),
        ("minimum_calls", 0),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=option):
        CircuitBreaker("index", **{option: value})


def test_the_reset_jitter_stays_below_the_time() -> None:
    waits = []
    for share in (0.0, 0.5, 1.0):
        clock = Clock()
        breaker = CircuitBreaker(
            "index",
            reset_timeout=10,
            reset_jitter=0.4,
            clock=clock,
            uniform=lambda low, high: low + (high - low) * share,
        )
        breaker.open()
        waits.append(breaker.retry_after())
    assert waits == [6.0, 8.0, 10.0]


def _raise(error: BaseException) -> None:
    raise error
