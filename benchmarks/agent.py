"""The agent under a sustained load: does it keep up, what memory does it take, is every acked span in the KPIs?

python -m benchmarks.agent --seconds 60 --spans-per-request 512 --rate 60000
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

KINDS = {(): "", ("--counted",): "marked ", ("--captured",): "captured "}
"""What the SDK sends is marked: its process has counted it. What it sends without metrics is not, the agent counts."""
CAPTURED_RATE = 10_000.0
"""Spans of other instrumentors a second: theirs take several times the work of ragwatch's own."""


def run(spans: int, rate: float, seconds: float, *load_options: str) -> dict[str, float]:
    """One load on a fresh agent."""
    with tempfile.TemporaryDirectory(prefix="ragwatch-bench-") as folder:
        fsync_ms = fsync_time(Path(folder))
        command = [sys.executable, "-m", "ragwatch.cli", "agent", "--directory", folder]
        command += ["--grpc-port", "0", "--http-port", "0", "--web-port", "0"]
        agent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            state = wait_for(Path(folder))
            load = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.load", "--port", str(state["grpc_port"]), "--spans", str(spans),
                 "--rate", str(rate), "--seconds", str(seconds), *load_options],
                stdout=subprocess.PIPE, text=True)  # fmt: skip
            rss = 0.0
            while load.poll() is None:
                rss = max(rss, sum(rss_mb(pid) for pid in state["pids"].values()))
                sleep(0.5)
            result: dict[str, float] = json.loads(load.communicate()[0])
            ended = monotonic()
            url = f"http://127.0.0.1:{state['web_port']}/metrics"
            received, first_lag = (
                metric(url, "ragwatch_agent_received_total"),
                metric(url, "ragwatch_agent_inbox_oldest_seconds"),
            )
            while received < result["spans"] and monotonic() - ended < 120:
                sleep(0.05)
                received = metric(url, "ragwatch_agent_received_total")
            lag_s = monotonic() - ended
            sleep(1.5)
            queries = metric(url, "rag_query_duration_seconds_count")
            result |= {"lag_s": lag_s, "oldest_s": first_lag, "rss_mb": rss, "fsync_ms": fsync_ms,
                       "received": received, "counted_queries": queries}  # fmt: skip
            return result
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(10)


def wait_for(folder: Path) -> dict[str, dict[str, int]]:
    """What the agent says of itself once all of it runs."""
    until = monotonic() + 30
    while monotonic() < until:
        path = folder / "agent.json"
        if path.exists():
            state: dict[str, dict[str, int]] = json.loads(path.read_text())
            try:
                with urlopen(f"http://127.0.0.1:{state['web_port']}/readyz", timeout=2) as answer:
                    if answer.status == 200 and len(state["pids"]) >= 3:
                        return state
            except OSError:
                pass
        sleep(0.1)
    raise SystemExit("the agent did not come up")


def metric(url: str, name: str) -> float:
    """The sum of a metric's series."""
    with urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def fsync_time(folder: Path) -> float:
    """Milliseconds of a 4 KiB write and fsync on this disk, the median of 50."""
    times = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(50):
            started = monotonic()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(monotonic() - started)
    return sorted(times)[25] * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--spans-per-request", type=int, default=0, help="default: 512 and then 30")
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--captured", action="store_true", help="only other instrumentors' spans")
    parser.add_argument("--counted", action="store_true", help="only spans that their process has counted already")
    args = parser.parse_args()
    plans: list[tuple[int, float, tuple[str, ...]]] = [
        (512, 60_000.0, ("--counted",)), (512, 60_000.0, ()), (30, 15_000.0, ()),
        (30, CAPTURED_RATE, ("--captured",)),
    ]  # fmt: skip
    if args.spans_per_request:
        options = ("--captured",) if args.captured else ("--counted",) if args.counted else ()
        plans = [(args.spans_per_request, args.rate or 60_000.0, options)]
    for spans, rate, options in plans:
        found = run(spans, rate, args.seconds, *options)
        counted = options or found["counted_queries"] >= found["queries"]
        exact = found["received"] == found["spans"] and counted
        print(
            f"agent, {spans} {KINDS[options[:1]]}spans a request: "
            f"{found['spans_per_s']:,.0f} spans/s for {found['seconds']:.0f} s "
            f"(asked {rate:,.0f}), lag at the end {found['lag_s']:.2f} s, ack p50 {found['p50_ms']:.1f} ms p99 "
            f"{found['p99_ms']:.1f} ms, RSS {found['rss_mb']:.0f} MB, fsync {found['fsync_ms']:.2f} ms, "
            f"acked {found['spans']:,.0f} = in the KPIs {found['received']:,.0f}: {'yes' if exact else 'NO'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
