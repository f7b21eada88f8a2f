"""Between ragwatch's spans and the SDK's ``ReadableSpan``, both ways; loaded only where one is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, TraceFlags, TraceState

from ragwatch.sdk.span import _STATUS_NUMBERS as STATUS_NUMBERS
from ragwatch.sdk.wire import REMOTE, REMOTE_KNOWN


def to_readable(span: Any, attributes: Mapping[str, Any], resource: Resource) -> ReadableSpan:
    """A real ``ReadableSpan`` with what the span exports."""
    events = [Event(name, dict(found or {}), time_ns) for name, time_ns, found, _ in span.event_list or ()]
    links = [
        Link(
            SpanContext(
                trace_id, span_id, bool(flags & REMOTE), TraceFlags(flags & 0xFF), TraceState.from_header([state])
            ),
            dict(found or {}),
        )
        for trace_id, span_id, state, found, _, flags in span.link_list or ()
    ]
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=resource,
        attributes=attributes,
        events=events,
        links=links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_ns,
        end_time=span.end_ns or None,
        instrumentation_scope=span.scope,
    )


class ForeignSpan:
    """A ``ReadableSpan`` of the SDK, as the encoder reads spans."""

    __slots__ = (
        "attribute_map", "dropped_attributes", "dropped_events", "dropped_links", "end_ns", "epoch", "event_list",
        "flags", "kind_number", "link_list", "name", "node", "parent_remote", "parent_span_id", "scope", "span_id",
        "start_ns", "status_message", "status_number", "taken", "trace_id", "trace_state_header",
    )  # fmt: skip
    step = None
    document_list = None

    def __init__(self, span: ReadableSpan, epoch: object) -> None:
        self.epoch = epoch
        self.taken = False
        self.node: Any = None
        context = span.context
        self.name = span.name
        self.kind_number = span.kind.value + 1
        self.trace_id = context.trace_id if context else 0
        self.span_id = context.span_id if context else 0
        self.parent_span_id = span.parent.span_id if span.parent else 0
        self.flags = int(context.trace_flags) if context else 0
        self.trace_state_header = context.trace_state.to_header() if context and context.trace_state else ""
        self.start_ns = span.start_time or 0
        self.end_ns = span.end_time or 0
        self.attribute_map = dict(span.attributes or {})
        self.parent_remote = bool(span.parent and span.parent.is_remote)
        self.event_list = [
            (event.name, event.timestamp, event.attributes, event.dropped_attributes) for event in span.events
        ]
        self.link_list = [
            (link.context.trace_id, link.context.span_id, link.context.trace_state.to_header(), link.attributes,
             link.dropped_attributes,
             int(link.context.trace_flags) | REMOTE_KNOWN | (REMOTE if link.context.is_remote else 0))
            for link in span.links
        ]  # fmt: skip
        self.status_number = STATUS_NUMBERS[span.status.status_code]
        self.status_message = span.status.description or ""
        self.dropped_attributes = span.dropped_attributes
        self.dropped_events = span.dropped_events
        self.dropped_links = span.dropped_links
        self.scope = span.instrumentation_scope
