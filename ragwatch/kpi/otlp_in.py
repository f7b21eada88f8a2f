"""OTLP metrics and logs as they come in: the states that ``otlp`` wrote, exactly; and how much a request holds.

Apart from ``otlp``, since opentelemetry's SDK, which only writing needs, would take 7 MB of the agent's pipeline.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ragwatch import semconv
from ragwatch.catalogue import METRICS, Metric
from ragwatch.kpi.state import Cell, Histogram, State, Stream

_PROTO_CUMULATIVE: Final = 2


def from_request(body: bytes) -> list[tuple[Stream, State, int]]:
    """What ragwatch's own scope says in an ``ExportMetricsServiceRequest``: for each process a state, and when it was.

    Other scopes' metrics, metrics that the catalogue does not know, and points that are not cumulative are left out.
    Raises ``google.protobuf.message.DecodeError`` for bytes that are no such request.
    """
    request = ExportMetricsServiceRequest.FromString(body)
    found: dict[Stream, State] = {}
    measured: dict[Stream, int] = {}
    for resource_metrics in request.resource_metrics:
        resource = {item.key: item.value.string_value for item in resource_metrics.resource.attributes}
        known = [
            (METRICS[metric.name], metric)
            for scope_metrics in resource_metrics.scope_metrics
            if scope_metrics.scope.name == semconv.SCOPE_NAME
            for metric in scope_metrics.metrics
            if metric.name in METRICS
        ]
        if not known:
            continue
        stream = Stream(
            resource.get(semconv.SERVICE_INSTANCE_ID, ""), _began(known), resource.get(semconv.SERVICE_NAME, "")
        )
        state = found.setdefault(stream, State())
        measured[stream] = max(measured.get(stream, 0), _measured(known))
        for declared, metric in known:
            _take(declared, metric, state)
    return [(stream, state, measured[stream]) for stream, state in found.items()]


def data_points(body: bytes) -> int:
    """How many points an ``ExportMetricsServiceRequest`` holds."""
    request = ExportMetricsServiceRequest.FromString(body)
    return sum(
        len(getattr(metric, kind).data_points)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if (kind := metric.WhichOneof("data"))
    )


def log_records(body: bytes) -> int:
    """How many records an ``ExportLogsServiceRequest`` holds."""
    request = ExportLogsServiceRequest.FromString(body)
    return sum(len(scope.log_records) for resource in request.resource_logs for scope in resource.scope_logs)


def _began(metrics: list[tuple[Metric, Any]]) -> int:
    """When the process began to count: gauges carry no start, so its counters and histograms say."""
    starts = (point.start_time_unix_nano for declared, metric in metrics for point in _points(declared, metric))
    return max(starts, default=0)


def _measured(metrics: list[tuple[Metric, Any]]) -> int:
    times = (point.time_unix_nano for declared, metric in metrics for point in _points(declared, metric))
    return max(times, default=0)


def _points(declared: Metric, metric: Any) -> Any:
    if declared.kind == "gauge":
        return ()
    return (metric.histogram if declared.kind == "histogram" else metric.sum).data_points


def _take(declared: Metric, metric: Any, state: State) -> None:
    kind = metric.WhichOneof("data")
    expected = {"counter": "sum", "gauge": "gauge", "histogram": "histogram"}[declared.kind]
    if kind != expected:
        return
    data = getattr(metric, kind)
    if kind != "gauge" and data.aggregation_temporality != _PROTO_CUMULATIVE:
        return
    for point in data.data_points:
        held = {item.key: item.value.string_value for item in point.attributes}
        key = tuple(held.get(label, "") for label in declared.label_names)
        cell: Cell
        if kind == "histogram":
            if tuple(point.explicit_bounds) != declared.buckets:
                continue
            cell = _from_histogram(declared, point)
        else:
            cell = float(point.as_int) if point.WhichOneof("value") == "as_int" else point.as_double
        state.add_cell(declared, key, cell)


def _from_histogram(declared: Metric, point: Any) -> Histogram:
    cell = Histogram(declared.buckets)
    cell.counts = [int(count) for count in point.bucket_counts]
    cell.sum = point.sum
    for exemplar in point.exemplars:
        value = exemplar.as_double
        index = next((i for i, edge in enumerate(cell.edges) if value <= edge), len(cell.edges))
        cell.exemplars[index] = (value, exemplar.trace_id.hex(), exemplar.span_id.hex(), exemplar.time_unix_nano / 1e9)
    return cell
