"""A half-open breaker before a crowd: never one probe more than it has permits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ragwatch import CircuitBreaker, CircuitOpen

ROUNDS = 40


def half_open(permits: int) -> CircuitBreaker:
    now = [0.0]
    breaker = CircuitBreaker("crowd", reset_timeout=1.0, half_open_permits=permits, clock=lambda: now[0])
    breaker.open()
    now[0] = 2.0
    return breaker


@pytest.mark.parametrize("permits", [1, 3])
def test_64_threads(permits: int) -> None:
    gate = threading.Barrier(64, timeout=30)
    counts: list[int] = []
    rejected: list[int] = []
    breakers = [half_open(permits) for _ in range(ROUNDS)]
    release = [threading.Event() for _ in range(ROUNDS)]
    lock = threading.Lock()
    waiting = [0] * ROUNDS

    def work() -> None:
        for number, breaker in enumerate(breakers):
            gate.wait()
            try:
                breaker.call(probe, number)
            except ConnectionError:
                pass
            except CircuitOpen:
                with lock:
                    waiting[number] += 1
                    if waiting[number] == 64 - permits:
                        release[number].set()
            gate.wait()

    def probe(number: int) -> None:
        with lock:
            counts.append(number)
        assert release[number].wait(30), "the others were not turned away"
        raise ConnectionError("still down")

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rejected += waiting
    assert [counts.count(number) for number in range(ROUNDS)] == [permits] * ROUNDS
    assert rejected == [64 - permits] * ROUNDS
    assert {breaker.state for breaker in breakers} == {"open"}


async def test_1000_tasks() -> None:
    for permits in (1, 3):
        breaker = half_open(permits)
        probes = 0
        done = asyncio.Event()
        turned_away = 0

        async def search(breaker: CircuitBreaker = breaker, permits: int = permits) -> None:
            nonlocal probes, turned_away

            async def probe() -> None:
                nonlocal probes
                probes += 1
                await done.wait()

            try:
                await breaker.acall(probe)
            except CircuitOpen:
                turned_away += 1
                if turned_away == 1000 - permits:
                    done.set()

        await asyncio.gather(*(search() for _ in range(1000)))
        assert (probes, turned_away, breaker.state) == (permits, 1000 - permits, "closed")


async def test_cancelled_probes_give_their_permits_back() -> None:
    breaker = half_open(2)
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    for _ in range(20):  # more than there are permits
        started.clear()
        task = asyncio.create_task(breaker.acall(hang))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert breaker.state == "half_open"
    await breaker.acall(asyncio.sleep, 0)
    await breaker.acall(asyncio.sleep, 0)
    assert breaker.state == "closed"
