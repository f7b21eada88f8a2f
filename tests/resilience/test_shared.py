"""Breakers of several processes in one state, through a real Redis that is also killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from ragwatch import CircuitBreaker, CircuitOpen, ConfigError
from ragwatch.adapters.redis_state import RedisState
from ragwatch.resilience.events import Event, Sharing, Transition
from ragwatch.resilience.tallies import TALLIES
from tests.resilience.shared_worker import Worker
from tests.support.redis import RedisServer, redis_running
from tests.support.wait import wait_until

Make = Callable[..., CircuitBreaker]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    redis.Redis.from_url(shared_server.url).flushall()
    return shared_server


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_running(tmp_path) as server:
        yield server


@pytest.fixture
def make() -> Iterator[Make]:
    """Breakers that each have a store of their own, as if in a process of their own."""
    stores: list[RedisState] = []

    def make(server: RedisServer, *, refresh_s: float = 0.02, timeout_s: float = 2.0, **options: Any) -> CircuitBreaker:
        stores.append(RedisState(server.url, refresh_s=refresh_s, timeout_s=timeout_s))
        breaker = CircuitBreaker("db", shared=stores[-1], **{"reset_timeout": 60.0, **options})
        wait_until(lambda: breaker.shared, what="the breaker joins")
        return breaker

    yield make
    for store in stores:
        store.close()


def down() -> None:
    raise ConnectionError


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            breaker.call(down)


def in_state(state: str, *breakers: CircuitBreaker) -> None:
    wait_until(lambda: {b.state for b in breakers} == {state}, what=f"all are {state}")


def test_4_processes_never_admit_more_probes_than_there_are_permits(server: RedisServer) -> None:
    workers = [Worker(server.url, reset_timeout=0.05, half_open_permits=3, success_threshold=3) for _ in range(4)]
    try:
        wait_until(lambda: all(worker.ask("state")[1] for worker in workers), 30, what="all share")
        workers[0].ask("open")
        wait_until(lambda: {worker.ask("state")[0] for worker in workers} == {"open"}, what="all open")
        for worker in workers:
            worker.tell("hammer", 1.5)
        answers = [worker.answer() for worker in workers]
    finally:
        for worker in workers:
            worker.end()
    granted = Counter(epoch for epochs, _ in answers for epoch in epochs)
    assert max(granted.values()) <= 3
    assert len(granted) > 5, "there were several half-open epochs"
    shared = [epoch for epoch in granted if sum(epoch in epochs for epochs, _ in answers) > 1]
    assert shared, "processes met in one epoch"
    for epochs, probes in answers:
        assert probes == len(epochs), "every probe had its permit from Redis"


def test_one_opens_all_and_one_closes_all(server: RedisServer, make: Make) -> None:
    one, *others = [make(server, reset_timeout=0.2) for _ in range(3)]
    fail(one, 5)
    assert one.state == "open", "decided locally, at once"
    in_state("open", *others)
    with pytest.raises(CircuitOpen) as turned_away:
        others[0].call(down)
    assert 0 <= (turned_away.value.retry_after_s or 0) <= 0.2
    wait_until(lambda: others[1].try_acquire() is not None, what="a probe is let through")
    in_state("half_open", one, *others)
    assert [b.try_acquire() for b in (one, *others)] == [None] * 3
    others[1].succeeded((others[1].epoch, others[1].clock()))
    in_state("closed", one, *others)


def test_by_hand_holds_for_all(server: RedisServer, make: Make) -> None:
    one, other = make(server), make(server)
    one.force_open()
    in_state("forced_open", other)
    other.reset()
    in_state("closed", one)


def test_by_hand_wins_over_what_it_did_not_know(server: RedisServer, make: Make) -> None:
    one, unaware = make(server), make(server, refresh_s=60.0)
    one.open()
    client = redis.Redis.from_url(server.url)
    wait_until(lambda: client.hget("ragwatch:breaker:{db}", "state") == b"open")
    unaware.disable()
    in_state("disabled", one, unaware)


def test_who_comes_second_takes_over_what_the_first_one_wrote(server: RedisServer, make: Make) -> None:
    one, unaware = make(server), make(server, refresh_s=60.0)
    one.force_open()
    client = redis.Redis.from_url(server.url)
    wait_until(lambda: client.hget("ragwatch:breaker:{db}", "state") == b"forced_open")
    fail(unaware, 5)
    in_state("forced_open", one, unaware)


def test_the_backoff_goes_on_in_another_process(server: RedisServer, make: Make) -> None:
    options = {"reset_timeout": 0.05, "reset_backoff": 1000.0, "max_reset_timeout": 30.0}
    one, other = make(server, **options), make(server, **options)
    one.open()
    in_state("open", other)
    other.failed(wait_until(other.try_acquire, what="the probe"))
    in_state("open", one, other)
    assert 20 < (other.retry_after() or 0) <= 30


def test_a_forked_child_goes_on_sharing(server: RedisServer, make: Make) -> None:
    breaker = make(server)

    def open_it() -> None:
        breaker.open("in the child")
        wait_until(lambda: not breaker._untold, what="told")

    with breaker._lock:  # as if another thread held it
        child = multiprocessing.get_context("fork").Process(target=open_it)
        child.start()
    child.join(20)
    assert child.exitcode == 0
    in_state("open", breaker)


def test_probes_of_two_processes_close_it_together(server: RedisServer, make: Make) -> None:
    one, other = (make(server, reset_timeout=0.05, half_open_permits=2) for _ in range(2))
    one.open()
    in_state("open", other)
    first = wait_until(one.try_acquire, what="the first probe")
    second = wait_until(other.try_acquire, what="the second probe")
    one.succeeded(first)
    other.succeeded(second)
    in_state("closed", one, other)


def test_a_cancelled_probe_gives_its_permit_back_to_all(server: RedisServer, make: Make) -> None:
    one, other = make(server, reset_timeout=0.05), make(server, reset_timeout=0.05)
    one.open()
    in_state("open", other)
    ticket = wait_until(one.try_acquire, what="the probe")
    in_state("half_open", other)
    one.release(ticket)
    other.succeeded(wait_until(other.try_acquire, what="the permit"))
    in_state("closed", one, other)


def test_the_probes_of_a_process_that_died_do_not_wedge_the_others(server: RedisServer, make: Make) -> None:
    one, other = (make(server, reset_timeout=0.05, half_open_timeout=0.2) for _ in range(2))
    one.open()
    wait_until(one.try_acquire, what="the probe that never comes back")
    heard = [other.try_acquire()]
    wait_until(lambda: heard.append(other.try_acquire()) or heard[-1], what="another probe")
    other.succeeded(heard[-1] or (0, 0.0))
    in_state("closed", one, other)


def test_who_comes_later_finds_it_open_with_its_backoff(server: RedisServer, make: Make) -> None:
    one = make(server, reset_timeout=0.05, reset_backoff=1000.0, max_reset_timeout=30.0)
    one.open()
    one.failed(wait_until(one.try_acquire, what="the probe"))
    late = make(server, reset_timeout=0.05)
    in_state("open", late)
    assert 20 < (late.retry_after() or 0) <= 30


def test_the_clocks_of_the_processes_do_not_matter(server: RedisServer, make: Make) -> None:
    one = make(server, reset_timeout=0.3, clock=lambda: time.monotonic() + 1e6)
    other = make(server, reset_timeout=0.3, clock=lambda: time.monotonic() - 1e6)
    fail(one, 5)
    in_state("open", other)
    for breaker in (one, other):
        assert 0 < (breaker.retry_after() or 0) <= 0.3
    other.succeeded(wait_until(other.try_acquire, what="a probe"))
    in_state("closed", one, other)


def test_killed_in_the_middle_and_back(mortal: RedisServer, make: Make) -> None:
    heard: list[Event] = []
    one, other = make(mortal, listeners=[heard.append]), make(mortal)
    shared = ("rag.breaker.shared", ("db",))
    assert TALLIES.levels()[shared] == 2
    mortal.kill()
    wait_until(lambda: not one.shared and not other.shared, what="both notice")
    assert TALLIES.levels()[shared] == 0
    assert other.call(str) == "", "calls go on"
    fail(one, 5)
    assert (one.state, other.state) == ("open", "closed"), "each decides alone"
    mortal.start()
    wait_until(lambda: one.shared and other.shared, what="both join again")
    in_state("open", one, other)
    assert TALLIES.levels()[shared] == 2
    assert [event.joined for event in heard if isinstance(event, Sharing)] == [True, False, True]
    assert [(e.before, e.after) for e in heard if isinstance(e, Transition)] == [("closed", "open")]


def test_killed_while_half_open(mortal: RedisServer, make: Make) -> None:
    one, other = make(mortal, reset_timeout=0.05), make(mortal, reset_timeout=0.05)
    one.open()
    in_state("open", other)
    mortal.kill()
    wait_until(lambda: not one.shared and not other.shared, what="both notice")
    probe = wait_until(one.try_acquire, what="a probe without Redis")
    assert one.try_acquire() is None, "its own permits hold"
    mortal.start()
    wait_until(lambda: one.shared and other.shared, what="both join again")
    wait_until(lambda: one.known == other.known, what="they agree")
    one.succeeded(probe)
    assert one.tally.late == 1, "it was no probe of the epoch that all share"
    assert one.state == other.state != "closed"
    other.succeeded(wait_until(other.try_acquire, what="a probe"))
    in_state("closed", one, other)


def test_a_redis_that_came_back_empty_is_told(mortal: RedisServer, make: Make) -> None:
    one = make(mortal)
    one.open()
    client = redis.Redis.from_url(mortal.url)
    wait_until(lambda: client.exists("ragwatch:breaker:{db}"), what="told")
    mortal.kill()
    wait_until(lambda: not one.shared, what="it notices")
    mortal.start()
    wait_until(lambda: one.shared, what="it joins again")
    in_state("open", make(mortal))


def test_a_store_that_kept_its_data_is_believed(tmp_path: Path, make: Make) -> None:
    with redis_running(tmp_path, persistent=True) as server:
        one, other = make(server), make(server)
        server.kill()
        wait_until(lambda: not one.shared and not other.shared, what="both notice")
        one.force_open()
        server.start()
        in_state("forced_open", one, other)
        server.kill()
        server.start()
        wait_until(lambda: one.shared and other.shared, what="both join again")
        assert {one.state, other.state} == {"forced_open"}


def test_no_redis_at_all(server: RedisServer) -> None:
    store = RedisState("redis://127.0.0.1:1/0", refresh_s=0.02)
    breaker = CircuitBreaker("alone", shared=store)
    wait_until(lambda: TALLIES.levels()["rag.breaker.shared", ("alone",)] == 0)
    fail(breaker, 5)
    assert breaker.state == "open"
    store.close()


def test_a_redis_that_is_away_is_not_pestered(server: RedisServer) -> None:
    tried: list[int] = []

    class Counted(RedisState):
        def refresh(self) -> None:
            tried.append(1)
            super().refresh()

    store = Counted("redis://127.0.0.1:1/0", refresh_s=60.0)
    breaker = CircuitBreaker("alone", shared=store)
    wait_until(lambda: breaker._alone)
    before = len(tried)
    for _ in range(50):
        fail(breaker, 5)
        breaker.reset()
    store.close()
    assert len(tried) == before


def test_a_closed_breaker_never_asks_redis(server: RedisServer, make: Make) -> None:
    breaker = make(server, refresh_s=60.0)
    client = redis.Redis.from_url(server.url)
    before = client.info("stats")["total_commands_processed"]
    for _ in range(1000):
        breaker.call(int)
    fail(breaker, 4)
    assert client.info("stats")["total_commands_processed"] - before == 1, "only the question how many there were"


async def test_the_event_loop_does_not_wait_for_redis(server: RedisServer, make: Make) -> None:
    breaker = await asyncio.to_thread(make, server, refresh_s=60.0, timeout_s=20.0, reset_timeout=0.05)
    breaker.open()
    client = redis.asyncio.Redis.from_url(server.url)
    key = "ragwatch:breaker:{db}"
    reader = redis.Redis.from_url(server.url)
    await asyncio.to_thread(wait_until, lambda: reader.hget(key, "state") == b"open")
    await asyncio.sleep(0.06)
    await client.execute_command("CLIENT", "PAUSE", "20000", "WRITE")
    cancelled, probe = (asyncio.create_task(breaker.acall(asyncio.sleep, 0, "back")) for _ in range(2))
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert not cancelled.done(), "the probe waits for Redis, and this loop went on"
    with pytest.raises(CircuitOpen):
        await asyncio.wait_for(probe, 5)  # another one asks already: nothing to wait for
    cancelled.cancel()
    await client.execute_command("CLIENT", "UNPAUSE")
    ticket = await asyncio.to_thread(wait_until, breaker.try_acquire)
    breaker.release(ticket)
    await asyncio.to_thread(wait_until, lambda: reader.get(f"{key}:permits:{breaker.known}") == b"0")
    assert await breaker.acall(asyncio.sleep, 0, "back") == "back"
    assert breaker.state == "closed"
    await client.aclose()


def test_a_client_that_cannot_serve_is_refused() -> None:
    with pytest.raises(ConfigError, match="asyncio client"):
        RedisState(redis.asyncio.Redis())
    with pytest.raises(ConfigError, match="url"):
        RedisState("cache:6379")


def test_a_client_of_the_apps_own(server: RedisServer) -> None:
    store = RedisState(redis.Redis.from_url(server.url, decode_responses=True), prefix="app", refresh_s=0.02)
    breaker = CircuitBreaker("own", shared=store)
    wait_until(lambda: breaker.shared)
    breaker.open()
    client = redis.Redis.from_url(server.url)
    wait_until(lambda: client.hget("app:{own}", "state") == b"open")
    store.close()
