"""OTLP traces from protobuf to plain values, for the agent's pipeline.

protobuf's C parser cuts a request into spans and attributes (``wire_schema``); attributes, resources, scopes and names
that came before are looked up by their bytes. 3.5 µs a span with eight attributes, where ``opentelemetry.proto`` and a
walk over every attribute cost 7. Every legal encoding is read as protobuf reads it; hostile bytes raise
``DecodeError`` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.unknown_fields import UnknownFieldSet

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.wire_bounds import Swollen, check_bounds
from ragwatch.conventions.wire_schema import message_class

__all__ = ["DecodeError", "RawSpan", "ResourceSpans", "Scope", "decode_traces"]
MAX_CACHED = 8192
MAX_CACHED_LENGTH = 256
MAX_DEPTH = 32
MAX_DOUBLES = 64
"""An array of more doubles is an embedding vector: nothing here reads it, and it would cost 0.1 µs a number."""


MAX_STRUCTURE_BYTES = 256 * 1024
"""An array or mapping of more bytes is left out too: nothing here reads it, and it would take 30 times the memory."""


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


_TRACE_STATE, _DROPPED, _EVENT, _LINK, _STATUS = 3, 10, 11, 13, 15
_VARINT, _LENGTH_DELIMITED = 0, 2
_parse_request: Callable[[bytes], Any] = message_class("Request").FromString
_parse_resource: Callable[[bytes], Any] = message_class("Resource").FromString
_parse_scope: Callable[[bytes], Any] = message_class("Scope").FromString
_parse_event: Callable[[bytes], Any] = message_class("Event").FromString
_parse_link: Callable[[bytes], Any] = message_class("Link").FromString
_parse_status: Callable[[bytes], Any] = message_class("Status").FromString
_parse_key_value: Callable[[bytes], Any] = message_class("KeyValue").FromString
_parse_flat_key_value: Callable[[bytes], Any] = message_class("FlatKeyValue").FromString
_parse_flat_value: Callable[[bytes], Any] = message_class("FlatAnyValue").FromString
_parse_flat_list: Callable[[bytes], Any] = message_class("FlatList").FromString
_unpack_double = Struct("<d").unpack
_new_span = tuple.__new__


def decode_traces(body: bytes) -> list[ResourceSpans]:
    """The spans of an ``ExportTraceServiceRequest`` in protobuf; ``DecodeError`` where it is none.

    >>> decode_traces(b"")
    []
    """
    try:
        check_bounds(body)
        return [
            ResourceSpans(
                _resource(b"".join(group.resource)),
                [(_scope(b"".join(inner.scope)), _spans(inner.spans)) for inner in group.scope_spans],
            )
            for group in _parse_request(body).resource_spans
        ]
    except (ProtobufError, Swollen) as error:
        raise DecodeError(f"no OTLP traces in protobuf: {error}") from error


def _spans(messages: Any) -> list[RawSpan]:
    found = []
    names, attributes = _names, _attributes
    for span in messages:
        rare = UnknownFieldSet(span)
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
                    names[span.name],
                    span.kind,
                    span.start,
                    span.end,
                    dict(map(attributes, span.attributes)),
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
                events.append((_names[event.name], event.time, dict(map(_attributes, event.attributes))))
            elif number == _STATUS:
                status.append(field.data)
            elif number == _LINK:
                link = _parse_link(field.data)
                links.append(
                    (link.trace_id, link.span_id, _text(link.trace_state), dict(map(_attributes, link.attributes)))
                )
            elif number == _TRACE_STATE:
                trace_state = _text(field.data)
        elif number == _DROPPED and wire_type == _VARINT:
            dropped = field.data & 0xFFFF_FFFF
    if not status:
        return events or None, links or None, 0, "", trace_state, dropped
    parsed = _parse_status(b"".join(status))
    return events or None, links or None, parsed.code, _text(parsed.message), trace_state, dropped


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


class _Names(dict[bytes, str]):
    def __missing__(self, raw: bytes) -> str:
        name = raw.decode("utf-8", "replace")
        if len(raw) <= MAX_CACHED_LENGTH:
            if len(self) >= MAX_CACHED:
                self.clear()
            self[raw] = name
        return name


class _Attributes(dict[bytes, tuple[str, Any]]):
    """The (key, value) of an encoded ``KeyValue``. What is kept is shared, hence immutable: no mappings."""

    def __missing__(self, raw: bytes) -> tuple[str, Any]:
        item = (_short(raw) if len(raw) < 128 else None) or _key_value(raw)
        value = item[1]
        if len(raw) <= MAX_CACHED_LENGTH and type(value) is not float and _is_immutable(value):  # scores do not repeat
            if len(self) >= MAX_CACHED:
                self.clear()
            self[raw] = item
        return item


_names = _Names()
_known = _Attributes()
_attributes = _known.__getitem__
_resources: dict[bytes, dict[str, Any]] = {}
_scopes: dict[bytes, Scope] = {}


def _resource(raw: bytes) -> dict[str, Any]:
    held = _resources.get(raw)
    if held is None:
        held = dict(map(_attributes, _parse_resource(raw).attributes))
        if len(raw) <= 16 * MAX_CACHED_LENGTH:
            if len(_resources) >= 256:
                _resources.clear()
            _resources[raw] = held
    return held.copy()


def _scope(raw: bytes) -> Scope:
    held = _scopes.get(raw)
    if held is None:
        scope = _parse_scope(raw)
        held = Scope(_text(scope.name), _text(scope.version))
        if len(raw) <= 16 * MAX_CACHED_LENGTH:
            if len(_scopes) >= 256:
                _scopes.clear()
            _scopes[raw] = held
    return held


def _is_immutable(value: Any) -> bool:
    kind = type(value)
    return kind is not dict and (kind is not tuple or all(map(_is_immutable, value)))


def _short(raw: bytes) -> tuple[str, Any] | None:
    """A string or a double in the usual form (key, value, lengths of one byte): half of what parsing it costs."""
    size = len(raw)
    if size < 6 or raw[0] != 0x0A:
        return None
    start = raw[1] + 4  # of the AnyValue
    if start + 1 >= size or raw[start - 2] != 0x12 or raw[start - 1] != size - start:
        return None
    if raw[start] == 0x21 and size == start + 9:
        return _names[raw[2 : start - 2]], _unpack_double(raw[start + 1 :])[0]
    if raw[start] == 0x0A and raw[start + 1] == size - start - 2:
        return _names[raw[2 : start - 2]], raw[start + 2 :].decode("utf-8", "replace")
    return None


def _key_value(raw: bytes) -> tuple[str, Any]:
    if len(raw) > 11 * MAX_DOUBLES:
        flat = _parse_flat_key_value(raw)
        if _is_left_out(b"".join(flat.value)):
            return _text(flat.key), None
    try:
        item = _parse_key_value(raw)
    except ProtobufError:  # malformed, or nested deeper than protobuf goes (100): then what lies above is still good
        flat = _parse_flat_key_value(raw)
        return _text(flat.key), _flat_value(b"".join(flat.value), 0)
    return _names[item.key], _value(item.value, 0)


def _value(message: Any, depth: int) -> Any:
    held = message.WhichOneof("held")
    if held is None or depth > MAX_DEPTH:
        return None
    if held == "string":
        return message.string.decode("utf-8", "replace")
    value = getattr(message, held)
    if held == "array":
        return _array(tuple([_value(item, depth + 1) for item in value.values]))
    if held == "kvlist":
        return {_text(item.key): _value(item.value, depth + 1) for item in value.values}
    return value


def _array(values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if len(values) > MAX_DOUBLES and all(type(value) is float for value in values):
        return None
    return values


def _flat_value(raw: bytes, depth: int) -> Any:
    """A value read one level at a time, so that depth costs no more than depth."""
    if depth > MAX_DEPTH:
        return None
    message = _parse_flat_value(raw)
    held = message.WhichOneof("held")
    if held == "array":
        return _array(tuple([_flat_value(item, depth + 1) for item in _parse_flat_list(message.array).values]))
    if held == "kvlist":
        items = [_parse_flat_key_value(item) for item in _parse_flat_list(message.kvlist).values]
        return {_text(item.key): _flat_value(b"".join(item.value), depth + 1) for item in items}
    return _value(message, depth)


def _is_left_out(raw: bytes) -> bool:
    """Whether it is too big, or doubles only as every encoder writes them: each eleven bytes begin alike."""
    message = _parse_flat_value(raw)
    if len(message.array) + len(message.kvlist) > MAX_STRUCTURE_BYTES:
        return True
    array = message.array
    count, rest = divmod(len(array), 11)
    return (
        rest == 0
        and count > MAX_DOUBLES
        and array[0::11] == b"\x0a" * count
        and array[1::11] == b"\x09" * count
        and array[2::11] == b"\x21" * count
    )
