"""What a bench shows in the terminal: a live table while it runs, the outcome, a comparison."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ragwatch.bench.saturation import called
from ragwatch.bench.session import Session
from ragwatch.bench.shown import change, estimate, figure, interval, judged_of, rate, time
from ragwatch.bench.usl import POOR_FIT

SHOWN_PHASES = 12
SAID_EVERY_S = 0.2


@contextmanager
def live(session: Session, console: Console) -> Iterator[None]:
    """A table that follows the session; where there is no terminal, a line when it turns to something else."""
    if console.is_terminal:
        with Live(get_renderable=lambda: _table(session), console=console, refresh_per_second=4, transient=True):
            yield
        return
    over = threading.Event()

    def follow() -> None:
        said = ""
        while not over.wait(SAID_EVERY_S):
            if session.doing != said:
                said = session.doing
                console.print(said, highlight=False, soft_wrap=True)

    thread = threading.Thread(target=follow, name="bench-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _table(session: Session) -> RenderableType:
    table = _columns("load", "asked", "done/s", "errors", "p50", "p95", "p99")
    engine = session.engine
    rows, in_flight = ([], 0) if engine is None else (engine.snapshot(), engine.in_flight())
    for name, tally in rows[-SHOWN_PHASES:]:
        table.add_row(
            name, str(tally["requests"]), rate(tally["throughput"]), _count(tally["errors"]),
            *(time(tally["latency_s"][quantile]) for quantile in ("p50", "p95", "p99")),
        )  # fmt: skip
    now = Text.assemble(("now      ", "dim"), session.doing, ("   under way  ", "dim"), str(in_flight))
    return Group(table, now, Text("Ctrl-C ends it and writes what there is", style="dim"))


def outcome(found: Mapping[str, Any]) -> RenderableType:
    """The report for people."""
    parts: list[RenderableType] = [_headline(found), Text(), _load_table(found)]
    if found["steps"]:
        parts += [Text(), _steps_table(found)]
    parts += [Text(), *facts(found)]
    if found.get("knee"):
        parts += [Text(), *_knee(found["knee"])]
    if found.get("comparison"):
        parts += [Text(), comparison(found["comparison"], "the old report", "this run")]
    parts += [Text(f"note: {line}", style="yellow") for line in found["client"]["notes"]]
    return Group(*parts)


def comparison(verdict: Mapping[str, Any], old: str, new: str) -> RenderableType:
    """A comparison for people."""
    table = _columns("figure", "old", "new", "change", "interval", "verdict")
    for row in verdict["figures"]:
        style = {"worse": "red", "better": "green"}.get(row["verdict"], "")
        shown = (figure(row["figure"], row[side]) for side in ("before", "after"))
        table.add_row(row["figure"], *shown, change(row["change"]), interval(row), Text(row["verdict"], style=style))
    names = {"worse": f"{new} is worse", "better": f"{new} is better", "same": "no difference is shown"}
    said = Text(
        names[verdict["verdict"]], style={"worse": "bold red", "better": "bold green"}.get(verdict["verdict"], "bold")
    )
    said.append(f"  ({old} → {new}; of equals {verdict['false_alarm_rate']:.0%} would be told apart)", style="dim")
    parts: list[RenderableType] = [said, table]
    parts += [Text(note, style="yellow") for note in verdict["notes"]]
    return Group(*parts)


def _headline(found: Mapping[str, Any]) -> Text:
    head = Text.assemble((found["target"], "bold"))
    load = found["load"]
    kind = f"open loop, {load['arrivals']} arrivals" if load["is_open"] else "closed loop"
    head.append(f"  {kind}" if not found.get("knee") else "  the knee", style="dim")
    if found["interrupted"]:
        head.append("  ended early", style="yellow")
    return head


def _load_table(found: Mapping[str, Any]) -> Table:
    table = _columns("load", "asked", "done/s", "errors", "p50", "p95", "p99", "recall@5")
    knee = found.get("knee")
    rows = knee["trials"] if knee else found["phases"]
    for row in sorted(rows, key=lambda row: row["rate"]) if knee else rows:
        broken = Text("  broken", style="red") if row.get("broken") else Text()
        table.add_row(Text(row["name"]) + broken, *_cells(row))
    if not knee and len(found["phases"]) > 1:
        table.add_row("all", *_cells(found), style="bold")
    return table


def _cells(row: Mapping[str, Any]) -> list[Any]:
    latency = (time(row["latency_s"][name]) for name in ("p50", "p95", "p99"))
    return [
        str(row["requests"]),
        rate(row["throughput"]),
        _count(row["errors"]),
        *latency,
        estimate(row["recall_at_5"]),
    ]


def _steps_table(found: Mapping[str, Any]) -> Table:
    table = _columns("step", "calls", "errors", "p50", "p95", "p99", "time a query")
    for name, step in found["steps"].items():
        table.add_row(
            name, str(step["n"]), _count(step["errors"]), *(time(step[key]) for key in ("p50", "p95", "p99", "share_s"))
        )
    if found["own_s"] is not None:
        table.add_row(Text("the app itself", style="dim"), "", "", "", "", "", time(found["own_s"]))
    return table


def facts(found: Mapping[str, Any]) -> Iterator[Text]:
    """What is said below the tables: cache, tokens, cost, accuracy, errors, the bench itself."""
    said: list[str] = []
    if found["cache_hit_rate"] is not None:
        said.append(f"cache hits {found['cache_hit_rate']:.1%} of {found['cache_lookups']}")
    tokens = found["tokens"]
    if tokens["known"]:
        known = (
            "" if tokens["known"] == tokens["calls"] else f" (known for {tokens['known']} of {tokens['calls']} calls)"
        )
        said.append(f"tokens {tokens['input']} in, {tokens['output']} out{known}")
    if found["cost_usd"] is not None:
        said.append(f"cost ${found['cost_usd']:.4f}")
    if found["first_chunk_s"]:
        said.append(f"first chunk p50 {time(found['first_chunk_s']['p50'])}, p95 {time(found['first_chunk_s']['p95'])}")
    if found["recall_at_5"] is not None:
        said.append(f"recall@5 {estimate(found['recall_at_5'])} on {judged_of(found)}")
    elif found["load"].get("labelled") and found["answered"]:
        said.append("recall@5 unknown: no answer to a question with relevant ids says which documents it found")
    if found["unfinished"]:
        said.append(f"{found['unfinished']} without an answer at the end")
    if said:
        yield from (Text(fact) for fact in said)
    for kind, count in found["errors_by_class"].items():
        yield Text.assemble((f"{count} {kind}", "red"), f"  {found['error_examples'].get(kind, '')}")
    client = found["client"]
    busy = "" if client["cpu_share"] is None else f", process {client['cpu_share']:.0%} busy"
    yield Text(
        f"the bench: questions handed over {time(client['lag_s']['p50'])} late in the median, "
        f"{time(client['lag_s']['p99'])} in the 99th percentile{busy}",
        style="dim",
    )


def _knee(knee: Mapping[str, Any]) -> Iterator[Text]:
    if knee["rate"] is None:
        yield Text("no rate was found at which the promises hold", style="bold red")
    else:
        until = f", broken at {knee['broken_at']:.4g}/s" if knee["broken_at"] else ", never broken"
        yield Text.assemble((f"knee: {knee['rate']:.4g}/s", "bold"), f"  ({', '.join(knee['slo'])} hold{until})")
    grew = knee["saturates"]
    if grew:
        yield Text.assemble(
            ("gives way first: ", ""), (called(grew["step"]), "bold"),
            f"  ({time(grew['light_s'])} a query at a light load, {time(grew['heavy_s'])} when broken; "
            f"{grew['share']:.0%} of what all grew by)",
        )  # fmt: skip
    elif knee["rate"] is not None:
        yield Text("which step gives way is unknown: its steps cannot be seen from here", style="dim")
    law = knee["usl"]
    if law:
        peak = (
            "no peak in sight"
            if law["best_concurrency"] is None
            else f"its peak at {law['best_concurrency']:.0f} users"
        )
        poor = ", a poor fit: do not build on it" if law["r2"] < POOR_FIT else ""
        top = "" if law["ceiling"] is None else f", at most {law['ceiling']:.4g}/s"
        yield Text(
            f"Universal Scalability Law: λ {law['lambda']:.4g}/s, σ {law['sigma']:.3f}, κ {law['kappa']:.5f}; "
            f"{peak}{top}; R² {law['r2']:.3f} on {len(law['points'])} points{poor}"
        )
    else:
        yield Text("Universal Scalability Law: not enough points for a fit", style="dim")
    if knee["headroom"] is not None:
        yield Text(f"headroom: {knee['headroom']:+.0%} over today's rate")
    elif knee["rate"]:
        yield Text(f"headroom: stay below {knee['rate'] / 1.3:.4g}/s for 30% of it; --rate names the load of today")


def _columns(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _count(value: int) -> Text:
    return Text(str(value), style="red" if value else "")
