"""OTLP requests for tests, written as Python values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import time_ns
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP has it.

    >>> any_value(["a", 1]).array_value.values[1].int_value
    1
    """
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
    return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes as OTLP has them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span(
    attributes: Mapping[str, Any] | None = None,
    *,
    name: str = "query",
    trace_id: bytes | None = None,
    parent: bytes = b"",
    error: str | None = None,
    duration_s: float = 0.01,
    events: Mapping[str, Mapping[str, Any]] | None = None,
) -> Span:
    """A span that ended now; with ``error`` its status is an error with that message."""
    end_ns = time_ns()
    found = Span(
        trace_id=trace_id or os.urandom(16),
        span_id=os.urandom(8),
        parent_span_id=parent,
        name=name,
        start_time_unix_nano=end_ns - int(duration_s * 1e9),
        end_time_unix_nano=end_ns,
        attributes=key_values(attributes or {}),
        events=[Span.Event(name=key, attributes=key_values(held)) for key, held in (events or {}).items()],
    )
    if error is not None:
        found.status.code, found.status.message = 2, error  # type: ignore[assignment]
    return found


def traces(*spans: Span, scope: str = "ragwatch", resource: Mapping[str, Any] | None = None) -> bytes:
    """A request with these spans, serialised."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(key_values({"service.name": "bot", **(resource or {})}))
    scoped = group.scope_spans.add()
    scoped.scope.name = scope
    scoped.spans.extend(spans)
    return request.SerializeToString()


def logs(
    *bodies: Any, scope: str = "ragwatch", attributes: Mapping[str, Any] | None = None, event_name: str = ""
) -> bytes:
    """A request with a record for each body, serialised."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(key_values({"service.name": "bot"}))
    scoped = group.scope_logs.add()
    scoped.scope.name = scope
    for body in bodies:
        scoped.log_records.add(
            time_unix_nano=time_ns(),
            body=any_value(body),
            attributes=key_values(attributes or {}),
            event_name=event_name,
        )
    return request.SerializeToString()
