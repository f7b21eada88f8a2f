"""What an alert is, and the templates by which its summary says where it happens.

Windows are seconds, which ``--window-scale`` shortens for a drill. In an expression ``{w}`` is the alert's window,
``{3600s}`` any other span, and ``{least}`` the events from which on the alert says anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ragwatch.monitoring.promql import increase, series, total

Severity = Literal["page", "ticket", "info"]
Z = 3.1
"""A bound of 95 % looked at every hour gave 20 to 30 false alarms a month; this one about one in a year."""
SHORTEST_S = 5
"""A window of a drill has five scrapes at least, at one a second: a rate over fewer says nothing."""
EVALUATION_S = 30
"""How often Prometheus looks at the rules."""
JUDGEMENTS = "judgements"
_SPAN = re.compile(r"\{(\d+)s\}")


@dataclass(frozen=True, slots=True)
class Least:
    """From how many events on an alert says anything, so that low traffic does not make it flap.

    It stands in the expression as ``{least}``, unless ``looks``: then the events are Prometheus' own looks at a state,
    that many one after the other, which is the alert's ``for``.
    """

    count: int
    of: str
    looks: bool = False


def looks(for_s: float) -> Least:
    """A state that lasts so long.

    >>> looks(120)
    Least(count=4, of='looks in a row', looks=True)
    """
    return Least(int(for_s // EVALUATION_S), "looks in a row", looks=True)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``expr`` holds ``{w}``, other spans and ``{least}``; ``summary`` is a Prometheus template.

    ``first`` is the query to look at first. Where it happens is said by a label or, by a query, in the summary.
    """

    name: str
    severity: Severity
    expr: str
    window_s: float
    for_s: float
    least: Least
    summary: str
    meaning: str
    first: str
    usually: str


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


def spanned(text: str, scale: float) -> str:
    """The text with its spans as Prometheus writes them, at that scale.

    >>> spanned("increase(a[{900s}] offset {86400s})", 1.0)
    'increase(a[15m] offset 1d)'
    """
    return _SPAN.sub(lambda found: window(float(found.group(1)), scale), text)


def most(metric: str, by: tuple[str, ...], span: str, shown: str, **labels: str) -> str:
    """A template that names the labels of the series that grew most, in the alert's own service and environment.

    >>> most("rag.query.critical_path", ("step",), "5m", "{{ .Labels.step }}")[:96]
    '{{ range printf `topk(1, sum by (step) (increase(rag_query_critical_path_seconds_total{service="'
    """
    return _first(f"{_grown(metric, by, span, **labels)} > 0", shown)


def _grown(metric: str, by: tuple[str, ...], span: str, **labels: str) -> str:
    wanted = {"service": "%[1]s", "environment": "%[2]s", **labels}
    return total(increase(series(metric, "", scoped=False, **wanted), span), *by)


def _first(query: str, shown: str) -> str:
    return f"{{{{ range printf `topk(1, {query})` $labels.service $labels.environment | query }}}}{shown}{{{{ end }}}}"


def worst_step(span: str) -> str:
    """A template that names the step that fails most, and how."""
    return most("rag.query.errors", ("step", "error_class"), span, "{{ .Labels.step }} ({{ .Labels.error_class }})")


def slowest_step(span: str) -> str:
    """A template that names the step that queries wait for most."""
    return most("rag.query.critical_path", ("step",), span, "{{ .Labels.step }}")


def emptiest_source(span: str) -> str:
    """A template that names the data source that finds nothing most often."""
    return most(
        "rag.retrieval.requests", ("data_source",), span, "{{ .Labels.data_source }}", result="=~empty|below_threshold"
    )


def retried_step(span: str) -> str:
    """A template that names the step with most attempts beyond its first, else the one that fails most.

    A retry around a step makes each attempt a step of its own.
    """
    again = _grown("rag.step.retries", ("step",), span)
    failed = _grown("rag.step.calls", ("step",), span, step="!~query|tool", outcome="=~error|rejected")
    return _first(f"{again} > 0 or on () {failed} > 0", "{{ .Labels.step }}")


def unanswered(up: str) -> str:
    """How many scrapes of the window were answered, of a target that answers none now and left out ``{least}`` of them.

    >>> unanswered("up")
    'sum_over_time(up[{w}]) and up == 0 and count_over_time(up[{w}]) - sum_over_time(up[{w}]) >= {least}'
    """
    answered = f"sum_over_time({up}[{{w}}])"
    return f"{answered} and {up} == 0 and count_over_time({up}[{{w}}]) - {answered} >= {{least}}"


def begun_anew(name: str, there: str) -> str:
    """What a counter has that was not there a window ago, though its target (or process) was: it began since then.

    Without that, every old counter would be new again after a gap in the scrapes. ``there`` says what the same job and
    instance showed a window ago.

    >>> begun_anew("lost_total", "up offset {w} == 1")
    '(lost_total unless lost_total offset {w}) and on (job, instance) (up offset {w} == 1)'
    """
    return f"({name} unless {name} offset {{w}}) and on (job, instance) ({there})"
