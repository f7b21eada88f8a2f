"""OTLP traces from protobuf to plain values, for the agent's pipeline.

protobuf's C parser cuts a request into spans and attributes (``wire_schema``); attributes, resources, scopes and names
that came before are looked up by their bytes. 3.5 µs a span with eight attributes, where ``opentelemetry.proto`` and a
walk over every attribute cost 7. Every legal encoding is read as protobuf reads it; hostile bytes raise
``DecodeError`` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.unknown_fields import UnknownFieldSet

from ragwatch.conventions.own_wire import OwnTrace, is_foreign, take
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.wire_bounds import Swollen, check_bounds
from ragwatch.conventions.wire_schema import message_class
from ragwatch.conventions.wire_values import MAX_CACHED_LENGTH, attributes, names, text_of

__all__ = ["DecodeError", "RawSpan", "ResourceSpans", "ResourceSteps", "Scope", "decode_steps", "decode_traces"]
MAX_RESOURCES = 256


class DecodeError(ValueError):
    """A body that is not what it says."""


class Scope(NamedTuple):
    """An instrumentation scope."""

    name: str
    version: str


class ResourceSpans(NamedTuple):
    """The spans of one resource, by scope."""

    resource: dict[str, Any]
    scopes: list[tuple[Scope, list[RawSpan]]]


class ResourceSteps(NamedTuple):
    """The spans of one resource: ragwatch's own as steps, others by scope."""

    resource: dict[str, Any]
    own: list[OwnTrace]
    scopes: list[tuple[Scope, list[RawSpan]]]


_TRACE_STATE, _DROPPED, _EVENT, _LINK, _STATUS = 3, 10, 11, 13, 15
_VARINT, _LENGTH_DELIMITED = 0, 2
_parse_request: Callable[[bytes], Any] = message_class("Request").FromString
_parse_resource: Callable[[bytes], Any] = message_class("Resource").FromString
_parse_scope: Callable[[bytes], Any] = message_class("Scope").FromString
_parse_event: Callable[[bytes], Any] = message_class("Event").FromString
_parse_link: Callable[[bytes], Any] = message_class("Link").FromString
_parse_status: Callable[[bytes], Any] = message_class("Status").FromString
_new_span = tuple.__new__
_attribute = attributes.__getitem__


def decode_traces(body: bytes) -> list[ResourceSpans]:
    """The spans of an ``ExportTraceServiceRequest`` in protobuf; ``DecodeError`` where it is none.

    >>> decode_traces(b"")
    []
    """
    with _refusing():
        return [
            ResourceSpans(resource, [(scope, _spans(messages)) for scope, messages in groups])
            for resource, groups in _cut(body)
        ]


def decode_steps(body: bytes) -> list[ResourceSteps]:
    """The same with ragwatch's own spans as steps already; only others are left among the spans of the scopes."""
    found = []
    with _refusing():
        for resource, groups in _cut(body):
            own: dict[bytes, OwnTrace] = {}
            scopes = [(scope, _spans(messages, own)) for scope, messages in groups]
            found.append(ResourceSteps(resource, list(own.values()), scopes))
    return found


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (ProtobufError, Swollen) as error:
        raise DecodeError(f"no OTLP traces in protobuf: {error}") from error


def _cut(body: bytes) -> list[tuple[dict[str, Any], list[tuple[Scope, Any]]]]:
    """Each resource with its scopes and their messages of spans."""
    check_bounds(body)
    return [
        (
            _resource(b"".join(group.resource)),
            [(_scope(b"".join(inner.scope)), inner.spans) for inner in group.scope_spans],
        )
        for group in _parse_request(body).resource_spans
    ]


def _spans(messages: Any, own: dict[bytes, OwnTrace] | None = None) -> list[RawSpan]:
    """The spans as they came; those of ragwatch's go into ``own`` instead where it is given."""
    found = []
    name_of = names.__getitem__
    for span in messages:
        rare = UnknownFieldSet(span)
        encoded = span.attributes[:]
        if own is not None and not is_foreign(encoded):
            take(span, encoded, _rare_fields(rare) if len(rare) else None, own)
            continue
        events = links = None
        code = dropped = 0
        message = trace_state = ""
        if len(rare):
            events, links, code, message, trace_state, dropped = _rare_fields(rare)
        found.append(
            _new_span(
                RawSpan,
                (
                    span.trace_id,
                    span.span_id,
                    span.parent_span_id,
                    name_of(span.name),
                    span.kind,
                    span.start,
                    span.end,
                    dict(map(_attribute, encoded)),
                    events,
                    links,
                    code,
                    message,
                    trace_state,
                    span.flags,
                    dropped,
                ),
            )
        )
    return found


def _rare_fields(fields: Any) -> tuple[Any, Any, int, str, str, int]:
    events: list[tuple[str, int, dict[str, Any]]] = []
    links: list[tuple[bytes, bytes, str, dict[str, Any]]] = []
    status: list[bytes] = []
    trace_state = ""
    dropped = 0
    for field in fields:
        number, wire_type = field.field_number, field.wire_type
        if wire_type == _LENGTH_DELIMITED:
            if number == _EVENT:
                event = _parse_event(field.data)
                events.append((names[event.name], event.time, dict(map(_attribute, event.attributes))))
            elif number == _STATUS:
                status.append(field.data)
            elif number == _LINK:
                link = _parse_link(field.data)
                links.append(
                    (
                        link.trace_id,
                        link.span_id,
                        text_of(link.trace_state),
                        dict(map(_attribute, link.attributes)),
                    )
                )
            elif number == _TRACE_STATE:
                trace_state = text_of(field.data)
        elif number == _DROPPED and wire_type == _VARINT:
            dropped = field.data & 0xFFFF_FFFF
    if not status:
        return events or None, links or None, 0, "", trace_state, dropped
    parsed = _parse_status(b"".join(status))
    return events or None, links or None, parsed.code, text_of(parsed.message), trace_state, dropped


_resources: dict[bytes, dict[str, Any]] = {}
_scopes: dict[bytes, Scope] = {}


def _resource(raw: bytes) -> dict[str, Any]:
    held = _resources.get(raw)
    if held is None:
        held = dict(map(_attribute, _parse_resource(raw).attributes))
        if len(raw) <= 16 * MAX_CACHED_LENGTH:
            if len(_resources) >= MAX_RESOURCES:
                _resources.clear()
            _resources[raw] = held
    return held.copy()


def _scope(raw: bytes) -> Scope:
    held = _scopes.get(raw)
    if held is None:
        scope = _parse_scope(raw)
        held = Scope(text_of(scope.name), text_of(scope.version))
        if len(raw) <= 16 * MAX_CACHED_LENGTH:
            if len(_scopes) >= MAX_RESOURCES:
                _scopes.clear()
            _scopes[raw] = held
    return held
