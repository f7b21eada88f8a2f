"""A state as cumulative OTLP metrics with exemplars; ``otlp_in`` reads them back.

Out goes through opentelemetry's own metric types, so that any of its exporters can send them. Every point carries
``service`` and ``environment`` as attributes: the series are the same whether Prometheus scrapes them or a collector
hands them on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics import export as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ragwatch import __version__, semconv
from ragwatch.catalogue import METRICS, Metric
from ragwatch.kpi.state import Cell, Histogram, State

_CUMULATIVE: Final = otel.AggregationTemporality.CUMULATIVE


def to_metrics(state: State, resource: Resource, *, start_ns: int, now_ns: int) -> otel.MetricsData:
    """The state as one export of OpenTelemetry's metric types."""
    metrics = [
        _to_metric(METRICS[name], cells.items(), start_ns, now_ns)
        for name, cells in state.metrics.items()
        if cells and name in METRICS
    ]
    scope = otel.ScopeMetrics(InstrumentationScope(semconv.SCOPE_NAME, __version__), metrics, "")
    return otel.MetricsData([otel.ResourceMetrics(resource, [scope], resource.schema_url)])


def to_request(state: State, resource: Resource, *, start_ns: int, now_ns: int) -> bytes:
    """The state as the bytes of an ``ExportMetricsServiceRequest``."""
    data = to_metrics(state, resource, start_ns=start_ns, now_ns=now_ns)
    return encode_metrics(data).SerializeToString()


def _to_metric(
    metric: Metric, series: Iterable[tuple[tuple[str, ...], Cell]], start_ns: int, now_ns: int
) -> otel.Metric:
    names = metric.label_names
    numbers: list[otel.NumberDataPoint] = []
    histograms: list[otel.HistogramDataPoint] = []
    for key, cell in list(series):
        attributes = {name: value for name, value in zip(names, key, strict=True) if value}
        if isinstance(cell, Histogram):
            histograms.append(_to_histogram(attributes, cell, start_ns, now_ns))
        else:
            numbers.append(otel.NumberDataPoint(attributes, start_ns, now_ns, cell))
    data: otel.DataT
    if metric.kind == "histogram":
        data = otel.Histogram(histograms, _CUMULATIVE)
    elif metric.kind == "counter":
        data = otel.Sum(numbers, _CUMULATIVE, is_monotonic=True)
    else:
        data = otel.Gauge(numbers)
    return otel.Metric(metric.name, metric.description, metric.unit, data)


def _to_histogram(attributes: dict[str, str], cell: Histogram, start_ns: int, now_ns: int) -> otel.HistogramDataPoint:
    exemplars = [
        Exemplar({}, value, round(time_s * 1e9), int(span_id, 16), int(trace_id, 16))
        for value, trace_id, span_id, time_s in list(cell.exemplars.values())
    ]
    counts = cell.counts[:]
    return otel.HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=start_ns,
        time_unix_nano=now_ns,
        count=sum(counts),
        sum=cell.sum,
        bucket_counts=counts,
        explicit_bounds=cell.edges,
        min=_unknown(),
        max=_unknown(),
        exemplars=exemplars,
    )


def _unknown() -> Any:
    """Minimum and maximum are optional in OTLP; the engine keeps neither."""
    return None
