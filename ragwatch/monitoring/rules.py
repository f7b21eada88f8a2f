"""Prometheus' rule files: recorded ratios, the burn rates of objectives, and the symptom alerts."""

from __future__ import annotations

import json
from typing import Any, Final

import yaml

from ragwatch.catalogue_kpis import Part, kpi
from ragwatch.monitoring.alerts import ALERTS, Alert, emptiest_source, slowest_step, worst_step
from ragwatch.monitoring.collector_alerts import COLLECTOR_ALERTS
from ragwatch.monitoring.kpis import BY, ask, matchers, whole
from ragwatch.monitoring.promql import BUDGET_LEFT, increase, series, share, total
from ragwatch.monitoring.slo import Slo, Slos

RUNBOOKS = "docs/runbooks.md"
"""Where the runbooks stand; `ragwatch rules --runbooks URL` names where you serve them."""
WINDOWS = (
    # (long, short, burn, severity): the table of "Alerting on SLOs", The Site Reliability Workbook, chapter 5
    (3600.0, 300.0, 14.4, "page"),
    (21600.0, 1800.0, 6.0, "page"),
    (86400.0, 7200.0, 3.0, "ticket"),
    (259200.0, 21600.0, 1.0, "ticket"),
)
RECORDED: Final = {
    "rag:queries:rate5m": "throughput",
    "rag:error_rate:ratio5m": "error_rate",
    "rag:availability:ratio5m": "availability",
    "rag:query_duration_seconds:p95_5m": "latency",
    "rag:cache_hit_rate:ratio5m": "cache_hit_rate",
    "rag:empty_retrievals:ratio5m": "empty_rate",
    "rag:errors:rate5m": "errors",
    "rag:critical_path_seconds:rate5m": "critical_path",
    "rag:retry_amplification:ratio5m": "retry_amplification",
    "rag:cost_usd_per_hour:rate5m": "cost",
}
"""What is recorded → the KPI that it is."""
SLOW_S = 5.0
"""Where no objective says what slow is."""
MOST_BAD = 0.9
"""A limit is never higher: with a target below 0.93 an hour of nothing but failures would be no 14.4 budgets."""
_WHERE = {
    "availability": ("most failures in ", worst_step),
    "latency": ("most of the time in ", slowest_step),
    "retrieval": ("most often in ", emptiest_source),
}
SHORTEST_S = 5
"""A window of a drill has five scrapes at least, at one a second: a rate over fewer says nothing."""


def window(seconds: float, scale: float = 1.0, *, least_s: int = SHORTEST_S) -> str:
    """A duration as Prometheus writes it; a scaled one is ``least_s`` at least.

    >>> window(3600), window(5400), window(300, 0.01), window(60, 0.01, least_s=1)
    ('1h', '90m', '5s', '1s')
    """
    whole = max(least_s if scale < 1 else 1, round(seconds * scale))
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole % size == 0:
            return f"{whole // size}{letter}"
    return f"{whole}s"


def bad_share(slo: Slo, span: str) -> str:
    """The share of bad events of an objective over a window, by service and environment."""
    bad, every = events(slo, span)
    return share(bad, every)


def events(slo: Slo, span: str, *, scoped: bool = False) -> tuple[str, str]:
    """(bad, all) events of an objective over a window, as increases; ``scoped``: of what a dashboard shows."""

    def grown(part: Part, suffix: str = "", **more: str) -> str:
        found = series(part.metric, suffix, scoped=scoped, **matchers(part), **more)
        return total(increase(found, span), *BY)

    if slo.name == "retrieval":
        empty, below = kpi("empty_rate"), kpi("below_threshold_rate")
        return grown(Part(empty.of.metric, {"result": (*empty.of.where["result"], *below.of.where["result"])})), grown(
            whole("empty_rate")
        )
    if slo.name == "latency":
        answered = kpi("latency").of
        every = grown(answered, "_count")
        return f"({every} - {grown(answered, '_bucket', le=_edge(slo.threshold_s))})", every
    tried, good = whole("availability"), kpi("availability").of.where["outcome"]
    bad = tuple(outcome for outcome in tried.where["outcome"] if outcome not in good)
    return grown(Part(tried.metric, {"outcome": bad}), "_count"), grown(tried, "_count")


def _edge(threshold_s: float | None) -> str:
    return f"{threshold_s:.1f}" if threshold_s is not None and threshold_s == int(threshold_s) else f"{threshold_s}"


def recording_rules(scale: float = 1.0) -> dict[str, Any]:
    """The ratios that dashboards of your own and long ranges want: one series a service, cheap to read."""
    five = window(300, scale)
    rules = [
        _record(record, ask(name, (*BY, *kpi(name).by), window=five, scoped=False)) for record, name in RECORDED.items()
    ]
    return {"groups": [{"name": "ragwatch.kpis", "interval": window(30, scale, least_s=1), "rules": rules}]}


def alert_rules(slos: Slos, scale: float = 1.0, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The burn-rate alerts of the objectives, then the symptom alerts."""
    budgets = [_record(BUDGET_LEFT, _budget_left(slo, slos, scale), **_labels(slo)) for slo in slos.slos]
    burns = [rule for slo in slos.slos for rule in _burn_alerts(slo, slos, scale, runbooks)]
    slow = [slo for slo in slos.slos if slo.name == "latency"]
    if all(slo.service is not None for slo in slow):
        slow.insert(0, Slo("latency", 0.95, threshold_s=SLOW_S))
    symptoms = []
    for alert in ALERTS:
        for slo in slow if "{slow}" in alert.expr else slow[:1]:
            rule = _symptom(alert, slos, slo.threshold_s or SLOW_S, scale, runbooks)
            if "{slow}" in alert.expr:
                rule |= {"expr": _only(rule["expr"], slo, slos), "labels": rule["labels"] | _service(slo)}
            symptoms.append(rule)
    interval = window(15, scale, least_s=1) if scale < 1 else "30s"
    return {
        "groups": [
            {"name": "ragwatch.slo", "interval": interval, "rules": budgets + burns},
            {"name": "ragwatch.symptoms", "interval": interval, "rules": symptoms},
        ]
    }


def collector_rules(scale: float = 1.0, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The alerts on a collector that runs ``otel-collector.yaml``."""
    interval = window(15, scale, least_s=1) if scale < 1 else "30s"
    rules = [_symptom(alert, Slos(()), 0.0, scale, runbooks) for alert in COLLECTOR_ALERTS]
    return {"groups": [{"name": "ragwatch.collector", "interval": interval, "rules": rules}]}


def to_yaml(rules: dict[str, Any], heading: str) -> str:
    """A rule file's text."""
    text = yaml.safe_dump(rules, sort_keys=False, width=10_000, allow_unicode=True)
    return f"# {heading}\n{text}"


def _record(name: str, expr: str, **labels: str) -> dict[str, Any]:
    return {"record": name, "expr": expr, **({"labels": labels} if labels else {})}


def _labels(slo: Slo) -> dict[str, str]:
    return {"slo": slo.name, **_service(slo)}


def _service(slo: Slo) -> dict[str, str]:
    """The series' own label again: promtool takes two rules of one name and the same labels for duplicates."""
    return {} if slo.service is None else {"service": slo.service}


def _only(expr: str, slo: Slo, slos: Slos) -> str:
    """An expression for the services that an objective is for."""
    if slo.service is not None:
        return f"({expr}) and on (service) {_named(slo.service)}"
    others = slos.special.get(slo.name, ())
    for service in others:
        expr = f"({expr}) unless on (service) {_named(service)}"
    return expr


def _named(service: str) -> str:
    """One series that has the service's name: ``$`` of a replacement and quotes are doubled or escaped.

    >>> _named("bot")
    'label_replace(vector(1), "service", "bot", "", "")'
    """
    return f'label_replace(vector(1), "service", {json.dumps(service.replace("$", "$$"), ensure_ascii=False)}, "", "")'


def _budget_left(slo: Slo, slos: Slos, scale: float) -> str:
    span = window(slos.window_days * 86400, scale)
    return _only(budget_left(slo, *events(slo, span)), slo, slos)


def budget_left(slo: Slo, bad: str, every: str) -> str:
    """The share of an objective's budget that is left: 1 nothing bad yet, 0 all of it used, below 0 it is missed."""
    return f"1 - ({share(bad, every)}) / {slo.budget:.6g}"


def _burn_alerts(slo: Slo, slos: Slos, scale: float, runbooks: str) -> list[dict[str, Any]]:
    found = []
    for long_s, short_s, burn, severity in WINDOWS:
        long, short = window(long_s, scale), window(short_s, scale)
        most_bad = min(burn * slo.budget, MOST_BAD)
        limit = f"{most_bad:.6g}"
        enough = f"{events(slo, long)[1]} >= {slo.min_events}"
        expr = f"({bad_share(slo, long)}) > {limit} and ({bad_share(slo, short)}) > {limit} and {enough}"
        title = slo.name.capitalize()
        said, where = _WHERE[slo.name]
        found.append(
            {
                "alert": f"Rag{title}BurnRate",
                "expr": _only(expr, slo, slos),
                "labels": {"severity": severity, "window": window(long_s), **_labels(slo)},
                "annotations": {
                    "summary": (
                        f"{{{{ $labels.service }}}} misses its {slo.name} objective of {slo.target:g}: "
                        f"{{{{ $value | humanizePercentage }}}} bad over {long}, "
                        f"more than {most_bad / slo.budget:.3g} times the budget; "
                        f"{said}{where(long)}"
                    ),
                    "runbook_url": f"{runbooks}#rag{slo.name}burnrate",
                },
            }
        )
    return found


def _symptom(alert: Alert, slos: Slos, slow_s: float, scale: float, runbooks: str) -> dict[str, Any]:
    expr = _fill(alert.expr, alert, slos, slow_s, scale)
    rule: dict[str, Any] = {"alert": alert.name, "expr": expr}
    if alert.for_s:
        rule["for"] = window(alert.for_s, scale, least_s=1)
    rule["labels"] = {"severity": alert.severity}
    rule["annotations"] = {
        "summary": _fill(alert.summary, alert, slos, slow_s, scale),
        "runbook_url": f"{runbooks}#{alert.name.lower()}",
    }
    return rule


def _fill(text: str, alert: Alert, slos: Slos, slow_s: float, scale: float) -> str:
    """The text with its windows and bounds; braces of Prometheus' own stay."""
    for name, value in (
        ("{w}", window(alert.window_s, scale)),
        ("{day}", window(alert.day_s, scale)),
        ("{accuracy}", f"{slos.accuracy_target:g}"),
        ("{judgements}", str(slos.min_judgements)),
        ("{slow}", f"{slow_s:g}"),
    ):
        text = text.replace(name, value)
    return text
