"""The decoder reads what ``opentelemetry.proto`` reads, however it is written; hostile bytes cost nothing else."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from google.protobuf.message import DecodeError as ProtobufError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ragwatch.conventions import decode, wire_values
from ragwatch.conventions.decode import DecodeError, RawSpan, ResourceSpans, Scope, decode_traces
from tests.support.otlp_values import attributes_of, typed
from tests.support.scramble import scrambled, write_varint

UINT64 = (1 << 64) - 1
LARGE = [HealthCheck.too_slow, HealthCheck.data_too_large]  # whole requests take their time to make up


def any_value(value: Any) -> AnyValue:
    message = AnyValue()
    if isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int):
        message.int_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, bytes):
        message.bytes_value = value
    elif isinstance(value, list):
        message.array_value.SetInParent()
        message.array_value.values.extend(any_value(item) for item in value)
    elif isinstance(value, dict):
        message.kvlist_value.SetInParent()
        message.kvlist_value.values.extend(key_values(value))
    return message


def key_values(attributes: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


texts = st.text(max_size=30)
scalars = (
    texts
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats()
    | st.binary(max_size=30)
    | st.none()
    | st.text("x", min_size=100, max_size=300)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
attribute_maps = st.dictionaries(texts | st.sampled_from(["rag.step", "k"]), values, max_size=5).map(key_values)
moments = st.integers(0, UINT64)
ids = st.binary(min_size=16, max_size=16) | st.binary(max_size=20)
event_messages = st.builds(
    Span.Event,
    time_unix_nano=moments,
    name=texts,
    attributes=attribute_maps,
    dropped_attributes_count=st.integers(0, 9),
)
link_messages = st.builds(Span.Link, trace_id=ids, span_id=ids, trace_state=texts, attributes=attribute_maps)
span_messages = st.builds(
    Span,
    trace_id=ids,
    span_id=ids,
    parent_span_id=ids,
    trace_state=texts,
    name=texts,
    kind=st.integers(0, 9),  # proto3 keeps numbers that it has no name for
    start_time_unix_nano=moments,
    end_time_unix_nano=moments,
    attributes=attribute_maps,
    dropped_attributes_count=st.integers(0, (1 << 32) - 1),
    events=st.lists(event_messages, max_size=2),
    dropped_events_count=st.integers(0, 3),
    links=st.lists(link_messages, max_size=2),
    status=st.none() | st.builds(lambda code, message: {"code": code, "message": message}, st.integers(0, 3), texts),
    flags=st.integers(0, (1 << 32) - 1),
)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        group = request.resource_spans.add(schema_url=draw(texts))
        group.resource.attributes.extend(draw(attribute_maps))
        for _ in range(draw(st.integers(0, 2))):
            inner = group.scope_spans.add()
            inner.scope.name, inner.scope.version = draw(texts), draw(texts)
            inner.scope.attributes.extend(draw(attribute_maps))
            inner.spans.extend(draw(st.lists(span_messages, max_size=3)))
    return request


def reference(request: ExportTraceServiceRequest) -> list[ResourceSpans]:
    """What the decoder owes, by ``opentelemetry.proto``."""
    return [
        ResourceSpans(
            attributes_of(group.resource.attributes),
            [
                (Scope(inner.scope.name, inner.scope.version), [reference_span(span) for span in inner.spans])
                for inner in group.scope_spans
            ],
        )
        for group in request.resource_spans
    ]


def reference_span(span: Span) -> RawSpan:
    return RawSpan(
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.name,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        attributes_of(span.attributes),
        [(event.name, event.time_unix_nano, attributes_of(event.attributes)) for event in span.events] or None,
        [(link.trace_id, link.span_id, link.trace_state, attributes_of(link.attributes)) for link in span.links]
        or None,
        span.status.code,
        span.status.message,
        span.trace_state,
        span.flags,
        span.dropped_attributes_count,
    )


def same(found: list[ResourceSpans], request: ExportTraceServiceRequest) -> bool:
    return bool(typed(found) == typed(reference(request)))


@settings(max_examples=80, deadline=None, suppress_health_check=LARGE)
@given(requests())
def test_what_protobuf_writes_is_read_the_same(request_message: ExportTraceServiceRequest) -> None:
    body = request_message.SerializeToString()
    assert same(decode_traces(body), request_message)
    assert same(decode_traces(body), request_message)  # from the caches


@settings(max_examples=80, deadline=None, suppress_health_check=LARGE)
@given(requests(), st.integers(0, 1 << 30))
def test_every_legal_way_to_write_it_is_read_the_same(request_message: ExportTraceServiceRequest, seed: int) -> None:
    body = scrambled(request_message.SerializeToString(), "request", random.Random(seed))
    assert typed(reference(ExportTraceServiceRequest.FromString(body))) == typed(reference(request_message))
    assert same(decode_traces(body), request_message)


def field(number: int, payload: bytes) -> bytes:
    return write_varint(number << 3 | 2, 0) + write_varint(len(payload), 0) + payload


def of_span(payload: bytes) -> bytes:
    return field(1, field(2, field(2, payload)))


def only_span(body: bytes) -> RawSpan:
    (group,) = decode_traces(body)
    ((_, (span,)),) = group.scopes
    return span


def test_pieces_of_one_message_are_merged() -> None:
    one = field(2, KeyValue(key="a", value=any_value(1)).SerializeToString())[2:]
    body = field(
        1,
        field(1, field(1, one))
        + field(1, field(1, KeyValue(key="b", value=any_value("x")).SerializeToString()))
        + field(2, field(1, field(1, b"name")) + field(2, b"") + field(1, field(2, b"2"))),
    )
    (group,) = decode_traces(body)
    assert group.resource == {"a": 1, "b": "x"}
    assert group.scopes[0][0] == Scope("name", "2")
    array = field(2, field(5, field(1, any_value(1).SerializeToString())))
    assert only_span(of_span(field(9, field(1, b"k") + array + array))).attributes == {"k": (1, 1)}
    status = field(15, b"\x18\x02") + field(15, field(2, b"no"))
    assert (only_span(of_span(status)).status_code, only_span(of_span(status)).status_message) == (2, "no")


def test_of_a_field_that_comes_twice_the_last_holds() -> None:
    twice = (
        field(5, b"one") + field(5, b"two") + field(9, field(1, b"k") + field(2, b"\x18\x01") + field(2, b"\x18\x02"))
    )
    twice += field(9, field(1, b"k") + field(2, field(1, b"last")))
    span = only_span(of_span(twice))
    assert (span.name, span.attributes) == ("two", {"k": "last"})


def test_a_field_of_another_wire_type_is_unknown() -> None:
    span = only_span(of_span(b"\x58\x07" + b"\x7d1234" + b"\x50\x05" + b"\x52\x01a" + b"\x1d1234"))
    assert (span.events, span.status_code, span.dropped_attributes, span.trace_state) == (None, 0, 5, "")


def test_invalid_utf8_is_replaced() -> None:
    event = field(11, field(2, b"\xff") + field(3, field(1, b"k") + field(2, field(1, b"\xff"))))
    span = only_span(of_span(field(5, b"a\xff") + field(9, field(1, b"\xfe") + field(2, field(1, b"b\xff"))) + event))
    assert (span.name, span.attributes) == ("a\ufffd", {"\ufffd": "b\ufffd"})
    assert span.events == [("\ufffd", 0, {"k": "\ufffd"})]


@pytest.mark.parametrize("depth", [10, 32, 40, 60, 200, 3000])
@pytest.mark.parametrize("kind", [5, 6])
def test_nesting_is_bounded(depth: int, kind: int) -> None:
    raw = b"\x18\x07"
    for _ in range(depth):
        raw = field(kind, field(1, raw if kind == 5 else field(1, b"k") + field(2, raw)))
    value = only_span(of_span(field(9, field(1, b"k") + field(2, raw)))).attributes["k"]
    levels = 0
    while isinstance(value, tuple | dict) and value:
        levels, value = levels + 1, (value["k"] if isinstance(value, dict) else value[0])
    assert (levels, value) == ((depth, 7) if depth <= wire_values.MAX_DEPTH else (wire_values.MAX_DEPTH + 1, None))


def test_embedding_vectors_are_left_out_cheaply() -> None:
    vector = [random.random() for _ in range(1536)]
    kept, mixed = [0.5] * 64, [*vector[:99], 1]
    span = Span(
        attributes=key_values({"v": vector, "kept": kept, "mixed": mixed, "in": {"v": vector}, "s": ["x"] * 99})
    )
    body = of_span(span.SerializeToString())
    found = only_span(body).attributes
    assert found == {"v": None, "kept": tuple(kept), "mixed": tuple(mixed), "in": {"v": None}, "s": ("x",) * 99}
    many = of_span(Span(attributes=key_values({"v": vector})).SerializeToString() * 100)
    started = time.thread_time()
    decode_traces(many)
    assert time.thread_time() - started < 0.05  # 100 vectors; 8 ms where reading them takes 25


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\xff" * 11,
        b"\x0a\xff\xff\xff\xff\x0f",
        b"{}",
        b"\x0b",
        b"\x07",
        of_span(b"\x4a\x02\x12\x05"),
    ],
)
def test_what_is_no_protobuf_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_traces(body)


@settings(max_examples=150, deadline=None, suppress_health_check=LARGE)
@given(requests(), st.data())
def test_damaged_bytes_raise_nothing_else(request_message: ExportTraceServiceRequest, data: st.DataObject) -> None:
    body = bytearray(request_message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        how = data.draw(st.sampled_from(["cut", "byte", "insert", "delete"]))
        if how == "cut":
            del body[at:]
        elif how == "byte" and at < len(body):
            body[at] = data.draw(st.integers(0, 255))
        elif how == "insert":
            body[at:at] = data.draw(st.binary(max_size=4))
        else:
            del body[at : at + 2]
    try:
        read = ExportTraceServiceRequest.FromString(bytes(body))
    except ProtobufError:
        read = None
    try:
        found = decode_traces(bytes(body))
    except DecodeError:
        assert read is None, "protobuf reads it"
    else:
        assert read is None or same(found, read)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_noise_raises_nothing_else(body: bytes) -> None:
    for candidate in (body, of_span(body), of_span(field(9, body)), of_span(field(11, body))):
        try:
            decode_traces(candidate)
        except DecodeError:
            continue


@pytest.mark.parametrize(
    "swollen",
    [
        lambda count: b"\x0a\x00" * count,
        lambda count: field(1, b"\x12\x00" * count),
        lambda count: field(1, field(2, b"\x12\x00" * count)),
        lambda count: field(1, field(2, b"\x92\x00\x02\x30\x01" * count)),
        lambda count: field(1, field(2, field(2, b"\x5a\x00" * count))),
        lambda count: field(1, field(2, field(2, b"\x7a\x00" * count))),
        lambda count: field(1, field(2, b"\x63" * 40 + b"\x64" * 40 + b"\x12\x00" * count)),
    ],
)
def test_what_would_swell_in_memory_is_refused(swollen: Any) -> None:
    decode_traces(swollen(100))
    with pytest.raises(DecodeError, match=r"more than|deeper than"):
        decode_traces(swollen(300_000))


def test_a_big_honest_request_is_read() -> None:
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", attributes=key_values({"text": "x" * 300_000, "n": 1}))
    small = Span(trace_id=b"t" * 16, span_id=b"s" * 8)
    request = ExportTraceServiceRequest()
    inner = request.resource_spans.add().scope_spans.add()
    inner.spans.extend([span, *[small] * 10_000])
    for seed in range(2):
        assert same(decode_traces(scrambled(request.SerializeToString(), "request", random.Random(seed))), request)


def test_structures_that_nobody_reads_are_left_out() -> None:
    texts = ["x" * 1000] * 300
    span = Span(attributes=key_values({"a": texts, "m": {"k": texts}, "small": texts[:200], "text": "x" * 300_000}))
    found = only_span(of_span(span.SerializeToString())).attributes
    assert found == {"a": None, "m": None, "small": tuple(texts[:200]), "text": "x" * 300_000}


def test_what_is_given_out_may_be_changed() -> None:
    span = Span(attributes=key_values({"a": {"b": [1, {"c": 1}]}, "t": ["x", {"y": 1}], "s": "x"}))
    group = ExportTraceServiceRequest()
    group.resource_spans.add().scope_spans.add().spans.append(span)
    group.resource_spans[0].resource.attributes.extend(key_values({"r": 1}))
    body = group.SerializeToString()
    for _ in range(2):
        (found,) = decode_traces(body)
        attributes = found.scopes[0][1][0].attributes
        assert found.resource == {"r": 1}
        assert attributes == {"a": {"b": (1, {"c": 1})}, "t": ("x", {"y": 1}), "s": "x"}
        found.resource.clear()
        attributes["a"]["b"][1].clear()
        attributes["t"][1].clear()
        attributes.clear()


def test_caches_stay_bounded() -> None:
    for number in range(2 * wire_values.MAX_CACHED):
        only_span(of_span(field(5, b"%d" % number) + field(9, field(1, b"k") + field(2, field(1, b"%d" % number)))))
    assert len(wire_values.names) <= wire_values.MAX_CACHED
    assert len(wire_values.attributes) <= wire_values.MAX_CACHED
    for number in range(600):
        decode_traces(field(1, field(1, field(1, key_values({"r": number})[0].SerializeToString()))))
    assert len(decode._resources) <= 256
