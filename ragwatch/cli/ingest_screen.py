"""What ``ragwatch ingest`` shows: the progress bar on standard error, the summary and the ledger's status."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragwatch.processing.processor import DocumentProcessor
    from ragwatch.processing.result import ProcessingResult

SHOWN = 5
_STATES = ("ok", "failed", "deferred", "dead", "leased")


@contextmanager
def progress(
    processor: DocumentProcessor, source: Callable[[], Iterable[str]] | None, *, quiet: bool
) -> Iterator[None]:
    """A bar with count, rate, time left and the breaker's state, where standard error is a terminal.

    The documents are counted on a thread beside, by walking through the source a second time.
    """
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[trouble]}"),
        console=Console(stderr=True, soft_wrap=True),
    )
    task = bar.add_task(processor.pipeline, total=None, rate="", trouble="")

    def show(result: ProcessingResult) -> None:
        rate = result.total / result.processing_time if result.processing_time > 0 else 0.0
        bar.update(task, completed=result.total, rate=f"{rate:,.0f}/s", trouble=trouble(processor, result))

    stop = threading.Event()
    if source is not None and sys.stdin.isatty():
        threading.Thread(target=_count, args=(source, stop, lambda n: bar.update(task, total=n)), daemon=True).start()
    processor.progress = show
    with bar:
        try:
            yield
        finally:
            stop.set()
            processor.progress = None


def _count(source: Callable[[], Iterable[str]], stop: threading.Event, done: Callable[[int], Any]) -> None:
    number = 0
    for number, _ in enumerate(source(), 1):  # noqa: B007
        if stop.is_set():
            return
    done(number)


def trouble(processor: DocumentProcessor, result: ProcessingResult) -> str:
    """What is not well, in a few words; empty when all is."""
    parts = [f"{result.failure_count} failed"] if result.failure_count else []
    if result.deferred_count:
        parts.append(f"{result.deferred_count} deferred")
    if processor.breaker is not None and processor.breaker.state != "closed":
        parts.append(f"breaker {processor.breaker.state}")
    return ", ".join(parts)


def summary(processor: DocumentProcessor, result: ProcessingResult, *, stopped: bool, as_json: bool) -> str:
    """The sums of the run; as JSON one object."""
    state = processor.breaker.state if processor.breaker is not None else None
    if as_json:
        found = {
            "pipeline": processor.pipeline,
            "documents": result.total,
            "ok": result.success_count,
            "failed": result.failure_count - result.dead_count,
            "dead": result.dead_count,
            "deferred": result.deferred_count,
            "unchanged": result.skipped_count,
            "seconds": round(result.processing_time, 3),
            "breaker": state,
            "stopped": stopped,
            "errors": dict(list(result.error_details.items())[:100]),
        }
        return json.dumps(found, ensure_ascii=False)
    rate = result.total / result.processing_time if result.processing_time > 0 else 0.0
    sums = (
        f"{result.success_count:,} ok, {result.skipped_count:,} unchanged, "
        f"{result.failure_count - result.dead_count:,} failed, {result.dead_count:,} dead, "
        f"{result.deferred_count:,} deferred; breaker {state}"
    )
    took = f"{result.total:,} documents in {result.processing_time:.1f} s ({rate:,.0f}/s)"
    lines = [f"{processor.pipeline}: {took}: {sums}"]
    named = list(result.error_details.items())
    lines += [f"  {name}: {reason}" for name, reason in named[:SHOWN]]
    if len(named) > SHOWN:
        lines.append(f"  and {len(named) - SHOWN:,} more: ragwatch ingest status")
    if stopped:
        lines.append("stopped; the same command goes on from here")
    elif result.dead_count:
        lines.append("ragwatch ingest retry, with the same options, gives the dead another chance")
    return "\n".join(lines)


def status(ledger: Path, *, as_json: bool) -> str:
    """What the ledger knows, by pipeline; read without a lock, also while a run goes on."""
    uri = f"file:{ledger.resolve()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        rows = db.execute("SELECT pipeline, state, count(*) FROM document GROUP BY 1, 2").fetchall()
        worst = db.execute(
            "SELECT pipeline, error_type, count(*) AS n, min(source) FROM document WHERE error_type IS NOT NULL "
            "AND state != 'ok' GROUP BY 1, 2 ORDER BY n DESC LIMIT 20"
        ).fetchall()
    pipelines: dict[str, dict[str, int]] = {}
    for pipeline, state, count in rows:
        pipelines.setdefault(pipeline, dict.fromkeys(_STATES, 0))[state] = count
    if as_json:
        errors = [{"pipeline": p, "error_type": kind, "documents": n, "example": name} for p, kind, n, name in worst]
        return json.dumps({"pipelines": pipelines, "errors": errors}, ensure_ascii=False)
    lines = [
        f"{pipeline}: " + ", ".join(f"{count:,} {state}" for state, count in states.items() if count)
        for pipeline, states in pipelines.items()
    ]
    lines += [f"  {kind}: {n:,} documents of {pipeline}, such as {name}" for pipeline, kind, n, name in worst]
    return "\n".join(lines) or "nothing yet"
