"""Prometheus' rule files: recorded ratios, the burn rates of objectives, and the symptom alerts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import yaml

from ragwatch.catalogue_kpis import kpi
from ragwatch.monitoring.alert import EVALUATION_S, JUDGEMENTS, Alert, spanned, window
from ragwatch.monitoring.alerts import ALERTS
from ragwatch.monitoring.collector_alerts import COLLECTOR_ALERTS
from ragwatch.monitoring.evidence import BASELINES, NOW
from ragwatch.monitoring.kpis import BY, ask
from ragwatch.monitoring.slo import Slo, Slos
from ragwatch.monitoring.slo_rules import SLOW_GROUP_S, budget_rules, burn_rules, edge, only, record, service_label

RUNBOOKS = "docs/runbooks.md"
"""Where the runbooks stand; `ragwatch rules --runbooks URL` names where you serve them."""
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
_LIMITS: Final = {
    "{slow}": Slo("latency", 0.95, threshold_s=SLOW_S),
    "{failing}": Slo("availability", 0.99),
    "{empty}": Slo("retrieval", 0.95, min_events=30),
}
"""What stands in a symptom alert for a limit of an objective → the objective where no file has one."""


def recording_rules(scale: float = 1.0) -> dict[str, Any]:
    """The ratios that dashboards of your own and long ranges want: one series a service, cheap to read."""
    five = window(300, scale)
    rules = [record(name, ask(of, (*BY, *kpi(of).by), window=five, scoped=False)) for name, of in RECORDED.items()]
    return {"groups": [{"name": "ragwatch.kpis", "interval": window(30, scale, least_s=1), "rules": rules}]}


def alert_rules(slos: Slos, scale: float = 1.0, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """What looks far back, the burn-rate alerts of the objectives, then the symptom alerts."""
    baselines = [record(name, _filled(expr, slos, scale)) for name, expr in BASELINES.items()]
    counts = [record(name, _filled(expr, slos, scale)) for name, expr in NOW.items()]
    symptoms = [rule for alert in ALERTS for rule in _symptoms(alert, slos, scale, runbooks)]
    return {
        "groups": [
            {
                "name": "ragwatch.baselines",
                "interval": window(SLOW_GROUP_S, scale, least_s=1),
                "rules": budget_rules(slos, scale) + baselines,
            },
            {"name": "ragwatch.slo", "interval": _interval(scale), "rules": burn_rules(slos, scale, runbooks)},
            {"name": "ragwatch.symptoms", "interval": _interval(scale), "rules": counts + symptoms},
        ]
    }


def collector_rules(scale: float = 1.0, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The alerts on a collector that runs ``otel-collector.yaml``."""
    rules = [_symptom(alert, Slos(()), scale, runbooks) for alert in COLLECTOR_ALERTS]
    return {"groups": [{"name": "ragwatch.collector", "interval": _interval(scale), "rules": rules}]}


def to_yaml(rules: dict[str, Any], heading: str) -> str:
    """A rule file's text."""
    text = yaml.safe_dump(rules, sort_keys=False, width=10_000, allow_unicode=True)
    return f"# {heading}\n{text}"


def _interval(scale: float) -> str:
    return window(15, scale, least_s=1) if scale < 1 else window(EVALUATION_S)


def _symptoms(alert: Alert, slos: Slos, scale: float, runbooks: str) -> list[dict[str, Any]]:
    """The rules of an alert: one, or where its limit is an objective's, one for each service that has its own."""
    limit = next((name for name in _LIMITS if name in alert.expr), None)
    if limit is None:
        return [_symptom(alert, slos, scale, runbooks)]
    general = _LIMITS[limit]
    found = [slo for slo in slos.slos if slo.name == general.name]
    if all(slo.service is not None for slo in found):
        found.insert(0, general)
    rules = []
    for slo in found:
        value = slo.page_above if slo.threshold_s is None else slo.threshold_s
        expr = alert.expr.replace(limit, f"{value:g}")
        expr = expr.replace("{slow_edge}", edge(slo.threshold_s)).replace("{allowed}", f"{slo.budget:.6g}")
        rule = _symptom(
            replace(alert, expr=expr, least=replace(alert.least, count=slo.min_events)), slos, scale, runbooks
        )
        rules.append(rule | {"expr": only(rule["expr"], slo, slos), "labels": rule["labels"] | service_label(slo)})
    return rules


def _symptom(alert: Alert, slos: Slos, scale: float, runbooks: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": _fill(alert.expr, alert, slos, scale)}
    if alert.for_s:
        rule["for"] = window(alert.for_s, scale, least_s=1)
    rule["labels"] = {"severity": alert.severity}
    rule["annotations"] = {
        "summary": _fill(alert.summary, alert, slos, scale),
        "runbook_url": f"{runbooks}#{alert.name.lower()}",
    }
    return rule


def _fill(text: str, alert: Alert, slos: Slos, scale: float) -> str:
    """The text with its windows and bounds; braces of Prometheus' own stay."""
    least = slos.min_judgements if alert.least.of == JUDGEMENTS else alert.least.count
    return _filled(text.replace("{w}", window(alert.window_s, scale)).replace("{least}", str(least)), slos, scale)


def _filled(text: str, slos: Slos, scale: float) -> str:
    return spanned(text.replace("{accuracy}", f"{slos.accuracy_target:g}"), scale)
