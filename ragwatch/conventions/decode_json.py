"""OTLP/JSON: traces to the values of ``decode``, and any signal to protobuf.

OTLP's JSON is proto3's with exceptions (specification, "OTLP/HTTP, JSON Protobuf Encoding"): ids are hex of any case,
unknown fields are ignored. Read leniently where clients are known to differ: enums by name, 64-bit numbers as numbers.
"""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from sys import intern
from typing import TYPE_CHECKING, Any, Final, Literal

from ragwatch.conventions.decode import DecodeError, RawSpan, ResourceSpans, Scope
from ragwatch.conventions.wire_values import MAX_DEPTH, MAX_DOUBLES

if TYPE_CHECKING:
    from google.protobuf.message import Message

Signal = Literal["traces", "metrics", "logs"]
_ROOTS: Final[dict[Signal, str]] = {"traces": "resourceSpans", "metrics": "resourceMetrics", "logs": "resourceLogs"}
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
_KINDS: Final = {
    f"SPAN_KIND_{name}": number
    for number, name in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"))
}
_CODES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_BAD_VALUES: Final = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)


def decode_traces_json(body: bytes) -> list[ResourceSpans]:
    r"""The spans of an ``ExportTraceServiceRequest`` in JSON; ``DecodeError`` where it is none.

    >>> body = b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0AF7", "name": "q", "kind": 2}]}]}]}'
    >>> span = decode_traces_json(body)[0].scopes[0][1][0]
    >>> span.trace_id, span.name, span.kind, span.parent_id
    (b'\n\xf7', 'q', 2, b'')
    """
    document = _loads(body)
    try:
        return [_resource_spans(group) for group in _messages(document, "resourceSpans")]
    except _BAD_VALUES as error:
        raise DecodeError(f"no OTLP traces in JSON: {error}") from error


def json_to_protobuf(signal: Signal, body: bytes) -> bytes:
    """An export request in JSON as the same request in protobuf; ``DecodeError`` where it is none.

    >>> json_to_protobuf("traces", b'{"resourceSpans": [], "unknown": 1}')
    b''
    """
    from google.protobuf.json_format import ParseDict, ParseError

    document = _loads(body)
    try:
        request = _request(signal)
        ParseDict(_proto_json(document), request, ignore_unknown_fields=True, max_recursion_depth=4 * MAX_DEPTH)
        return request.SerializeToString()
    except (ParseError, *_BAD_VALUES) as error:
        raise DecodeError(f"no OTLP {signal} in JSON: {error}") from error


def _request(signal: Signal) -> Message:
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return ExportTraceServiceRequest()
    if signal == "metrics":
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        return ExportMetricsServiceRequest()
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    return ExportLogsServiceRequest()


def _loads(body: bytes) -> dict[str, Any]:
    """The document, with every lone surrogate replaced: no protobuf string takes one."""
    try:
        document = json.loads(body.decode("utf-8-sig", "replace"), parse_constant=str)
        if b"\\ud" in body or b"\\uD" in body:
            document = _whole_text(document)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"no JSON: {error}") from error
    if not isinstance(document, dict):
        raise DecodeError("no JSON object")
    return document


def _whole_text(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole_text(item) for item in value]
    if isinstance(value, dict):
        return {_whole_text(key): _whole_text(item) for key, item in value.items()}
    return value


def span_key(span: Mapping[str, Any]) -> bytes:
    """Trace and span id of a span in JSON."""
    return _id(_text(span, "traceId")) + _id(_text(span, "spanId"))


# -- to proto3's own JSON ----------------------------------------------------------------------------------------------


def _proto_json(value: Any, depth: int = 0) -> Any:
    """The document as proto3's JSON wants it: ids in base64, values not nested deeper than the decoder reads them."""
    if isinstance(value, list):
        return [_proto_json(item, depth) for item in value]
    if not isinstance(value, dict):
        return value
    changed: dict[str, Any] = {}
    for key, item in value.items():
        if "_" in key:  # OTLP's JSON knows lowerCamelCase only; proto3's takes the other as well
            continue
        if key in _IDS and isinstance(item, str):
            changed[key] = b64encode(_id(item)).decode()
        elif key in {"arrayValue", "kvlistValue"}:
            if depth <= MAX_DEPTH:
                changed[key] = _proto_json(item, depth + 1)
        else:
            changed[key] = _proto_json(item, depth)
    return changed


# -- to values ---------------------------------------------------------------------------------------------------------


def _messages(message: Mapping[str, Any], key: str) -> Sequence[dict[str, Any]]:
    found = message.get(key)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise TypeError(f"{key} is no list of objects")
    return found


def _message(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = message.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise TypeError(f"{key} is no object")
    return found


def _resource_spans(group: Mapping[str, Any]) -> ResourceSpans:
    scopes = []
    for inner in _messages(group, "scopeSpans"):
        scope = _message(inner, "scope")
        spans = [_span(span) for span in _messages(inner, "spans")]
        scopes.append((Scope(_text(scope, "name"), _text(scope, "version")), spans))
    return ResourceSpans(_attributes(_message(group, "resource")), scopes)


def _span(span: Mapping[str, Any]) -> RawSpan:
    status = _message(span, "status")
    events = [
        (_text(event, "name"), _number(event, "timeUnixNano"), _attributes(event))
        for event in _messages(span, "events")
    ]
    links = [
        (_id(_text(link, "traceId")), _id(_text(link, "spanId")), _text(link, "traceState"), _attributes(link))
        for link in _messages(span, "links")
    ]
    return RawSpan(
        _id(_text(span, "traceId")),
        _id(_text(span, "spanId")),
        _id(_text(span, "parentSpanId")),
        _text(span, "name"),
        _enum(span, "kind", _KINDS),
        _number(span, "startTimeUnixNano"),
        _number(span, "endTimeUnixNano"),
        _attributes(span),
        events or None,
        links or None,
        _enum(status, "code", _CODES),
        _text(status, "message"),
        _text(span, "traceState"),
        _number(span, "flags"),
        _number(span, "droppedAttributesCount"),
    )


def _attributes(message: Mapping[str, Any]) -> dict[str, Any]:
    """Names repeat from span to span: each is one object, so that to compare two is to compare addresses."""
    return {intern(_text(item, "key")): _value(item.get("value"), 0) for item in _messages(message, "attributes")}


def _text(message: Mapping[str, Any], key: str) -> str:
    found = message.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise TypeError(f"{key} is no string")
    return found


def _id(text: str) -> bytes:
    """An id's bytes; none of what is not hex, so that its span alone is invalid and not the request."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _number(message: Mapping[str, Any], key: str) -> int:
    return _int(message.get(key) or 0)


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"no whole number: {value!r}")
    number = int(value) if isinstance(value, str | int) else int(value) if value.is_integer() else None
    if number is None or not -(1 << 63) <= number < 1 << 64:
        raise ValueError(f"no 64-bit number: {value!r}")
    return number


def _enum(message: Mapping[str, Any], key: str, names: Mapping[str, int]) -> int:
    found = message.get(key) or 0
    return names.get(found, 0) if isinstance(found, str) and not found.isdigit() else _int(found)


def _value(value: Any, depth: int) -> Any:
    if value is None or depth > MAX_DEPTH:
        return None
    if not isinstance(value, dict):
        raise TypeError("a value is no object")
    for kind, read in _READERS.items():
        if (found := value.get(kind)) is not None:
            return read(found, depth)
    return None


def _string(found: Any, _depth: int) -> str:
    return _text({"stringValue": found}, "stringValue")


def _bool(found: Any, _depth: int) -> bool:
    if not isinstance(found, bool):
        raise TypeError("boolValue is no boolean")
    return found


def _integer(found: Any, _depth: int) -> int:
    number = _int(found)
    if number >= 1 << 63:
        raise ValueError(f"no signed 64-bit number: {found!r}")
    return number


def _double(found: Any, _depth: int) -> float:
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise TypeError("doubleValue is no number")
    return float(found)


def _array(found: Any, depth: int) -> tuple[Any, ...] | None:
    values = _messages(found, "values")
    if len(values) > MAX_DOUBLES and all("doubleValue" in value for value in values):
        return None
    return tuple([_value(value, depth + 1) for value in values])


def _kvlist(found: Any, depth: int) -> dict[str, Any]:
    return {_text(item, "key"): _value(item.get("value"), depth + 1) for item in _messages(found, "values")}


def _bytes(found: Any, _depth: int) -> bytes:
    """Base64, with or without padding, of either alphabet."""
    plain = found.rstrip("=").replace("+", "-").replace("/", "_")
    return urlsafe_b64decode(plain + "=" * (-len(plain) % 4))


_READERS: Final[dict[str, Callable[[Any, int], Any]]] = {
    "stringValue": _string,
    "boolValue": _bool,
    "intValue": _integer,
    "doubleValue": _double,
    "arrayValue": _array,
    "kvlistValue": _kvlist,
    "bytesValue": _bytes,
}
