"""What the SDK costs an app, beside the raw OpenTelemetry SDK, in one run: CPU of the calling thread and in total.

python -m benchmarks.sdk --queries 4000 --rounds 5
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from statistics import median

SYSTEMS = ("raw", "ragwatch", "ragwatch-log")
GOALS = {"ragwatch": (0.25, 0.30), "ragwatch-log": (0.25, 0.40)}


def measure(system: str, queries: int, endpoint: str) -> dict[str, float]:
    """One process of one system."""
    command = [sys.executable, "-m", "benchmarks.sdk_cost", system, str(queries), endpoint]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    sink = subprocess.Popen(
        [sys.executable, "-m", "tests.support.sink", "--count-only", "--no-grpc"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert sink.stdout is not None
        endpoint = f"http://127.0.0.1:{json.loads(sink.stdout.readline())['http_port']}"
        rounds = [{system: measure(system, args.queries, endpoint) for system in SYSTEMS} for _ in range(args.rounds)]
    finally:
        sink.terminate()
        sink.wait()
    print(f"SDK, workload W, {args.queries} queries, {args.rounds} rounds, medians")
    for system in SYSTEMS:
        hot, total, rss = (median(r[system][key] for r in rounds) for key in ("hot_us", "total_us", "rss_mb"))
        line = f"  {system:<13} caller {hot:6.1f} µs/query, process {total:6.1f} µs/query, RSS {rss:4.0f} MB"
        if system in GOALS:
            ratios = [median(r[system][key] / r["raw"][key] for r in rounds) for key in ("hot_us", "total_us")]
            goals = GOALS[system]
            line += "".join(
                f", {name} {ratio:.2f} × raw (goal {goal}): {'yes' if ratio <= goal else 'NO'}"
                for name, ratio, goal in zip(("caller", "process"), ratios, goals, strict=True)
            )
        print(line, flush=True)


if __name__ == "__main__":
    main()
