"""How many calls run, in which order the others wait, and who is turned away."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

import pytest

from ragwatch import AdaptiveLimit, Bulkhead, ConfigError, LimitExceeded, RateLimit, deadline
from ragwatch.resilience.adaptive import Aimd, Gradient
from ragwatch.resilience.events import Event, FallbackUsed, Rejection
from ragwatch.resilience.limits import priority
from tests.support.wait import wait_until


def test_never_more_than_the_limit_run_at_once() -> None:
    bulkhead = Bulkhead("pool", max_concurrent=3, max_wait=30)
    lock, running, most, done = threading.Lock(), 0, 0, 0

    def work() -> None:
        nonlocal running, most, done
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1
            done += 1

    threads = [threading.Thread(target=lambda: [bulkhead.call(work) for _ in range(10)]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done, bulkhead.running) == (3, 160, 0)


async def test_tasks_and_threads_share_one_bulkhead() -> None:
    bulkhead = Bulkhead("mixed", max_concurrent=1, max_wait=30)
    order: list[str] = []
    release = threading.Event()

    def on_thread() -> None:
        with bulkhead:
            order.append("thread")
            release.wait(30)

    thread = threading.Thread(target=on_thread)
    thread.start()
    await asyncio.to_thread(wait_until, lambda: order == ["thread"], 10)

    async def on_loop() -> None:
        async with bulkhead:
            order.append("task")

    task = asyncio.create_task(on_loop())
    await asyncio.sleep(0)
    release.set()
    await task
    thread.join()
    assert order == ["thread", "task"]
    assert bulkhead.running == 0


async def test_a_cancelled_waiter_leaves_no_hole() -> None:
    bulkhead = Bulkhead("pool", max_concurrent=1, max_wait=30)
    async with bulkhead:
        waiting = [asyncio.create_task(bulkhead.acall(asyncio.sleep, 0, number)) for number in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
    assert await asyncio.gather(*waiting[1:]) == [1, 2]
    assert bulkhead.running == 0


def test_without_room_and_patience_it_says_full() -> None:
    bulkhead = Bulkhead("pool", max_concurrent=1)
    with bulkhead, pytest.raises(LimitExceeded) as turned_away:
        bulkhead.call(int)
    assert (turned_away.value.name, turned_away.value.reason) == ("pool", "full")
    assert bulkhead.tally.totals() == {("rag.limit.rejected", ("pool", "full")): 1}
    assert bulkhead.call(int) == 0


def test_a_full_queue_says_so() -> None:
    bulkhead = Bulkhead("pool", max_concurrent=1, max_wait=30, max_queue=1)
    with bulkhead:
        thread = threading.Thread(target=bulkhead.call, args=(int,))
        thread.start()
        wait_until(lambda: len(bulkhead._waiting) == 1, 10)
        with pytest.raises(LimitExceeded, match="queue_full"):
            bulkhead.call(int)
    thread.join()


def test_nobody_waits_past_the_deadline() -> None:
    bulkhead = Bulkhead("pool", max_concurrent=1, max_wait=600)
    with bulkhead, deadline(0.01), pytest.raises(LimitExceeded):
        bulkhead.call(int)


def test_a_rate_limit_lets_its_rate_through() -> None:
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    limit = RateLimit("model", rate=10, burst=2, max_wait=1.0, clock=lambda: now[0], sleep=sleep)
    for _ in range(22):
        limit.call(int)
    assert now[0] == pytest.approx(2.0)
    assert len(slept) == 20


def test_a_rate_limit_says_when_to_come_again() -> None:
    limit = RateLimit("model", rate=1, burst=1, clock=lambda: 0.0)
    limit.call(int)
    with pytest.raises(LimitExceeded) as turned_away:
        limit.call(int)
    assert turned_away.value.retry_after_s == pytest.approx(1.0)


async def test_a_rate_limit_waits_on_the_event_loop() -> None:
    limit = RateLimit("model", rate=200, burst=1, max_wait=5)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.gather(*(limit.acall(asyncio.sleep, 0) for _ in range(11)))
    assert loop.time() - started > 0.04


def simulate(algorithm: Any, *, capacity: int, callers: int, calls: int = 6000) -> AdaptiveLimit:
    """A server that does ``capacity`` calls at once in 0.1 s each; what is more queues behind them."""
    now = [0.0]
    draw = random.Random(7)
    limit = AdaptiveLimit("server", initial=20, max_limit=200, algorithm=algorithm, clock=lambda: now[0])
    running: list[tuple[float, float]] = []
    for _ in range(calls):
        while len(running) < callers:
            try:
                ticket = limit.acquire()
            except LimitExceeded:
                break
            queued = max(0, len(running) + 1 - capacity) / capacity
            running.append((now[0] + 0.1 * (1 + queued) * draw.uniform(0.9, 1.1), ticket))
        running.sort()
        ended, ticket = running.pop(0)
        now[0] = max(now[0], ended)
        failed = now[0] - ticket > 1.0
        limit.record(ticket, TimeoutError() if failed else None)
    return limit


@pytest.mark.parametrize(("algorithm", "most"), [("gradient", 4.0), (Aimd(timeout=0.3), 4.0)])
def test_an_adaptive_limit_finds_the_capacity(algorithm: Any, most: float) -> None:
    for capacity in (10, 40):
        limit = simulate(algorithm if isinstance(algorithm, str) else Aimd(timeout=0.3), capacity=capacity, callers=150)
        assert capacity * 0.7 <= limit.limit <= capacity * most, f"{limit.limit} for {capacity}"


def test_an_adaptive_limit_falls_when_calls_fail() -> None:
    limit = AdaptiveLimit("server", initial=50)
    for _ in range(20):
        with pytest.raises(ConnectionError):
            limit.call(_refuse)
    assert limit.limit < 10


def test_an_idle_limit_does_not_grow() -> None:
    limit = AdaptiveLimit("server", initial=20)
    for _ in range(1000):
        limit.call(int)
    assert limit.limit == 20
    assert Gradient().update(20.0, 0.1, 1, failed=False) == 20.0


def test_low_priorities_are_shed_first() -> None:
    limit = AdaptiveLimit("server", initial=10)
    tickets = [limit.acquire() for _ in range(8)]
    token = priority.set(-1)
    with pytest.raises(LimitExceeded, match="shed"):
        limit.acquire()
    priority.reset(token)
    tickets.append(limit.acquire())
    for ticket in tickets:
        limit.record(ticket)
    assert limit.running == 0


def test_settings_that_cannot_work_are_refused_by_name() -> None:
    for make, option in (
        (lambda: Bulkhead(max_concurrent=0), "max_concurrent"),
        (lambda: Bulkhead(max_wait=-1), "max_wait"),
        (lambda: RateLimit(rate=0), "rate"),
        (lambda: AdaptiveLimit(initial=500), "initial"),
    ):
        with pytest.raises(ConfigError, match=option):
            make()


def _refuse() -> None:
    raise ConnectionError


def test_a_fallback_answers_for_who_is_turned_away() -> None:
    heard: list[Event] = []
    limits: list[Any] = [
        Bulkhead("full", max_concurrent=1, fallback=_instead, listeners=[heard.append]),
        RateLimit("fast", rate=1, fallback=_instead, clock=lambda: 0.0),
    ]
    for limit in limits:
        ticket = limit.acquire()
        assert limit(str)(7) == limit.call(str, 7) == "instead of 7"
        limit.record(ticket)
        with pytest.raises(ConnectionError):
            Bulkhead("own", fallback=_instead).call(_refuse)
    assert [type(event) for event in heard] == [Rejection, FallbackUsed] * 2


def _instead(error: BaseException, argument: object) -> str:
    assert isinstance(error, LimitExceeded)
    return f"instead of {argument}"


def test_the_apps_own_errors_say_nothing_of_the_load() -> None:
    limit = AdaptiveLimit("server", initial=50)
    for _ in range(20):
        with pytest.raises(ValueError, match="invalid literal"):
            limit.call(int, "x")
    assert limit.limit == 50


def test_ctrl_c_while_waiting_leaves_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    bulkhead = Bulkhead("interrupted", max_concurrent=1, max_wait=10)
    ticket = bulkhead.acquire()

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bulkhead.acquire()
    bulkhead.record(ticket)
    assert bulkhead.running == 0
    bulkhead.record(bulkhead.acquire())


def test_a_loop_that_was_closed_over_a_waiting_call_keeps_no_room() -> None:
    bulkhead = Bulkhead("closed-loop", max_concurrent=1, max_wait=60)
    ticket = bulkhead.acquire()
    loop = asyncio.new_event_loop()
    task = loop.create_task(bulkhead.acall(asyncio.sleep, 0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    bulkhead.record(ticket)
    assert bulkhead.running == 0
    bulkhead.record(bulkhead.acquire())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
