"""The rules of objectives: what is counted of each, how much of its budget is left, and how fast it burns."""

from __future__ import annotations

import json
from typing import Any, Final

from ragwatch.catalogue_kpis import Part, kpi
from ragwatch.monitoring.alert import emptiest_source, slowest_step, window, worst_step
from ragwatch.monitoring.kpis import BY, matchers, whole
from ragwatch.monitoring.promql import BUDGET_LEFT, increase, series, share, total
from ragwatch.monitoring.slo import Slo, Slos

WINDOWS = (
    # (long, short, burn, severity): the table of "Alerting on SLOs", The Site Reliability Workbook, chapter 5
    (3600.0, 300.0, 14.4, "page"),
    (21600.0, 1800.0, 6.0, "page"),
    (86400.0, 7200.0, 3.0, "ticket"),
    (259200.0, 21600.0, 1.0, "ticket"),
)
MOST_BAD = 0.9
"""A limit is never higher: with a target below 0.93 an hour of nothing but failures would be no 14.4 budgets."""
SLOW_GROUP_S: Final = 240.0
"""How often what looks far back is recorded: less than the five minutes after which Prometheus forgets a series."""
COUNTED_S: Final = 2 * SLOW_GROUP_S
"""What a budget is summed of: each event is in two of them, so that one evaluation that is missed loses none."""
_WHERE = {
    "availability": ("most failures in ", worst_step),
    "latency": ("most of the time in ", slowest_step),
    "retrieval": ("the step is retrieve, most often from ", emptiest_source),
}


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
        return f"({every} - {grown(answered, '_bucket', le=edge(slo.threshold_s))})", every
    tried, good = whole("availability"), kpi("availability").of.where["outcome"]
    bad = tuple(outcome for outcome in tried.where["outcome"] if outcome not in good)
    return grown(Part(tried.metric, {"outcome": bad}), "_count"), grown(tried, "_count")


def budget_left(slo: Slo, bad: str, every: str) -> str:
    """The share of an objective's budget that is left: 1 nothing bad yet, 0 all of it used, below 0 it is missed."""
    return f"1 - ({share(bad, every)}) / {slo.budget:.6g}"


def budget_rules(slos: Slos, scale: float) -> list[dict[str, Any]]:
    """What is left of each budget, of counts that are recorded: a month of samples is too much to read."""
    rules = [rule for slo in slos.slos for rule in _counts(slo, slos, COUNTED_S, scale)]
    span = window(slos.window_days * 86400, scale)
    for slo in slos.slos:
        bad, every = (f"sum_over_time({name}[{span}])" for name in _counted(slo, COUNTED_S))
        rules.append(record(BUDGET_LEFT, only(budget_left(slo, bad, every), slo, slos), **_labels(slo)))
    return rules


def burn_rules(slos: Slos, scale: float, runbooks: str) -> list[dict[str, Any]]:
    """The counts of each window, then the alerts."""
    spans = sorted({span for long, short, *_ in WINDOWS for span in (long, short)})
    counts = [rule for slo in slos.slos for span in spans for rule in _counts(slo, slos, span, scale)]
    return counts + [rule for slo in slos.slos for rule in _burn_alerts(slo, slos, scale, runbooks)]


def _names(span_s: float) -> tuple[str, str]:
    return f"rag:slo_bad:increase{window(span_s)}", f"rag:slo_events:increase{window(span_s)}"


def _counted(slo: Slo, span_s: float) -> tuple[str, str]:
    """(bad, all) as they are recorded, of an objective by its name: ``only`` chooses the services."""
    bad, every = (f'{name}{{slo="{slo.name}"}}' for name in _names(span_s))
    return bad, every


def _counts(slo: Slo, slos: Slos, span_s: float, scale: float) -> list[dict[str, Any]]:
    bad, every = events(slo, window(span_s, scale))
    return [
        record(name, only(expr, slo, slos), **_labels(slo))
        for name, expr in zip(_names(span_s), (f"{bad} or 0 * {every}", every), strict=True)
    ]


def _burn_alerts(slo: Slo, slos: Slos, scale: float, runbooks: str) -> list[dict[str, Any]]:
    found = []
    for long_s, short_s, burn, severity in WINDOWS:
        long = window(long_s, scale)
        (bad, every), (bad_now, every_now) = _counted(slo, long_s), _counted(slo, short_s)
        most_bad = min(burn * slo.budget, MOST_BAD)
        limit = f"{most_bad:.6g}"
        expr = (
            f"({bad} / ({every} > 0)) > {limit} and ({bad_now} / ({every_now} > 0)) > {limit} "
            f"and {every} >= {slo.min_events} and {bad} >= {slo.min_bad} and {bad_now} >= {slo.min_bad_short}"
        )
        said, where = _WHERE[slo.name]
        found.append(
            {
                "alert": f"Rag{slo.name.capitalize()}BurnRate",
                "expr": only(expr, slo, slos),
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


def record(name: str, expr: str, **labels: str) -> dict[str, Any]:
    """A recording rule."""
    return {"record": name, "expr": expr, **({"labels": labels} if labels else {})}


def _labels(slo: Slo) -> dict[str, str]:
    return {"slo": slo.name, **service_label(slo)}


def service_label(slo: Slo) -> dict[str, str]:
    """The series' own label again: promtool takes two rules of one name and the same labels for duplicates."""
    return {} if slo.service is None else {"service": slo.service}


def only(expr: str, slo: Slo, slos: Slos) -> str:
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


def edge(threshold_s: float | None) -> str:
    """As the bucket's label ``le`` has it."""
    return f"{threshold_s:.1f}" if threshold_s is not None and threshold_s == int(threshold_s) else f"{threshold_s}"
