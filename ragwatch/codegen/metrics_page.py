"""``docs/metrics.md``: every metric, label and KPI, as the catalogue declares them."""

from __future__ import annotations

from ragwatch.catalogue import ENVIRONMENT, KPIS, METRICS, SERVICE, Kpi, Label, Metric, prometheus_name
from ragwatch.kpi.zeros import RULES, Zeros

_HEAD = """# Metrics and KPIs

This page is generated from `ragwatch/catalogue.py` by `ragwatch codegen`; change it there.

Series of `rag.*`, `gen_ai.*` and `ragwatch.sdk.*` carry `service` (`service.name` of the app) and `environment`
(`deployment.environment.name`). A label that is empty says that it is unknown. Counters and histograms are
cumulative and add up over processes and replicas; gauges are for state alone. A label value over its bound becomes
`other`, and `ragwatch_agent_label_overflow_total` counts it. Users, questions, sessions, documents and traces are never
labels; histograms marked *exemplars* carry trace ids in OpenMetrics and OTLP.

To Prometheus a counter's first value is no increase, so what could be counted is shown at 0 before it happens (*begins
at 0*, in the agent's `/metrics` and in what it sends upstream): at once when the first query or step of a service ends,
its numbers with the next export. A scrape in between, and a burst of errors is in every rate.

Through Prometheus a histogram has the suffixes `_bucket`, `_sum` and `_count`.
"""


def metrics_page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD, "## KPIs\n", "| KPI | question | formula | when it is absent |", "|---|---|---|---|"]
    parts += [_kpi(kpi) for kpi in KPIS]
    parts.append("\n## Metrics\n")
    parts += [_metric(metric) for metric in METRICS.values()]
    return "\n".join(parts) + "\n"


def _kpi(kpi: Kpi) -> str:
    return f"| {kpi.name} | {kpi.title} | {kpi.formula} | {kpi.absent} |"


def _metric(metric: Metric) -> str:
    name = prometheus_name(metric.name, metric.kind, metric.unit)
    lines = [f"### `{metric.name}`\n", metric.description + "\n"]
    lines.append(f"- Prometheus: `{name}`; {metric.kind}" + (f", unit `{metric.unit}`" if metric.unit else ""))
    if metric.labels:
        lines.append("- labels: " + ", ".join(_label(label) for label in metric.labels))
        lines += [
            f"  - `{label.prometheus}`: {label.meaning}"
            for label in metric.labels
            if label not in (SERVICE, ENVIRONMENT)
        ]
    if metric.buckets:
        edges = " ".join(f"{edge:g}" for edge in metric.buckets)
        lines.append(f"- buckets: {edges}" + ("; exemplars" if metric.exemplars else ""))
    if metric.kind == "gauge" and metric.combine == "max":
        lines.append("- over processes: the maximum")
    if beginnings := [_beginning(rule) for rule in RULES if rule.metric == metric.name]:
        lines.append("- begins at 0: " + "; ".join(beginnings))
    lines.append(f"- absent: {metric.absent}\n")
    return "\n".join(lines)


def _beginning(rule: Zeros) -> str:
    """Which series of the agent's ``/metrics`` are there before anything was counted."""
    values = ", ".join(f"`{name}` {' '.join(found)}" for name, found in rule.spread.items())
    return (f"{values} " if values else "") + f"where a series of `{rule.anchor}` is"


def _label(label: Label) -> str:
    held = " ".join(label.values) if label.values else f"at most {label.bound}"
    return f"`{label.prometheus}` ({held})"
