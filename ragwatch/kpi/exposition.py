"""A state as Prometheus text: OpenMetrics with exemplars that carry trace ids, or text 0.0.4 without.

prometheus_client does the writing; this is its custom collector over a ``State``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from ragwatch.catalogue import METRICS, Metric, prometheus_name
from ragwatch.kpi.state import Cell, Histogram, Key, State

TEXT = CONTENT_TYPE_PLAIN_0_0_4
OPENMETRICS: Final = openmetrics.CONTENT_TYPE_LATEST


def render(state: State, *, with_openmetrics: bool = False) -> bytes:
    """The whole state as Prometheus text 0.0.4, or as OpenMetrics 1.0 with exemplars.

    >>> state = State()
    >>> state.increment("rag.answers", ("bot", "prod", "with_context"))
    >>> print(render(state).decode().splitlines()[-1])
    rag_answers_total{environment="prod",grounding="with_context",service="bot"} 1.0
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StateCollector(lambda: state))
    write = openmetrics.generate_latest if with_openmetrics else generate_latest
    return bytes(write(registry))


def negotiate(accept: str) -> tuple[bool, str]:
    """Whether to answer in OpenMetrics, and the content type, for an ``Accept`` header.

    >>> negotiate("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")[0], negotiate("")[0]
    (True, False)
    """
    wanted = any(part.split(";")[0].strip() == "application/openmetrics-text" for part in accept.split(","))
    return wanted, OPENMETRICS if wanted else TEXT


class StateCollector(Collector):
    """A prometheus_client collector over the state that ``current`` returns; register it in any registry."""

    def __init__(self, current: Callable[[], State]) -> None:
        self._current = current

    def collect(self) -> Iterable[Family]:
        """One family for each metric that has series."""
        state = self._current()
        for metric in METRICS.values():
            cells = state.series(metric.name)
            if cells:
                yield _family(metric, sorted(cells.items(), key=_by_key))


def _by_key(item: tuple[Key, Cell]) -> Key:
    return item[0]


def _family(metric: Metric, series: list[tuple[Key, Cell]]) -> Family:
    name = prometheus_name(metric.name, metric.kind, metric.unit)
    labels = [label.prometheus for label in metric.labels]
    family: Family
    if metric.kind == "histogram":
        family = HistogramMetricFamily(name, metric.description, labels=labels)
        for key, cell in series:
            if isinstance(cell, Histogram):
                _histogram(family, list(key), cell)
        return family
    family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
        name, metric.description, labels=labels
    )
    for key, cell in series:
        if not isinstance(cell, Histogram):
            family.add_metric(list(key), cell)
    return family


def _histogram(family: HistogramMetricFamily, key: list[str], cell: Histogram) -> None:
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    running = 0
    for index, count in enumerate(cell.counts):
        running += count
        edge = str(floatToGoString(cell.edges[index])) if index < len(cell.edges) else "+Inf"  # type: ignore[no-untyped-call]
        held = cell.exemplars.get(index)
        if held is None:
            buckets.append((edge, running))
        else:
            exemplar = Exemplar({"trace_id": held[1], "span_id": held[2]}, held[0], held[3])
            buckets.append((edge, running, exemplar))
    family.add_metric(key, buckets, sum_value=cell.sum)
