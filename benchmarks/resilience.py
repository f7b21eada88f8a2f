"""What breaker and retry cost beside stamina, tenacity and pybreaker; amplification; documents a second.

python -m benchmarks.resilience [--documents 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import resource
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pybreaker
import stamina
import tenacity

from ragwatch import CircuitBreaker, DocumentProcessor, RetryBudget, RetryPolicy
from ragwatch.resilience.retry import Retry, retry

CALLS, ROUNDS = 2_000, 60
Call = Callable[[], object]


def bare() -> int:
    return 1


async def later() -> int:
    return 1


def cost_us(call: Any) -> float:
    """Microseconds of one call, the best of several rounds."""
    work = asyncio.run if inspect.iscoroutinefunction(call) else None
    return min(work(_awaited(call)) if work else _called(call) for _ in range(ROUNDS)) / CALLS * 1e6


def _called(call: Call) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - started


async def _awaited(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        await call()
    return time.perf_counter() - started


def row(what: str, sync: Any, later: Any = None, *, limits: tuple[float, float] | None = None) -> None:
    """One line: µs sync, µs async, and what is promised."""
    found = [cost_us(call) for call in (sync, later) if call is not None]
    shown = "".join(f"{value:9.2f}" for value in found) + " " * 9 * (2 - len(found))
    said = ""
    if limits is not None:
        well = all(value <= limit for value, limit in zip(found, limits, strict=False))
        said = (
            "   promised " + ", ".join(f"≤ {limit:g}" for limit in limits[: len(found)]) + ("" if well else "  MISSED")
        )
    print(f"{what:46}{shown}{said}")


def overhead() -> None:
    """The good path."""

    def breaker() -> CircuitBreaker:
        return CircuitBreaker(
            "bench", failure_rate=0.5, slow_call_rate=0.8, slow_call_duration=5.0, window=100, half_open_permits=3
        )

    stained = breaker()
    stained.failed(stained.acquire())
    both = Retry(RetryPolicy("bench-both"), breaker=breaker())
    print(f"{'µs a call':46}{'sync':>9}{'async':>9}")
    row("bare function", bare, later)
    row("breaker: window, slow calls, permits", breaker()(bare), breaker()(later), limits=(1.5, 1.8))
    row("  with a failure in its window", stained(bare), stained(later))
    row("  over a window of time", CircuitBreaker("bench-time", failure_rate=0.5, window_seconds=60)(bare))
    row("pybreaker", pybreaker.CircuitBreaker()(bare))
    row("retry", retry(bare), retry(later), limits=(3.0, 3.0))
    row("  with a deadline", retry(name="bench-deadline", deadline=10.0)(bare))
    row("stamina", stamina.retry(on=ConnectionError)(bare), stamina.retry(on=ConnectionError)(later))
    row("tenacity", tenacity.retry(bare), tenacity.retry(later))
    row("retry and breaker", both(bare), both(later), limits=(5.0, 5.0))


def crowd() -> None:
    """Eight threads of 50 ms through one closed breaker."""

    def seconds(call: Callable[..., Any]) -> float:
        gate = threading.Barrier(9)

        def one() -> None:
            gate.wait()
            call(time.sleep, 0.05)

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        gate.wait()
        started = time.perf_counter()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started

    ours = min(seconds(CircuitBreaker("bench-crowd").call) for _ in range(3))
    theirs = seconds(pybreaker.CircuitBreaker().call)
    said = "" if ours < 0.08 else "  MISSED"
    beside = f"pybreaker {theirs * 1e3:.0f}"
    print(f"8 threads × 50 ms through a closed breaker: {ours * 1e3:.0f} ms   promised < 80{said}; {beside}")


def amplification(calls: int = 100_000) -> None:
    """Attempts for each call when everything fails; no time goes by, so the floor of a token a second earns nothing."""
    budget = RetryBudget(clock=lambda: 0.0)
    made = 0

    def down() -> None:
        nonlocal made
        made += 1
        raise ConnectionError

    always = Retry(RetryPolicy("bench-down"), budget=budget, sleep=lambda _: None)(down)
    for _ in range(calls):
        try:
            always()
        except ConnectionError:
            continue
    allowed = 1.1 * calls + budget.burst
    said = "" if made <= allowed else "  MISSED"
    print(f"amplification at 100 % failure over {calls:,} calls: {made / calls:.4f}   promised ≤ 1.1 + burst{said}")


def documents(count: int) -> None:
    """No-op documents through threads, the ledger on; the process's memory after the first 10,000 and at the end."""

    def feed() -> Iterator[str]:
        for number in range(count):
            if number == min(10_000, count // 2):
                marks.append(_rss_mb())
            yield f"document-{number}"

    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        processor = DocumentProcessor(bare_document, pipeline="bench", ledger=Path(folder) / "ledger.db", key=str)
        started = time.perf_counter()
        result = processor.process(feed())
        rate = result.success_count / (time.perf_counter() - started)
    said = "" if rate >= 20_000 else "  MISSED"
    print(
        f"{result.success_count:,} no-op documents, threads, ledger: {rate:,.0f} a second   promised ≥ 20,000{said};"
        f" memory {marks[0]:.0f} MB early, {_rss_mb():.0f} MB at the end (highest {_peak_mb():.0f})"
    )


def bare_document(_document: object) -> None:
    return None


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000, help="how many documents to process; 0 leaves it out")
    args = parser.parse_args()
    overhead()
    crowd()
    amplification()
    if args.documents:
        documents(args.documents)


if __name__ == "__main__":
    main()
