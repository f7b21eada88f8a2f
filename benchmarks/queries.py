"""``ragwatch queries --since 1h`` on 1,000,000 stored queries, for each filter; and what storing a query costs.

python -m benchmarks.queries [--stored 1000000] [--keep DIR]
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time, time

from ragwatch.agent import judgement_rows, query_rows, store
from ragwatch.conventions.evaluation import Judgement
from ragwatch.record import Document, Label, QueryRecord, Step

KINDS = ("cache", "embed", "retrieve", "rerank", "generate")
DOCUMENTS = 8000
BATCH = 2000
TIMES = 7
HOURS = 2.0
"""The queries lie evenly in the last two hours: half of them in the hour that is asked for."""
FILTERS: tuple[tuple[str, ...], ...] = (
    (),
    ("--errors",),
    ("--bad",),
    ("--slow",),
    ("--slower-than", "20s"),
    ("--empty",),
    ("--degraded",),
    ("--step", "retrieve"),
    ("--error-class", "auth"),
    ("--document", "doc-17"),
    ("--service", "rare-bot"),
    ("--errors", "--step", "generate", "--service", "bot-1", "--slower-than", "2s"),
)


def make(chance: random.Random, end_ns: int) -> QueryRecord:
    """A query of five steps and five documents; 3 % fail, 1 % finds nothing, 1 % is labelled and missed."""
    seconds = chance.lognormvariate(0.2, 0.8)
    start = end_ns - int(seconds * 1e9)
    trace_id = f"{chance.getrandbits(128):032x}"
    fate = chance.random()
    outcome = "error" if fate < 0.03 else "degraded" if fate < 0.05 else "ok"
    empty = 0.05 < fate < 0.06
    found = tuple(
        Document(f"doc-{int(chance.random() ** 2 * DOCUMENTS)}", rank, 0.9 - rank / 10) for rank in range(1, 6)
    )
    steps = tuple(
        Step(
            kind, kind, f"{place:016x}", "r" * 16, start + place * 1_000_000, start + place * 1_000_000 + 900_000,
            trace_id, model="gpt-4o-mini" if kind == "generate" else None,
            input_tokens=812 if kind == "generate" else None, output_tokens=96 if kind == "generate" else None,
            documents=None if empty else found if kind in {"retrieve", "rerank"} else None,
            document_count=(0 if empty else 5) if kind in {"retrieve", "rerank"} else None,
        )
        for place, kind in enumerate(KINDS)
    )  # fmt: skip
    cause = chance.choice(("retrieve", "generate")) if outcome == "error" else None
    kind = "auth" if fate < 0.001 else "timeout"
    label = Label("label", 5, False, 0.0, 0.0) if 0.06 < fate < 0.07 else None
    service = "rare-bot" if fate > 0.9999 else f"bot-{int(fate * 1e6) % 4}"
    return QueryRecord(
        trace_id, "r" * 16, service, "prod", start, end_ns, outcome=outcome, cause_step=cause,
        error_type="ReadTimeout" if cause else None, error_class=kind if cause else None, steps=steps, label=label,
        critical_path=(("retrieve", seconds * chance.random()), ("generate", seconds / 2)),
    )  # fmt: skip


def fill(directory: Path, stored: int) -> tuple[float, float]:
    """Store queries as the pipeline does; microseconds of CPU a query, of the first and of the last tenth."""
    chance = random.Random(7)
    connection = store.open_store(directory / "pipeline.db")
    now_ns = int(time() * 1e9)
    spent: list[float] = []
    for at in range(0, stored, BATCH):
        records = [make(chance, now_ns - int((stored - at - n) / stored * HOURS * 3.6e12)) for n in range(BATCH)]
        started = process_time()
        connection.execute("BEGIN IMMEDIATE")
        query_rows.add_queries(connection, records, stored)
        connection.execute("COMMIT")
        spent.append((process_time() - started) / BATCH * 1e6)
        connection.execute("BEGIN IMMEDIATE")
        judgement_rows.add_judgements(connection, [judgement(record, n) for n, record in enumerate(records[::100])])
        connection.execute("COMMIT")
    connection.close()
    tenth = max(1, len(spent) // 10)
    return sum(spent[:tenth]) / tenth, sum(spent[-tenth:]) / tenth


def judgement(record: QueryRecord, number: int) -> Judgement:
    """Every hundredth query is judged, every fourth of those bad."""
    verdict = "good" if number % 4 else "bad"
    key = bytes.fromhex(record.trace_id)
    return Judgement(key, record.service, "prod", "answer", "feedback", verdict, record.trace_id, "answer", "", None)


def command_ms(directory: Path, options: tuple[str, ...]) -> tuple[float, float, int]:
    """(milliseconds of the whole command, the median; of its CPU; lines that it printed)."""
    command = [sys.executable, "-m", "ragwatch.cli", "queries", "--since", "1h", "--data-dir", str(directory), *options]
    times, lines = [], 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(TIMES):
        started = perf_counter()
        done = subprocess.run([*command, "--json"], capture_output=True, check=False, env=os.environ)
        times.append((perf_counter() - started) * 1e3)
        if done.returncode:
            raise SystemExit(done.stderr.decode())
        lines = done.stdout.count(b"\n")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / TIMES * 1e3
    return sorted(times)[TIMES // 2], spent, lines


def measure(directory: Path, stored: int) -> None:
    if not (directory / "pipeline.db").exists():
        first, last = fill(directory, stored)
        print(f"storing a query: {first:.0f} µs of CPU with few of them stored, {last:.0f} µs with {stored:,}")
    size = (directory / "pipeline.db").stat().st_size
    print(f"pipeline.db with {stored:,} queries: {size / 1e9:.2f} GB, {size / stored:,.0f} bytes a query")
    for options in FILTERS:
        took, spent, lines = command_ms(directory, options)
        figures = f"{took:5.0f} ms, {spent:4.0f} ms of CPU, {lines - 1} shown"
        print(f"queries --since 1h {' '.join(options):<66} {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="a directory in which the queries stay for the next run")
    args = parser.parse_args()
    if args.keep is not None:
        args.keep.mkdir(parents=True, exist_ok=True)
        measure(args.keep, args.stored)
        return
    with tempfile.TemporaryDirectory(prefix="ragwatch-bench-") as folder:
        measure(Path(folder), args.stored)


if __name__ == "__main__":
    main()
