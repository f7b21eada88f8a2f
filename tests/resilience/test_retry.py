"""What a retry does: how long it waits, when it stops, what it never repeats."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwatch import (
    CircuitBreaker,
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    RetryBudget,
    RetryPolicy,
    current_attempt,
    deadline,
    retry,
)
from ragwatch.resilience.events import AttemptFailed, Event
from ragwatch.resilience.retry import Retry
from ragwatch.resilience.retry_tally import tally_of
from ragwatch.resilience.retryable import retry_after_of, transient


class World:
    """A clock that sleeping moves, and what was slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def async_sleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def retry(self, budget: Any = None, **policy: Any) -> Retry:
        found = RetryPolicy(**{"jitter": "none", "base_delay": 1.0, **policy})
        return Retry(found, budget=budget, clock=self.clock, sleep=self.sleep, async_sleep=self.async_sleep)


def failing(times: int, error: Callable[[], BaseException] = ConnectionError) -> Callable[[], int]:
    """Fails that many times, then answers with the number of calls."""
    calls = 0

    def call() -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise error()
        return calls

    return call


def test_it_tries_again_and_waits_longer_each_time() -> None:
    world = World()
    assert world.retry(max_retries=3).call(failing(3)) == 4
    assert world.slept == [1.0, 2.0, 4.0]


def test_the_last_exception_is_raised_as_it_was() -> None:
    errors = [ConnectionError(str(number)) for number in range(3)]
    left = iter(errors)
    with pytest.raises(ConnectionError) as raised:
        World().retry(max_retries=2).call(failing(9, lambda: next(left)))
    assert raised.value is errors[-1]


@given(
    attempt=st.integers(1, 5000),
    base=st.floats(0, 100),
    cap=st.floats(0, 1000),
    factor=st.floats(1, 100),
    previous=st.floats(0, 5000),
    jitter=st.sampled_from(("full", "decorrelated", "equal", "none")),
    share=st.floats(0, 1),
)
def test_no_delay_is_over_the_cap(
    attempt: int, base: float, cap: float, factor: float, previous: float, jitter: Any, share: float
) -> None:
    policy = RetryPolicy(base_delay=base, max_delay=cap, exponential_factor=factor, jitter=jitter)
    wait = policy.delay(attempt, previous, lambda low, high: low + (high - low) * share)
    assert 0 <= wait <= cap * (1 + 1e-12)


@pytest.mark.parametrize("jitter", ["full", "decorrelated", "equal"])
def test_at_the_cap_the_jitter_is_still_wide(jitter: Any) -> None:
    import random

    draw = random.Random(1).uniform
    policy = RetryPolicy(base_delay=1, max_delay=60, jitter=jitter)
    waits = [policy.delay(20, 60.0, draw) for _ in range(10_000)]
    spread = max(waits) - min(waits)
    assert spread > (29 if jitter == "equal" else 50)
    assert max(waits.count(wait) for wait in waits[:100]) == 1, "many clients would come at the same instant"


class Response(Exception):
    """As HTTP clients raise them."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"HTTP {status}")
        self.response = type(
            "R", (), {"status_code": status, "headers": {k.replace("_", "-"): v for k, v in headers.items()}}
        )


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (Response(503), True),
        (Response(429), True),
        (Response(400), False),
        (Response(401), False),
        (ValueError(), False),
        (KeyError(), False),
        (type("RateLimitError", (Exception,), {})(), True),
        (type("APIConnectionError", (Exception,), {})(), True),
        (type("AuthenticationError", (Exception,), {})(), False),
    ],
)
def test_what_is_transient(error: Exception, again: bool) -> None:
    assert transient(error) is again


def test_retry_after_is_a_floor() -> None:
    world = World()
    world.retry(max_retries=1).call(failing(1, lambda: Response(503, Retry_After="7")))
    assert world.slept == [7.0]
    when = email.utils.formatdate(1_000_060, usegmt=True)
    assert retry_after_of(Response(503, Retry_After=when), lambda: 1_000_000.0) == 60.0
    assert retry_after_of(Response(503, Retry_After="soon")) is None
    assert retry_after_of(Response(429, retry_after_ms="250")) == 0.25


def test_a_retry_after_beyond_the_bound_ends_the_call() -> None:
    world = World()
    with pytest.raises(Response):
        world.retry(max_retry_after=60).call(failing(1, lambda: Response(503, Retry_After="3600")))
    assert world.slept == []


def test_it_never_sleeps_past_the_deadline() -> None:
    world = World()
    with pytest.raises(ConnectionError):
        world.retry(max_retries=9, deadline=5.0).call(failing(9))
    assert world.slept == [1.0, 2.0]
    assert world.now < 5.0


def test_the_deadline_of_the_context_holds_too() -> None:
    world = World()
    with deadline(2.5, clock=world.clock), pytest.raises(ConnectionError):
        world.retry(max_retries=9).call(failing(9))
    assert world.slept == [1.0]


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, lambda: CircuitOpen("index"), ValueError])
def test_what_is_never_retried(error: Any) -> None:
    world = World()
    with pytest.raises(BaseException):  # noqa: B017, PT011
        world.retry().call(failing(1, error))
    assert world.slept == []


def test_without_a_key_what_is_not_idempotent_is_called_once() -> None:
    world = World()
    with pytest.raises(ConnectionError):
        world.retry(idempotent=False).call(failing(1))
    assert world.slept == []


def test_every_attempt_sees_the_same_key() -> None:
    world, seen = World(), []

    def pay() -> str:
        attempt = current_attempt()
        assert attempt is not None
        seen.append((attempt.number, attempt.key))
        if len(seen) < 3:
            raise ConnectionError
        return "paid"

    assert world.retry(idempotent=False, key="auto").call(pay) == "paid"
    assert [number for number, _ in seen] == [1, 2, 3]
    assert len({key for _, key in seen}) == 1
    assert current_attempt() is None


def test_a_breaker_inside_stops_the_retries() -> None:
    world = World()
    breaker = CircuitBreaker("index", failure_threshold=2, clock=world.clock)
    search = Retry(
        RetryPolicy("through-breaker", jitter="none", max_retries=9),
        budget=None, clock=world.clock, sleep=world.sleep, breaker=breaker,
    )(failing(99))  # fmt: skip
    with pytest.raises(CircuitOpen) as turned_away:
        search()
    assert breaker.tally.failure == 2
    assert isinstance(turned_away.value.__cause__, ConnectionError)


def test_the_breakers_fallback_comes_after_the_retries() -> None:
    world = World()
    breaker = CircuitBreaker("index", failure_threshold=9, fallback=lambda error: f"instead of {type(error).__name__}")
    calls: list[int] = []

    def search() -> str:
        calls.append(1)
        raise ConnectionError

    policy = RetryPolicy("with-fallback", max_retries=2, jitter="none")
    guarded = Retry(policy, budget=None, sleep=world.sleep, breaker=breaker)(search)
    assert guarded() == "instead of ConnectionError"
    assert len(calls) == 3


def test_a_budget_bounds_the_extra_load() -> None:
    world = World()
    budget = RetryBudget(ratio=0.1, burst=10, per_second=0, clock=world.clock)
    made = 0

    def call() -> None:
        nonlocal made
        made += 1
        raise ConnectionError

    again = world.retry(budget=budget, max_retries=3)
    for _ in range(10_000):
        with pytest.raises(ConnectionError):
            again.call(call)
    assert 10_000 * 1.09 < made <= 10_000 * 1.1 + 10


def test_policies_of_one_name_share_a_budget() -> None:
    name = "shared-budget"
    spent = [retry(RetryPolicy(name)).budget.spend() for _ in range(12)]
    assert spent.count(True) == 10


def test_a_stream_is_not_repeated_after_its_first_item() -> None:
    world = World()
    opened = 0

    def stream() -> Iterator[int]:
        nonlocal opened
        opened += 1
        if opened == 1:
            raise ConnectionError("before the first item")
        yield 1
        raise ConnectionError("after the first item")

    items = world.retry()(stream)()
    assert next(items) == 1
    with pytest.raises(ConnectionError, match="after"):
        next(items)
    assert opened == 2


async def test_coroutines_and_async_streams() -> None:
    world = World()
    calls = 0

    @world.retry()
    async def search() -> int:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ConnectionError
        return calls

    @world.retry()
    async def stream() -> AsyncIterator[int]:
        nonlocal calls
        calls += 1
        if calls < 5:
            raise ConnectionError
        yield calls

    assert await search() == 3
    assert [item async for item in stream()] == [5]
    assert world.slept == [1.0, 2.0, 1.0]


async def test_an_attempt_that_hangs_is_cancelled_and_feeds_the_breaker() -> None:
    breaker = CircuitBreaker("index")
    policy = RetryPolicy("hanging", attempt_timeout=0.02, max_retries=1, base_delay=0)
    hang = asyncio.Event().wait
    with pytest.raises(DeadlineExceeded):
        await Retry(policy, breaker=breaker).acall(hang)
    assert breaker.tally.failure == 2
    stacked = CircuitBreaker("stacked")

    @retry(policy)
    @stacked
    async def search() -> None:
        await hang()

    with pytest.raises(DeadlineExceeded):
        await search()
    assert (stacked.tally.failure, stacked.tally.ignored) == (2, 0)


async def test_a_deadline_ends_the_call_with_all_its_attempts() -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await Retry(RetryPolicy("late", deadline=0.05)).acall(asyncio.Event().wait)
    assert time.monotonic() - started < 5


async def test_cancelling_the_task_ends_the_retries() -> None:
    task = asyncio.create_task(Retry(RetryPolicy("cancelled", base_delay=60, jitter="none")).acall(_refuse))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _refuse() -> None:
    raise ConnectionError


def test_attempts_and_waste_are_counted() -> None:
    world, heard = World(), list[Event]()
    policy = RetryPolicy("counted", jitter="none", base_delay=1.0, max_retries=2)
    again = Retry(policy, budget=None, clock=world.clock, sleep=world.sleep, listeners=[heard.append])
    again.call(failing(2))
    with pytest.raises(ConnectionError):
        again.call(failing(9))
    again.call(int)
    totals = tally_of("counted").totals()
    assert totals["rag.retry.attempts", ("counted",)] == 3 + 3 + 1
    assert totals["rag.retry.calls", ("counted", "ok")] == 2
    assert totals["rag.retry.calls", ("counted", "exhausted")] == 1
    assert totals["rag.retry.wasted", ("counted",)] == pytest.approx(6.0)
    waits = [event.delay_s for event in heard if isinstance(event, AttemptFailed)]
    assert waits == [1.0, 2.0, 1.0, 2.0, None]


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ConfigError, match="max_delay"):
        retry(max_delay=-1)
    with pytest.raises(ConfigError, match="max_delays"):
        retry(max_delays=1)


def test_the_decorators_without_a_name_use_the_functions() -> None:
    @retry
    def one() -> int:
        return 1

    @retry(max_retries=1)
    def two() -> int:
        return 2

    assert (one(), two(), one.__name__) == (1, 2, "one")
    assert tally_of(one.__qualname__).totals()
    assert tally_of(two.__qualname__).totals()


def test_retry_on_takes_statuses_and_types() -> None:
    world = World()
    wanted = {"retry_on": (418, KeyError), "max_retries": 1, "base_delay": 0}
    assert world.retry(**wanted).call(failing(1, lambda: Response(418))) == 2
    assert world.retry(**wanted).call(failing(1, KeyError)) == 2
    with pytest.raises(Response):
        world.retry(**wanted).call(failing(1, lambda: Response(503)))


def test_a_predicate_that_raises_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def bad(error: BaseException) -> bool:
        raise RuntimeError("predicate")

    with pytest.raises(ConnectionError):
        World().retry(retry_on=bad).call(failing(1))
    assert "retry_on failed" in caplog.text


def test_clients_that_were_asked_to_wait_do_not_come_back_at_one_instant() -> None:
    slept = set()
    for _ in range(20):
        world = World()
        world.retry(jitter="full", max_retries=1).call(failing(1, lambda: Response(503, Retry_After="7")))
        slept.update(world.slept)
    assert len(slept) == 20
    assert 7 <= min(slept) <= max(slept) <= 8


def test_a_date_without_a_zone_is_utc() -> None:
    when = "Sun Nov  6 08:49:37 1994"
    assert retry_after_of(Response(503, Retry_After=when), lambda: 784111777.0 - 5) == 5.0


def test_retries_within_retries_show_what_they_come_to() -> None:
    world, heard, seen = World(), list[Event](), list[int]()

    def innermost() -> None:
        attempt = current_attempt()
        seen.append(attempt.along_path if attempt is not None else 1)
        raise ConnectionError

    inner = Retry(
        RetryPolicy("inner", max_retries=1, base_delay=0), budget=None, clock=world.clock, listeners=[heard.append]
    )
    with pytest.raises(ConnectionError):
        world.retry(max_retries=2).call(lambda: inner.call(innermost))
    assert seen == [1, 2, 2, 4, 3, 6]
    assert [event.along_path for event in heard if isinstance(event, AttemptFailed)] == [2, 2, 4, 4, 6, 6]


async def test_no_attempt_begins_when_no_time_is_left() -> None:
    world, calls = World(), 0

    def call() -> None:
        nonlocal calls
        calls += 1

    async def acall() -> None:
        call()

    again = world.retry(name="too-late")
    with deadline(1.0, clock=world.clock):
        again.call(call)
        world.now = 1.0
        with pytest.raises(DeadlineExceeded):
            again.call(call)
        with pytest.raises(DeadlineExceeded):
            await again.acall(acall)
    assert calls == 1
    assert tally_of("too-late").ended["deadline"] == 2
