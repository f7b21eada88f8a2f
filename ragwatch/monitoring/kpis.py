"""PromQL of the catalogue's KPIs: a panel, a recording rule and ``docs/metrics.md`` ask for one by its name."""

from __future__ import annotations

from ragwatch.catalogue import metric
from ragwatch.catalogue_kpis import Kpi, Part, kpi
from ragwatch.errors import CatalogueError
from ragwatch.monitoring.promql import RATE, TARGET, increase, rate, series, share, student, total, wilson

RANGE = "$__range"
"""Grafana's time shown."""
BY = ("service", "environment")
"""What a rule's series are split by, beside the KPI's own labels."""
Z = 1.96
"""An interval holds 95 of 100."""


def ask(
    name: str,
    by: tuple[str, ...] | None = None,
    *,
    window: str = "",
    scoped: bool = True,
    bound: str = "",
    q: float | None = None,
    **only: str,
) -> str:
    """The PromQL of a KPI, split by the labels ``by`` (its own where none are given).

    ``window`` is the dashboards' where none is given; ``scoped`` adds their variables for service and environment.
    ``bound`` ``-`` or ``+`` is an end of its interval, ``q`` another quantile, ``only`` are further labels.

    >>> ask("ungrounded_rate", window="5m", scoped=False)[:60]
    '(sum(rate(rag_answers_total{grounding="without_context"}[5m]'
    >>> ask("agent_lag")
    'sum by (consumer) (ragwatch_agent_lag)'
    >>> ask("error_rate", bound="-")
    Traceback (most recent call last):
    ragwatch.errors.CatalogueError: error_rate has no interval
    """
    wanted = kpi(name)
    if bound and not wanted.interval:
        raise CatalogueError(f"{name} has no interval")
    return _Query(wanted, wanted.by if by is None else by, window, scoped, only).text(bound, q)


class _Query:
    def __init__(self, wanted: Kpi, by: tuple[str, ...], window: str, scoped: bool, only: dict[str, str]) -> None:
        self._kpi = wanted
        self._by = tuple(label.replace(".", "_") for label in by)
        self._window = window or (RANGE if wanted.sparse else RATE)
        self._scoped = scoped
        self._only = only

    def text(self, bound: str, q: float | None) -> str:
        wanted = self._kpi
        if wanted.shape == "quantile":
            buckets = self._sum(wanted.of, "le", *self._by, suffix="_bucket")
            return f"histogram_quantile({q or wanted.q[0]:g}, {buckets})"
        if wanted.shape == "mean":
            added = self._sum(wanted.of, *self._by, suffix="_sum")
            return f"{added} / ({self._sum(wanted.of, *self._by)} > 0)"
        if wanted.per is None:
            found = self._sum(wanted.of, *self._by, suffix="_bucket" if "le" in self._by else "")
            return f"{found} * {wanted.scale:g}" if wanted.scale != 1 else found
        if wanted.shape == "per_good":
            return self._per_good(wanted.per)
        if wanted.shape == "split":
            return self._split(wanted.per)
        part, whole = self._sum(wanted.of, *self._by), self._sum(wanted.per, *self._by)
        if not bound:
            return share(part, whole)
        if wanted.interval == "wilson":
            return wilson(part, whole, Z, bound)
        return student(part, self._sum(Part(wanted.squares), *self._by), whole, bound)

    def _split(self, per: Part) -> str:
        """Parts of one whole: what splits the part alone does not split the whole."""
        part, outer = self._sum(self._kpi.of, *self._by), self._outer()
        whole = f"{self._sum(per, *outer)} > 0"
        if not outer:
            return f"{part} / scalar({whole})"
        return f"{part} / on ({', '.join(outer)}) group_left () ({whole})"

    def _per_good(self, per: Part) -> str:
        """Cost by answers, times judged by good: what is good counts as far as the judgements say.

        Where no cost is known ``scalar`` is NaN, which is no figure; a 0 would say that answers are free.
        """
        good, judged = self._kpi.good, self._kpi.judged
        if good is None or judged is None:
            raise CatalogueError(f"{self._kpi.name} does not say what is good")
        outer = self._outer()
        cost, answers = self._sum(self._kpi.of, *outer), self._sum(per, *outer)
        times = f"{self._sum(judged, *self._by)} / ({self._sum(good, *self._by)} > 0)"
        if not outer:
            return f"scalar({cost}) * {times} / scalar({answers} > 0)"
        return f"{times} * on ({', '.join(outer)}) group_left () ({cost} / ({answers} > 0))"

    def _outer(self) -> tuple[str, ...]:
        """The labels that are not the KPI's own."""
        own = {label.replace(".", "_") for label in self._kpi.by}
        return tuple(label for label in self._by if label not in own)

    def _sum(self, part: Part, *by: str, suffix: str = "") -> str:
        declared = metric(part.metric)
        known = {label.prometheus for label in declared.labels}
        if declared.kind == "histogram":
            suffix = suffix or ("_sum" if part.added else "_count")
        only = {name: value for name, value in self._only.items() if name in known or name in TARGET}
        found = series(part.metric, suffix, scoped=self._scoped, **(matchers(part) | only))
        if declared.kind == "gauge":
            grown = found
        else:
            grown = increase(found, self._window) if self._kpi.sparse else rate(found, self._window)
        held = tuple(label for label in by if label in known or label in {"le", *TARGET})
        if declared.combine == "max":
            return f"max by ({', '.join(held)}) ({grown})" if held else f"max({grown})"
        return total(grown, *held)


def matchers(part: Part) -> dict[str, str]:
    """What ``series`` takes for the labels of a part.

    >>> matchers(Part("rag.query.duration", {"outcome": ("ok", "degraded")}))
    {'outcome': '=~ok|degraded'}
    """
    return {
        name.replace(".", "_"): values[0] if len(values) == 1 else f"=~{'|'.join(values)}"
        for name, values in part.where.items()
    }


def whole(name: str) -> Part:
    """What a KPI is a share of; ``CatalogueError`` where it is no share."""
    found = kpi(name).per
    if found is None:
        raise CatalogueError(f"{name} is no share")
    return found
