"""What counting a query costs: span to step, completion, KPI engine; and encoding and decoding a span.

python -m benchmarks.engine
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

from benchmarks.workload import STEPS, Requests, attributes
from ragwatch.assembly.complete import complete
from ragwatch.conventions.decode import decode_traces
from ragwatch.conventions.own import to_step
from ragwatch.kpi.engine import Engine
from ragwatch.record import QueryRecord, Step


def best(work: Callable[[], object], times: int, rounds: int = 5) -> float:
    """Microseconds of CPU of one call, the best of several rounds."""
    found = []
    for _ in range(rounds):
        started = process_time()
        for _ in range(times):
            work()
        found.append((process_time() - started) / times)
    return min(found) * 1e6


def main() -> None:
    given = attributes(1)

    def read() -> tuple[Step, list[Step]]:
        root = to_step("query", "query", ("ab" * 16, "r" * 16, None), (0, 10_000), (0, ""), given)
        steps = [
            to_step(name, name, ("ab" * 16, name, "r" * 16), (at * 1000, at * 1000 + 900), (0, ""), given)
            for at, name in enumerate(STEPS)
        ]
        return root, steps

    root, steps = read()

    def finish() -> QueryRecord:
        return complete(root, steps, service="bench", environment="bench")

    record, engine, body = finish(), Engine(), Requests(512).make(1)
    print(f"six spans to steps        {best(read, 5000):6.2f} µs a query")
    print(f"completion                {best(finish, 5000):6.2f} µs a query")
    print(f"KPI engine                {best(lambda: engine.observe(record), 5000):6.2f} µs a query")
    print(f"decode                    {best(lambda: decode_traces(body), 20) / 512:6.2f} µs a span of eight attributes")


if __name__ == "__main__":
    main()
