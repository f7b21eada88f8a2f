"""What a bench found, as one JSON value: overall, by phase, by run, the bench's own part, and the knee."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragwatch import __version__
from ragwatch.bench.load import Phase
from ragwatch.bench.tally import Tally
from ragwatch.errors import RagwatchError

FORMAT = "ragwatch-bench-1"
LAG_S = 0.005
"""Questions that the bench itself hands over later than this, in the 99th percentile, are said to be late."""
LAG_SHARE = 0.1  # of the median latency
BUSY = 0.9
LATE = 0.98


def overall(tallies: Sequence[Tally]) -> Tally:
    """Several parts as one."""
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


def phase_figures(phase: Phase, tally: Tally) -> dict[str, Any]:
    """A phase: its load, its figures, and its slices for a comparison."""
    return {
        "name": phase.name,
        "first": phase.first,
        "last": phase.last,
        "is_open": phase.is_open,
        "start_s": tally.start_s,
        "seconds": tally.seconds,
        **tally.figures(),
        "slices": [part.to_dict(tally.seconds / len(tally.slices)) for part in tally.slices],
    }


def report(
    *,
    target: str,
    started: str,
    load: Mapping[str, Any],
    runs: Sequence[Sequence[tuple[Phase, Tally]]],
    client: Mapping[str, Any],
    interrupted: bool,
) -> dict[str, Any]:
    """The whole report; warm-ups are left out. Unknown is None, never 0."""
    counted = [[(phase, tally) for phase, tally in run if phase.is_counted] for run in runs]
    parts = [tally for run in counted for _, tally in run]
    figures = overall(parts).figures()
    spent = sum(max(tally.seconds, tally.last_end_s - tally.start_s) for tally in parts)
    figures["throughput"] = figures["answered"] / spent if spent > 0 and parts else None
    figures["client"] = {**figures["client"], **client}
    notes = bottlenecks(figures, in_process=bool(load.get("in_process")))
    figures["client"] |= {"is_bottleneck": bool(notes), "notes": notes}
    by_phase: dict[int, list[tuple[Phase, Tally]]] = {}
    for run in counted:
        for number, pair in enumerate(run):
            by_phase.setdefault(number, []).append(pair)
    return {
        "format": FORMAT,
        "ragwatch": __version__,
        "target": target,
        "started": started,
        "load": dict(load),
        "interrupted": interrupted,
        **figures,
        "phases": [_over_runs(pairs) for pairs in by_phase.values()],
        "runs": [{"phases": [phase_figures(phase, tally) for phase, tally in run]} for run in counted if run],
    }


def _over_runs(pairs: Sequence[tuple[Phase, Tally]]) -> dict[str, Any]:
    """A phase over all runs; its throughput is the mean of theirs."""
    phase, first = pairs[0]
    total = first if len(pairs) == 1 else overall([tally for _, tally in pairs])
    figures = phase_figures(phase, total)
    del figures["slices"]
    for name in ("throughput", "concurrency"):
        known = [value for _, tally in pairs if (value := getattr(tally, name)) is not None]
        figures[name] = sum(known) / len(known) if known else None
    figures["start_s"] = first.start_s
    return figures


def bottlenecks(figures: Mapping[str, Any], *, in_process: bool) -> list[str]:
    """What of the bench itself stood in the way, a line each.

    >>> figures = {"client": {"lag_s": {"p99": 0.001}, "cpu_share": 0.99}, "latency_s": {"p50": 0.1}}
    >>> bottlenecks(figures, in_process=False)
    ['this process was 99% busy: the bench itself is the bottleneck, ask from another machine or lower the rate']
    """
    client = figures["client"]
    busy, lag = client.get("cpu_share") or 0.0, client["lag_s"]["p99"] or 0.0
    usual = figures["latency_s"]["p50"] or 0.0
    said = []
    if busy >= BUSY:
        said.append(
            f"the app and the bench share one process, which was {busy:.0%} busy: this is what one process of it can do"
            if in_process
            else f"this process was {busy:.0%} busy: the bench itself is the bottleneck, "
            "ask from another machine or lower the rate"
        )
    if lag > max(LAG_S, LAG_SHARE * usual):
        said.append(
            f"the bench itself was late: 1% of the questions were handed over {lag * 1e3:.0f} ms or more after their "
            "time, which is part of their latency"
        )
    most, limit = client.get("most_in_flight") or 0, client.get("limit")
    if limit and most > limit:
        said.append(f"{most} questions were under way and the bench carries {limit} at once: raise --max-in-flight")
    return said


def summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """The report less what only a comparison or a page needs: one line of JSON."""
    kept = {key: value for key, value in found.items() if key != "runs"}
    kept["phases"] = [
        {key: value for key, value in phase.items() if key not in {"slices", "error_examples"}}
        for phase in found["phases"]
    ]
    return kept


def without_messages(found: Any) -> Any:
    """The report with the types of errors alone: a message may quote a question, and reports are handed round.

    >>> without_messages({"error_examples": {"timeout": "TimeoutError: asked 'who am I'"}})
    {'error_examples': {'timeout': 'TimeoutError'}}
    """
    if isinstance(found, list):
        return [without_messages(item) for item in found]
    if not isinstance(found, dict):
        return found
    return {
        key: {kind: said.partition(":")[0] for kind, said in value.items()}
        if key == "error_examples"
        else without_messages(value)
        for key, value in found.items()
    }


def write(found: Mapping[str, Any], path: Path) -> None:
    """Write the report; ``RagwatchError`` where it cannot be written."""
    write_text(json.dumps(found, ensure_ascii=False), path)


def write_text(text: str, path: Path) -> None:
    """Write a file; ``RagwatchError`` where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RagwatchError(f"{path} cannot be written: {error.strerror}") from None


def read(path: Path) -> dict[str, Any]:
    """The report that ``write`` wrote; ``RagwatchError`` for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RagwatchError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise RagwatchError(f"{path} is no report of ragwatch bench ({FORMAT}): write one with --report {path}")
    return found
