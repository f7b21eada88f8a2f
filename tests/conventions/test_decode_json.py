"""OTLP/JSON is read to the same values as protobuf, by the rules in which it differs from proto3's own JSON."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ragwatch.conventions.decode import DecodeError, RawSpan, decode_traces
from ragwatch.conventions.decode_json import decode_traces_json, json_to_protobuf
from ragwatch.conventions.wire_values import MAX_DEPTH
from tests.support.otlp_values import typed

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "captures").glob("*.otlp.jsonl"))
TRACE, SPAN = "0AF7651916cd43dd8448eb211c80319c", "B7ad6b7169203331"


def body_of(*spans: dict[str, Any], resource: dict[str, Any] | None = None) -> bytes:
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def both(*spans: dict[str, Any]) -> list[RawSpan]:
    """The spans by the own way and by way of protobuf, which must agree."""
    body = body_of(*spans)
    direct, by_protobuf = decode_traces_json(body), decode_traces(json_to_protobuf("traces", body))
    assert typed(direct) == typed(by_protobuf)
    return direct[0].scopes[0][1]


def value_of(value: dict[str, Any] | None) -> Any:
    return both({"attributes": [{"key": "k", "value": value}]})[0].attributes["k"]


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name.removesuffix(".otlp.jsonl"))
def test_captures_read_the_same_in_json_and_protobuf(path: Path) -> None:
    lines = path.read_bytes().splitlines()
    assert lines
    for line in lines:
        found = decode_traces_json(line)
        assert typed(found) == typed(decode_traces(json_to_protobuf("traces", line)))
        spans = [span for group in found for _, inner in group.scopes for span in inner]
        assert spans
        assert all(len(span.trace_id) == 16 and len(span.span_id) == 8 and span.name for span in spans)


def test_there_are_captures() -> None:
    assert len(CAPTURES) >= 10


def test_ids_are_hex_of_any_case() -> None:
    (span,) = both(
        {"traceId": TRACE, "spanId": SPAN, "parentSpanId": "", "links": [{"traceId": TRACE, "spanId": SPAN}]}
    )
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_id) == (TRACE.lower(), SPAN.lower(), b"")
    assert span.links == [(span.trace_id, span.span_id, "", {})]


def test_a_bad_id_spoils_its_span_only() -> None:
    bad, good = both({"traceId": "xyz", "spanId": "abc"}, {"traceId": TRACE, "spanId": SPAN})
    assert (bad.trace_id, bad.span_id) == (b"", b"")
    assert good.trace_id.hex() == TRACE.lower()


@pytest.mark.parametrize("moment", ["1760000000000000001", 1760000000000000001, "0", 0])
def test_64_bit_numbers_are_strings_or_numbers(moment: str | int) -> None:
    (span,) = both({"startTimeUnixNano": moment, "endTimeUnixNano": moment, "events": [{"timeUnixNano": moment}]})
    assert span.start_ns == span.end_ns == int(moment)
    assert span.events == [("", int(moment), {})]
    assert value_of({"intValue": moment}) == int(moment)


@pytest.mark.parametrize("kind", [3, "SPAN_KIND_CLIENT"])
@pytest.mark.parametrize("code", [2, "STATUS_CODE_ERROR"])
def test_enums_are_numbers_or_names(kind: int | str, code: int | str) -> None:
    (span,) = both({"kind": kind, "status": {"code": code, "message": "no"}})
    assert (span.kind, span.status_code, span.status_message) == (3, 2, "no")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": "a"}, "a"),
        ({"stringValue": ""}, ""),
        ({"boolValue": False}, False),
        ({"intValue": "-9223372036854775808"}, -(1 << 63)),
        ({"intValue": 1.0}, 1),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "NaN"}, math.nan),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"doubleValue": "Infinity"}, math.inf),
        ({"doubleValue": "1.5"}, 1.5),
        ({"bytesValue": "+/8="}, b"\xfb\xff"),
        ({"bytesValue": "-_8"}, b"\xfb\xff"),
        ({"bytesValue": ""}, b""),
        ({"arrayValue": {"values": [{"intValue": "1"}, {}, {"stringValue": "x"}]}}, (1, None, "x")),
        ({"arrayValue": {}}, ()),
        (
            {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}, {"key": "b"}]}},
            {"a": True, "b": None},
        ),
        ({"kvlistValue": {}}, {}),
        ({"arrayValue": {"values": [{"doubleValue": 0.5}] * 64}}, (0.5,) * 64),
        ({"arrayValue": {"values": [{"doubleValue": 0.5}] * 65}}, None),
        ({}, None),
        (None, None),
        ({"stringValue": None}, None),
        ({"futureValue": {"traceId": 5}}, None),
        ({"stringValue": "a\ud800b\U0001f600"}, "a\ufffdb\U0001f600"),
    ],
)
def test_values(value: dict[str, Any] | None, expected: Any) -> None:
    assert typed(value_of(value)) == typed(expected)


def test_bare_nan_is_taken() -> None:
    body = body_of({"attributes": [{"key": "k", "value": {"doubleValue": math.nan}}]})
    assert b": NaN" in body
    assert math.isnan(decode_traces_json(body)[0].scopes[0][1][0].attributes["k"])
    assert typed(decode_traces(json_to_protobuf("traces", body))) == typed(decode_traces_json(body))


def test_unknown_fields_and_other_spellings_are_ignored() -> None:
    (span,) = both({"name": "a", "span_id": "zz", "trace_id": 5, "start_time_unix_nano": "x", "future": {"a": [1]}})
    assert (span.name, span.span_id, span.start_ns) == ("a", b"", 0)


def test_null_is_absence() -> None:
    (span,) = both({"traceId": None, "attributes": None, "status": None, "kind": None, "events": None, "flags": None})
    assert span == RawSpan(b"", b"", b"", "", 0, 0, 0, {}, None, None, 0, "", "", 0, 0)


def test_of_a_key_that_comes_twice_the_last_holds() -> None:
    (span,) = both({"attributes": [{"key": "k", "value": {"intValue": 1}}, {"key": "k", "value": {"intValue": 2}}]})
    assert span.attributes == {"k": 2}


@pytest.mark.parametrize("depth", [10, MAX_DEPTH, MAX_DEPTH + 1, 100])
def test_nesting_is_bounded(depth: int) -> None:
    value: dict[str, Any] = {"intValue": 7}
    for level in range(depth):
        inner = {"values": [value if level % 2 else {"key": "k", "value": value}]}
        value = {"arrayValue": inner} if level % 2 else {"kvlistValue": inner}
    found, levels = value_of(value), 0
    while isinstance(found, tuple | dict) and found:
        levels, found = levels + 1, (found["k"] if isinstance(found, dict) else found[0])
    assert (levels, found) == ((depth, 7) if depth <= MAX_DEPTH else (MAX_DEPTH + 1, None))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{",
        b'{"resourceSpans": 1}',
        b'{"resourceSpans": [1]}',
        b'{"resourceSpans": [null]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        body_of({"attributes": [{"key": "k", "value": 1}]}),
        body_of({"attributes": [{"key": 1}]}),
        body_of({"attributes": [{"key": "k", "value": {"intValue": "x"}}]}),
        body_of({"attributes": [{"key": "k", "value": {"intValue": 1.5}}]}),
        body_of({"attributes": [{"key": "k", "value": {"intValue": 1 << 63}}]}),
        body_of({"attributes": [{"key": "k", "value": {"boolValue": 1}}]}),
        body_of({"attributes": [{"key": "k", "value": {"arrayValue": 5}}]}),
        body_of({"startTimeUnixNano": 1 << 64}),
        body_of({"startTimeUnixNano": True}),
        body_of({"name": 5}),
        body_of({"traceId": 5}),
    ],
    ids=lambda body: body[:40].decode("latin-1") + str(len(body)),
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_traces_json(body)
    with pytest.raises(DecodeError):
        json_to_protobuf("traces", body)


NAMES = [
    *("resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "stringValue", "intValue", "arrayValue"),
    *("values", "bytesValue", "kind", "traceId", "status", "events", "resource", "scope", "links"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_any_json_raises_nothing_else(value: Any) -> None:
    for document in (value, {"resourceSpans": value}, {"resourceSpans": [{"scopeSpans": [{"spans": [value]}]}]}):
        body = json.dumps(document).encode()
        for read in (decode_traces_json, lambda body: json_to_protobuf("traces", body)):
            try:
                read(body)
            except DecodeError:
                continue


def hex_ids(value: Any) -> Any:
    """proto3's JSON as OTLP's: ids in hex."""
    if isinstance(value, list):
        return [hex_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in {"traceId", "spanId", "parentSpanId"} else hex_ids(item)
            for key, item in value.items()
        }
    return value


def test_metrics_and_logs_become_protobuf_too() -> None:
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m", unit="s")
    point = metric.histogram.data_points.add(count=3, sum=1.5, bucket_counts=[1, 2], explicit_bounds=[0.1])
    point.exemplars.add(as_double=0.5, trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN), time_unix_nano=9)
    metric.histogram.aggregation_temporality = 2
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(severity_number=9, trace_id=bytes.fromhex(TRACE))
    record.body.string_value = "hello"
    record.span_id = bytes.fromhex(SPAN)
    traces = ExportTraceServiceRequest()
    traces.resource_spans.add().scope_spans.add().spans.add(trace_id=bytes.fromhex(TRACE), name="n", kind=3)
    for enums_as_numbers in (True, False):
        for signal, message in (("metrics", metrics), ("logs", logs), ("traces", traces)):
            document = hex_ids(MessageToDict(message, use_integers_for_enums=enums_as_numbers))
            body = json_to_protobuf(signal, json.dumps(document | {"unknown": 1}).encode())  # type: ignore[arg-type]
            assert type(message).FromString(body) == message
