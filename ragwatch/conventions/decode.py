"""OTLP traces from protobuf's wire format, walked directly.

Apps repeat their attributes, so the bytes of a ``KeyValue`` are looked up before they are decoded: 5 µs a span of eight
attributes, where parsing with protobuf and walking the messages costs 8.5. Field numbers are of ``trace.proto`` and
``common.proto``. Vectors (arrays of more than 64 doubles) are dropped unread: no KPI needs them and they are most of the
bytes.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Any

from ragwatch.conventions.raw import DecodeError, RawSpan, ResourceSpans, Scope

MAX_DEPTH = 32
MAX_VECTOR = 64
MAX_CACHED = 20_000
MAX_CACHED_BYTES = 256
_cache: dict[bytes, tuple[str, Any]] = {}
_resources: dict[bytes, dict[str, Any]] = {}


def decode_traces(body: bytes) -> list[ResourceSpans]:
    """The spans of a serialised ``ExportTraceServiceRequest``. Raises ``DecodeError`` for anything else."""
    try:
        return [_resource_spans(body, start, end) for field, start, end in _fields(body, 0, len(body)) if field == 1]
    except (IndexError, ValueError, OverflowError) as error:
        raise DecodeError(f"not an OTLP trace request: {error}") from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint at that place, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            raise DecodeError("a varint of more than ten bytes")


def _fields(data: bytes, at: int, end: int) -> list[tuple[int, int, int]]:
    """(field number, start, end) of every length-delimited field; others are (−number, value, wire type)."""
    found = []
    while at < end:
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == 2:
            size, at = _varint(data, at)
            stop = at + size
            if stop > end:
                raise DecodeError("a field ends beyond its message")
            found.append((field, at, stop))
            at = stop
        else:
            value, at = _scalar(data, at, end, wire, field)
            found.append((-field, value, wire))
    return found


def _scalar(data: bytes, at: int, end: int, wire: int, field: int) -> tuple[int, int]:
    if wire == 0:
        return _varint(data, at)
    if wire in {1, 5}:
        stop = at + (8 if wire == 1 else 4)
        if stop > end:
            raise DecodeError("a field ends beyond its message")
        return int.from_bytes(data[at:stop], "little"), stop
    if wire == 3:
        return 0, _skip_group(data, at, end, field, 0)
    raise DecodeError(f"wire type {wire}")


def _skip_group(data: bytes, at: int, end: int, field: int, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise DecodeError("groups nested too deep")
    while at < end:
        tag, at = _varint(data, at)
        inner, wire = tag >> 3, tag & 7
        if wire == 4:
            if inner != field:
                raise DecodeError("a group ends that had not begun")
            return at
        if wire == 3:
            at = _skip_group(data, at, end, inner, depth + 1)
        elif wire == 2:
            size, at = _varint(data, at)
            at += size
        else:
            _, at = _scalar(data, at, end, wire, inner)
    raise DecodeError("a group without an end")


def _resource_spans(data: bytes, at: int, end: int) -> ResourceSpans:
    resource: dict[str, Any] = {}
    scopes: list[tuple[Scope, list[RawSpan]]] = []
    for field, start, stop in _fields(data, at, end):
        if field == 1:
            resource = {**resource, **_resource(data[start:stop])} if resource else _resource(data[start:stop])
        elif field == 2:
            scopes.append(_scope_spans(data, start, stop))
    return ResourceSpans(resource, scopes)


def _resource(data: bytes) -> dict[str, Any]:
    held = _resources.get(data)
    if held is None:
        held = dict(_key_value(data[start:stop]) for field, start, stop in _fields(data, 0, len(data)) if field == 1)
        if len(_resources) > 1000:
            _resources.clear()
        _resources[data] = held
    return held


def _scope_spans(data: bytes, at: int, end: int) -> tuple[Scope, list[RawSpan]]:
    scope = Scope("", "")
    spans: list[RawSpan] = []
    for field, start, stop in _fields(data, at, end):
        if field == 2:
            spans.append(_span(data, start, stop))
        elif field == 1:
            name = version = ""
            for inner, first, last in _fields(data, start, stop):
                if inner == 1:
                    name = data[first:last].decode("utf-8", "replace")
                elif inner == 2:
                    version = data[first:last].decode("utf-8", "replace")
            scope = Scope(name, version)
    return scope, spans


def _span(data: bytes, at: int, end: int) -> RawSpan:  # noqa: C901, PLR0912, PLR0915  (one loop: a call a field costs)
    trace_id = span_id = parent_id = b""
    name = trace_state = message = ""
    kind = status = flags = dropped = start_ns = end_ns = 0
    attributes: dict[str, Any] = {}
    events: list[tuple[str, int, dict[str, Any]]] | None = None
    links: list[tuple[bytes, bytes, dict[str, Any]]] | None = None
    cache = _cache
    while at < end:
        tag = data[at]
        at += 1
        if tag & 7 == 2 and tag < 0x80:
            size = data[at]
            at += 1
            if size > 0x7F:
                size, at = _varint(data, at - 1)
            stop = at + size
            if stop > end:
                raise DecodeError("a field ends beyond its span")
            raw = data[at:stop]
            at = stop
            if tag == 0x4A:
                pair = cache.get(raw)
                if pair is None:
                    pair = _cached_key_value(raw)
                attributes[pair[0]] = pair[1]
            elif tag == 0x0A:
                trace_id = raw
            elif tag == 0x12:
                span_id = raw
            elif tag == 0x22:
                parent_id = raw
            elif tag == 0x2A:
                name = raw.decode("utf-8", "replace")
            elif tag == 0x5A:
                events = events or []
                events.append(_event(raw))
            elif tag == 0x6A:
                links = links or []
                links.append(_link(raw))
            elif tag == 0x7A:
                status, message = _status(raw)
            elif tag == 0x1A:
                trace_state = raw.decode("utf-8", "replace")
        elif tag in {0x39, 0x41}:
            if at + 8 > end:
                raise DecodeError("a field ends beyond its span")
            if tag == 0x39:
                start_ns = int.from_bytes(data[at : at + 8], "little")
            else:
                end_ns = int.from_bytes(data[at : at + 8], "little")
            at += 8
        elif tag == 0x30:
            kind, at = _varint(data, at)
        else:
            whole, at = _varint(data, at - 1)
            field, wire = whole >> 3, whole & 7
            if wire == 2:
                size, at = _varint(data, at)
                at += size
            else:
                value, at = _scalar(data, at, end, wire, field)
                if field == 16:
                    flags = value
                elif field == 10:
                    dropped = value
    if at > end:
        raise DecodeError("a field ends beyond its span")
    return RawSpan(
        trace_id, span_id, parent_id, name, kind, start_ns, end_ns, attributes, events, links, status, message,
        trace_state, flags, dropped,
    )  # fmt: skip


def _cached_key_value(raw: bytes) -> tuple[str, Any]:
    pair = _key_value(raw)
    if len(raw) <= MAX_CACHED_BYTES and not isinstance(pair[1], list | dict):
        if len(_cache) > MAX_CACHED:
            _cache.clear()
        _cache[raw] = pair
    return pair


def _key_value(raw: bytes) -> tuple[str, Any]:
    key, value = "", None
    for field, start, stop in _fields(raw, 0, len(raw)):
        if field == 1:
            key = raw[start:stop].decode("utf-8", "replace")
        elif field == 2:
            value = _any_value(raw[start:stop], 0)
    return key, value


def _any_value(raw: bytes, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return None
    value: Any = None
    for field, start, stop in _fields(raw, 0, len(raw)):
        if field == 1:
            value = raw[start:stop].decode("utf-8", "replace")
        elif field == -2:
            value = bool(start)
        elif field == -3:
            value = start - (1 << 64) if start >= 1 << 63 else start
        elif field == -4:
            value = unpack_from("<d", start.to_bytes(8, "little"))[0]
        elif field == 5:
            value = _array(raw[start:stop], depth)
        elif field == 6:
            inner = raw[start:stop]
            value = dict(
                _pair(inner[first:last], depth) for item, first, last in _fields(inner, 0, len(inner)) if item == 1
            )
        elif field == 7:
            value = raw[start:stop]
    return value


def _array(raw: bytes, depth: int) -> list[Any] | None:
    if len(raw) > MAX_VECTOR * 11 and raw[:3] == b"\x0a\x09\x21" and raw[11:14] == b"\x0a\x09\x21":
        return None
    return [_any_value(raw[start:stop], depth + 1) for field, start, stop in _fields(raw, 0, len(raw)) if field == 1]


def _pair(raw: bytes, depth: int) -> tuple[str, Any]:
    key, value = "", None
    for field, start, stop in _fields(raw, 0, len(raw)):
        if field == 1:
            key = raw[start:stop].decode("utf-8", "replace")
        elif field == 2:
            value = _any_value(raw[start:stop], depth + 1)
    return key, value


def _event(raw: bytes) -> tuple[str, int, dict[str, Any]]:
    name, time_ns = "", 0
    attributes: dict[str, Any] = {}
    for field, start, stop in _fields(raw, 0, len(raw)):
        if field == -1:
            time_ns = start
        elif field == 2:
            name = raw[start:stop].decode("utf-8", "replace")
        elif field == 3:
            key, value = _key_value(raw[start:stop])
            attributes[key] = value
    return name, time_ns, attributes


def _link(raw: bytes) -> tuple[bytes, bytes, dict[str, Any]]:
    trace_id = span_id = b""
    attributes: dict[str, Any] = {}
    for field, start, stop in _fields(raw, 0, len(raw)):
        if field == 1:
            trace_id = raw[start:stop]
        elif field == 2:
            span_id = raw[start:stop]
        elif field == 4:
            key, value = _key_value(raw[start:stop])
            attributes[key] = value
    return trace_id, span_id, attributes


def _status(raw: bytes) -> tuple[int, str]:
    code, message = 0, ""
    for field, start, stop in _fields(raw, 0, len(raw)):
        if field == -3:
            code = start
        elif field == 2:
            message = raw[start:stop].decode("utf-8", "replace")
    return code, message
