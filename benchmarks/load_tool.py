"""How late ``ragwatch bench`` itself is: 2,000 questions a second to an app that does nothing, from one process."""

from __future__ import annotations

import itertools
import statistics
from time import perf_counter, sleep

from ragwatch.bench.engine import Engine
from ragwatch.bench.load import Phase
from ragwatch.bench.spread import Spread
from ragwatch.demo.golden import Golden
from ragwatch.target.asking import switch_on
from ragwatch.target.target import function_target

RATE, SECONDS, RUNS = 2000, 5.0, 5
QUESTION = Golden("why?", frozenset())


def function(question: str) -> str:
    return question


def bare_loop() -> float:
    """What a loop that only sleeps is late by, in the 99th percentile: this machine's own part, in ms."""
    late, zero = Spread(), perf_counter()
    for number in range(int(RATE * SECONDS)):
        due = zero + number / RATE
        if (ahead := due - perf_counter()) > 0:
            sleep(ahead)
        late.add(perf_counter() - due)
    return (late.quantile(99) or 0.0) * 1e3


async def coroutine(question: str) -> str:
    return question


def main() -> None:
    switch_on("benchmark")
    print(f"bench: {RATE} questions/s to an app that does nothing, {RUNS} runs of {SECONDS:.0f} s each")
    print(f"  a loop that only sleeps is late by {bare_loop():.2f} ms in the 99th percentile on this machine now")
    for app in (function, coroutine):
        lags, busy, asked, answered = [], [], 0, 0
        for _ in range(RUNS):
            with Engine(function_target(app.__name__, app), itertools.repeat(QUESTION)) as engine:
                engine.run(Phase(RATE, RATE, 1.0, is_counted=False))
                tally = engine.run(Phase(RATE, RATE, SECONDS))
                engine.settle(5)
            lags.append((tally.lag.quantile(99) or 0.0) * 1e3)
            busy.append(engine.cpu_s / engine.wall_s)
            asked, answered = asked + tally.offered, answered + tally.done
        print(
            f"  {app.__name__:<10} {answered} of {asked} answered; schedule error p99: best {min(lags):.2f}, "
            f"median {statistics.median(lags):.2f}, worst {max(lags):.2f} ms; {statistics.median(busy):.0%} busy"
        )


if __name__ == "__main__":
    main()
