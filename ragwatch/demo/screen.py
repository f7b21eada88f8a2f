"""The live table: KPIs, time by step, last errors, where to look next."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ragwatch.demo.chapters import Chapter
from ragwatch.demo.figures import duration, estimate, percent, quantile
from ragwatch.demo.session import K, Progress
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.kpi.quality import wilson
from ragwatch.semconv import STEPS


def screen(metrics: RAGMetrics, progress: Progress, *, queries: int, where: list[tuple[str, str]]) -> Any:
    """Everything at once, as something that rich can print."""
    title = f"ragwatch demo: {progress.asked} of {queries} questions, {progress.act}"
    parts: list[Any] = [_kpis(metrics), Text(), _steps(metrics), Text(), *_resilience(metrics)]
    if metrics.cost_usd is not None:
        parts.append(Text(f"cost ${metrics.cost_usd:.4f} at the demo's own prices: nobody is paid for anything"))
    if metrics.errors:
        causes = ", ".join(f"{cause} × {count}" for cause, count in metrics.errors.items())
        parts.append(Text(f"errors by step and class: {causes}", style="red"))
        parts += [Text(f"  {error}", style="red") for error in progress.errors[-1:]]
    if progress.last:
        parts.append(Text(f"last answer: {progress.last}", style="dim", overflow="ellipsis", no_wrap=True))
    for name, place in where:
        parts.append(Text.assemble((f"{name:<9}", "bold"), place, overflow="fold"))
    return Panel(Group(*parts), title=title, border_style="blue", padding=(0, 1))


def acts_table(chapters: list[Chapter]) -> Any:
    """What each act of an outage did to the KPIs. A right answer cites a document that is known to answer."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("act", no_wrap=True)
    for column in ("queries", "errors", "rejected", "degraded", "p95", f"recall@{K}", "right answers"):
        table.add_column(column, justify="right")
    for chapter in chapters:
        found = chapter.metrics
        recall = found.recall_at_k.get(str(K))
        right = wilson(chapter.right, chapter.answered)
        table.add_row(
            chapter.name,
            str(found.query_count),
            *(percent(rate) for rate in (found.error_rate, found.rejected_rate, found.degraded_rate)),
            quantile(found.p95),
            "–" if recall is None else f"{recall.value:.2f}",
            "–" if right is None else f"{right.value:.0%}",
        )
    return Panel(table, title="act by act", border_style="blue", padding=(0, 1))


def _kpis(metrics: RAGMetrics) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("KPI", "value", "n", "KPI", "value", "n"):
        table.add_column(column, justify="left" if column == "KPI" else "right", no_wrap=True)
    n = metrics.n
    recall, mrr = metrics.recall_at_k.get(str(K)), metrics.mrr.get(str(K))
    latency = str(n["latency"])
    left = [
        ("queries", str(metrics.query_count), ""),
        ("per second", "–" if metrics.throughput is None else f"{metrics.throughput:.1f}", ""),
        ("errors", percent(metrics.error_rate), str(n["error_rate"])),
        ("rejected", percent(metrics.rejected_rate), str(n["availability"])),
        ("degraded", percent(metrics.degraded_rate), str(n["error_rate"])),
        ("availability", percent(metrics.availability), str(n["availability"])),
        ("cache hits", percent(metrics.cache_hit_rate), str(n["cache_hit_rate"])),
    ]
    right = [
        ("latency p50", quantile(metrics.p50), latency),
        ("latency p95", quantile(metrics.p95), latency),
        ("latency p99", quantile(metrics.p99), latency),
        ("empty retrievals", percent(metrics.empty_retrieval_rate), str(n["empty_retrieval_rate"])),
        (f"recall@{K}", estimate(recall), str(recall.n) if recall else ""),
        ("MRR", estimate(mrr), str(mrr.n) if mrr else ""),
        (f"answered in top {K}", estimate(metrics.retrieval_accuracy_interval), str(n["retrieval_accuracy"])),
    ]
    for one, other in zip(left, right, strict=True):
        table.add_row(*one, *other)
    return table


def _steps(metrics: RAGMetrics) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("step", no_wrap=True)
    for column in ("calls", "p50", "p95", "p99", "mean"):
        table.add_column(column, justify="right")
    for name in STEPS:
        found = metrics.steps.get(name)
        if found:
            quantiles = (quantile(found[key]) for key in ("p50", "p95", "p99"))
            table.add_row(name, f"{found['count']:.0f}", *quantiles, duration(found["mean"]))
    return table


def _resilience(metrics: RAGMetrics) -> list[Text]:
    """A line for each breaker that was needed, and for each operation that was retried."""
    lines = []
    for name, calls in metrics.breaker_calls.items():
        state = "/".join(metrics.breaker_states.get(name, {})) or "unknown"
        if calls.get("failure") or calls.get("rejected") or state != "closed":
            style = "red" if "open" in state else "yellow"
            turned_away = f"{calls.get('rejected', 0)} calls turned away, {calls.get('failure', 0)} failed"
            open_s = metrics.breaker_open_s.get(name, 0.0)
            lines.append(Text(f"breaker {name}: {state}; {turned_away}, {open_s:.1f} s open", style=style))
    for name, found in metrics.retries.items():
        if found["wasted_s"] > 0:
            said = f"{found['attempts']:.0f} attempts of {found['calls']:.0f} calls, {found['wasted_s']:.2f} s wasted"
            lines.append(Text(f"retry {name}: {said}", style="yellow"))
    return lines
