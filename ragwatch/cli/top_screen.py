"""The screen of ``ragwatch top``: a line a service, a line a step, what fails, which breakers are open."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ragwatch.cli.top_window import Lately, Step, steps_of
from ragwatch.demo.figures import UNKNOWN, percent, quantile
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.semconv import STEPS

WIDE = 110
"""Columns of a terminal that has room for everything."""


class Column(NamedTuple):
    """A column of the services: its head, what stands in it, whether it needs a wide terminal, when it is red."""

    head: str
    text: Callable[[RAGMetrics], str]
    wide: bool = False
    alarm: Callable[[RAGMetrics], bool] | None = None


COLUMNS = (
    Column("queries", lambda m: str(m.query_count)),
    Column("q/s", lambda m: UNKNOWN if m.throughput is None else f"{m.throughput:.1f}"),
    Column("errors", lambda m: percent(m.error_rate), alarm=lambda m: (m.error_rate or 0) > 0),
    Column("rejected", lambda m: percent(m.rejected_rate), wide=True, alarm=lambda m: (m.rejected_rate or 0) > 0),
    Column("degraded", lambda m: percent(m.degraded_rate), wide=True),
    Column("p50", lambda m: _latency(m, m.p50)),
    Column("p95", lambda m: _latency(m, m.p95)),
    Column("p99", lambda m: _latency(m, m.p99), wide=True),
    Column("empty", lambda m: percent(m.empty_retrieval_rate)),
    Column("cache", lambda m: percent(m.cache_hit_rate)),
    Column("accuracy", lambda m: percent(m.retrieval_accuracy), wide=True),
    Column("cost", lambda m: UNKNOWN if m.cost_usd is None else f"${m.cost_usd:.2f}", wide=True),
)


def screen(
    lately: Lately, *, name: str, clock: str, width: int, height: int, problem: str = "", service: str | None = None
) -> RenderableType:
    """Everything at once, at most ``height`` lines (0: as many as there are) of ``width`` characters.

    ``service`` is the one app that is asked for, where it is one.
    """
    found = {service: metrics_of(lately, service) for service in lately.services}
    span = f"last {max(lately.seconds.values()):.0f} s" if lately.seconds else "since counting began"
    title = Text.assemble(("ragwatch top", "bold"), f"  {name}  {span}  {clock}", overflow="ellipsis", no_wrap=True)
    parts: list[RenderableType] = [title]
    if problem:
        parts.append(Text(problem, style="red", overflow="ellipsis", no_wrap=True))
    if not found:
        who = "no app" if service is None else f"no app of the name {service!r}"
        said = f"{who} has sent anything yet: point its OTLP exporter at the agent"
        return Group(*parts, Text(), Text(said, style="dim"))
    notes = [_awaited(service, every_s) for service, every_s in lately.waiting.items()]
    notes += [note for service, metrics in found.items() for note in _notes(service, metrics)]
    steps = [step for service, metrics in found.items() for step in _in_order(steps_of(lately.state, service, metrics))]
    free = max(2, height - len(parts) - 4) if height else 10**6  # two blank lines, two heads
    rows = max(2, free - len(notes))
    services = dict(list(found.items())[: max(1, rows // 2)])
    fits = rows - len(services)
    hidden = len(found) - len(services) + max(0, len(steps) - fits)
    if hidden:
        notes.insert(0, Text(f"… {hidden} lines more in a taller terminal, or with --service NAME", style="dim"))
        fits = max(1, fits - 1)
    tables = (Text(), _services(services, width, lately.waiting), Text(), _steps(steps[:fits], width))
    return Group(*parts, *tables, *notes[: max(1, free - len(services) - fits)])


def metrics_of(lately: Lately, service: str | None) -> RAGMetrics:
    """The KPIs of a service (or of all) within the stretch, with queries a second where its length is known."""
    seconds = lately.seconds.get(service) if service is not None else None
    if seconds is None:
        return RAGMetrics.of(lately.state, service=service)
    count = RAGMetrics.of(lately.state, service=service).query_count
    return RAGMetrics.of(lately.state, service=service, throughput=count / seconds)


def _in_order(steps: list[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: STEPS.index(step.name) if step.name in STEPS else len(STEPS))


def _latency(metrics: RAGMetrics, seconds: float | None) -> str:
    return quantile(seconds, metrics.n["latency"], metrics.avg_response_time)


def _services(found: dict[str, RAGMetrics], width: int, waiting: Container[str]) -> Table:
    columns = [column for column in COLUMNS if width >= WIDE or not column.wide]
    table = _table("service", *(column.head for column in columns))
    for service, metrics in found.items():
        cells = [
            Text(column.text(metrics), style="red" if column.alarm is not None and column.alarm(metrics) else "")
            for column in columns
        ]
        if service in waiting:
            cells = [Text(UNKNOWN) for _ in columns]
        table.add_row(_name(service), *cells)
    return table


def _steps(steps: list[Step], width: int) -> Table:
    wide = width >= WIDE
    table = _table("service", "step", "calls", "failed", "p50", "p95", *(["p99"] if wide else []), "waited for")
    table.columns[1].justify = table.columns[-1].justify = "left"
    last = ""
    for step in steps:
        quantiles = (step.p50, step.p95, step.p99)[: 3 if wide else 2]
        share = "" if step.share is None else f"{step.share:>4.0%} {'█' * round(step.share * (20 if wide else 10))}"
        table.add_row(
            _name(step.service if step.service != last else ""), step.name, str(step.calls),
            Text(str(step.failed or ""), style="red"),
            *(quantile(seconds, step.calls, step.mean) for seconds in quantiles),
            share,
        )  # fmt: skip
        last = step.service
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _name(service: str) -> str:
    return service if len(service) <= 20 else f"{service[:19]}…"


def _awaited(service: str, every_s: float) -> Text:
    said = f"{service} reports every {every_s:.0f} s: its next report is awaited"
    return Text(said, style="dim", overflow="ellipsis", no_wrap=True)


def _notes(service: str, metrics: RAGMetrics) -> list[Text]:
    notes = []
    causes = list(metrics.errors.items())
    shown = ", ".join(f"{cause} × {count}" for cause, count in causes if count)
    if shown:
        notes.append(Text(f"{service} fails: {shown}", style="red", overflow="ellipsis", no_wrap=True))
    for breaker, states in metrics.breaker_states.items():
        if set(states) - {"closed"}:
            held = ", ".join(f"{state} in {count}" for state, count in states.items())
            text = f"{service}: breaker {breaker} is {held}"
            notes.append(Text(text, style="red" if "open" in states else "yellow", overflow="ellipsis", no_wrap=True))
    return notes
