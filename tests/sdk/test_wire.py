"""What the encoder writes, ``opentelemetry.proto`` reads as the same span."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from ragwatch.sdk import anyvalue
from ragwatch.sdk.wire import ScopeKey, TraceEncoder
from tests.support.otlp_values import typed, value_of

UINT64 = (1 << 64) - 1


@dataclass
class Span:
    name: str = "rag.query"
    kind_number: int = 1
    trace_id: int = 1
    span_id: int = 2
    parent_span_id: int = 0
    trace_state_header: str = ""
    flags: int = 1
    start_ns: int = 10
    end_ns: int = 20
    attribute_map: dict[str, Any] = field(default_factory=dict)
    event_list: list[tuple[str, int, dict[str, Any] | None, int]] | None = None
    link_list: list[tuple[int, int, str, dict[str, Any] | None, int, int]] | None = None
    status_number: int = 0
    status_message: str = ""
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0


def attributes_of(messages: Any) -> dict[str, Any]:
    return {message.key: typed(value_of(message.value)) for message in messages}


def decoded(encoder: TraceEncoder, *spans: Span) -> list[trace_pb2.Span]:
    request = ExportTraceServiceRequest.FromString(
        encoder.request([(ScopeKey("test"), [encoder.span(span) for span in spans])])
    )
    size = request.ByteSize()
    request.DiscardUnknownFields()
    assert request.ByteSize() == size
    return list(request.resource_spans[0].scope_spans[0].spans)


def one(value: Any) -> Any:
    return value_of(decoded(TraceEncoder({}), Span(attribute_map={"k": value}))[0].attributes[0].value)


texts = st.text(max_size=40)  # no surrogates: those have a test of their own
scalars = (
    texts
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.sampled_from([0, 1, -1, 127, 128, 16_383, 16_384])
    | st.floats()
    | st.sampled_from([0.0, -0.0, 1.0])
    | st.binary(max_size=40)
    | st.none()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
attribute_maps = st.dictionaries(texts | st.sampled_from(["rag.step", "rag.score"]), values, max_size=6)
counts = st.integers(0, (1 << 32) - 1)
spans = st.builds(
    Span,
    name=texts,
    kind_number=st.integers(0, 5),
    trace_id=st.integers(0, (1 << 128) - 1),
    span_id=st.integers(0, UINT64),
    parent_span_id=st.integers(0, UINT64),
    trace_state_header=st.sampled_from(["", "a=b,c=d"]),
    flags=counts,
    start_ns=st.integers(0, UINT64),
    end_ns=st.integers(0, UINT64),
    attribute_map=attribute_maps,
    event_list=st.none()
    | st.lists(st.tuples(texts, st.integers(0, UINT64), st.none() | attribute_maps, counts), max_size=3),
    link_list=st.none()
    | st.lists(
        st.tuples(
            st.integers(0, (1 << 128) - 1),
            st.integers(0, UINT64),
            st.sampled_from(["", "x=y"]),
            st.none() | attribute_maps,
            counts,
            counts,
        ),
        max_size=3,
    ),
    status_number=st.integers(0, 2),
    status_message=texts,
    dropped_attributes=counts,
    dropped_events=counts,
    dropped_links=counts,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(spans, min_size=1, max_size=3))
def test_what_is_encoded_decodes_to_the_same_span(given_spans: list[Span]) -> None:
    encoder = TraceEncoder({})
    for _ in range(2):  # the second round comes from the caches
        for span, message in zip(given_spans, decoded(encoder, *given_spans), strict=True):
            assert message.name == span.name
            assert message.kind == span.kind_number
            assert message.trace_id == span.trace_id.to_bytes(16, "big")
            assert message.span_id == span.span_id.to_bytes(8, "big")
            assert message.parent_span_id == (span.parent_span_id.to_bytes(8, "big") if span.parent_span_id else b"")
            assert message.trace_state == span.trace_state_header
            assert message.flags == span.flags
            assert (message.start_time_unix_nano, message.end_time_unix_nano) == (span.start_ns, span.end_ns)
            assert attributes_of(message.attributes) == {k: typed(v) for k, v in span.attribute_map.items()}
            assert [
                (event.name, event.time_unix_nano, attributes_of(event.attributes), event.dropped_attributes_count)
                for event in message.events
            ] == [(n, t, {k: typed(v) for k, v in (a or {}).items()}, d) for n, t, a, d in span.event_list or ()]
            assert [
                (
                    int.from_bytes(link.trace_id, "big"),
                    int.from_bytes(link.span_id, "big"),
                    link.trace_state,
                    attributes_of(link.attributes),
                    link.dropped_attributes_count,
                    link.flags,
                )
                for link in message.links
            ] == [
                (t, s, state, {k: typed(v) for k, v in (a or {}).items()}, d, f)
                for t, s, state, a, d, f in span.link_list or ()
            ]
            assert (message.status.code, message.status.message) == (span.status_number, span.status_message)
            assert message.HasField("status") == bool(span.status_number or span.status_message)
            assert (
                message.dropped_attributes_count,
                message.dropped_events_count,
                message.dropped_links_count,
            ) == (span.dropped_attributes, span.dropped_events, span.dropped_links)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(texts, values), max_size=6))
def test_one_key_takes_every_type_in_turn(items: list[tuple[str, Any]]) -> None:
    encoder = TraceEncoder({})
    for key, value in items:
        (message,) = decoded(encoder, Span(attribute_map={key: value}))
        assert attributes_of(message.attributes) == {key: typed(value)}


def test_equal_values_of_other_types_do_not_share_a_cache_entry() -> None:
    encoder = TraceEncoder({})
    for value in (True, 1, 1.0, False, 0, 0.0, -0.0, (1,), (True,), (1.0,)):
        (message,) = decoded(encoder, Span(attribute_map={"k": value}))
        assert typed(value_of(message.attributes[0].value)) == typed(value)


@settings(max_examples=50, deadline=None)
@given(attribute_maps, texts, texts, texts, st.dictionaries(texts, scalars, max_size=2))
def test_resource_scope_and_schemas_arrive(
    resource: dict[str, Any], name: str, version: str, schema: str, attributes: dict[str, Any]
) -> None:
    encoder = TraceEncoder(resource, schema)
    scopes = [ScopeKey(name, version, schema, tuple(attributes.items())), ScopeKey("other")]
    body = encoder.request([(scope, [encoder.span(Span()), encoder.span(Span())]) for scope in scopes])
    (resource_spans,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert attributes_of(resource_spans.resource.attributes) == {k: typed(v) for k, v in resource.items()}
    assert resource_spans.schema_url == schema
    first, second = resource_spans.scope_spans
    assert (first.scope.name, first.scope.version, first.schema_url) == (name, version, schema)
    assert attributes_of(first.scope.attributes) == {k: typed(v) for k, v in attributes.items()}
    assert (second.scope.name, second.scope.version, second.schema_url) == ("other", "", "")
    assert [len(scope.spans) for scope in resource_spans.scope_spans] == [2, 2]


def test_integers_beyond_64_bits_become_text() -> None:
    assert one(1 << 63) == str(1 << 63)
    assert one(-(1 << 63) - 1) == str(-(1 << 63) - 1)
    assert one([1 << 64]) == (str(1 << 64),)
    assert one(10**5000) == "<int>"  # Python refuses to write so many digits


def test_lone_surrogates_do_not_raise() -> None:
    (message,) = decoded(
        TraceEncoder({"s": "\ud800"}),
        Span(
            name="\ud800",
            attribute_map={"k\udfff": "a\ud800b"},
            status_message="\ud800",
            event_list=[("\ud800", 1, None, 0)],
        ),
    )
    assert message.name == "?"
    assert (message.attributes[0].key, message.attributes[0].value.string_value) == ("k?", "a?b")


class Colour(StrEnum):
    RED = "red"


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Decimal("1.5"), "1.5"),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (range(3), [0, 1, 2]),
        (frozenset({"a"}), ["a"]),
        ({1: "a", "b": None}, {"1": "a", "b": None}),
        ((1, "a", None, [True]), [1, "a", None, [True]]),
        (Unprintable(), "<Unprintable>"),
    ],
)
def test_other_types_become_what_is_nearest(value: Any, expected: Any) -> None:
    assert typed(one(value)) == typed(expected)


def test_nesting_is_bounded() -> None:
    endless: list[Any] = []
    endless.append(endless)
    depth, value = 0, one(endless)
    while value:
        depth, value = depth + 1, value[0]
    assert depth == anyvalue.MAX_DEPTH + 1


def test_numbers_that_otlp_does_not_take_are_brought_into_range() -> None:
    (message,) = decoded(
        TraceEncoder({}), Span(trace_id=1 << 128, span_id=-1, parent_span_id=3, start_ns=1.5e18, end_ns=-5)
    )  # type: ignore[arg-type]
    assert (message.start_time_unix_nano, message.end_time_unix_nano) == (1_500_000_000_000_000_000, 0)
    assert len(message.trace_id) == 16
    assert message.span_id == b"\xff" * 8
    assert message.parent_span_id == b"\0" * 7 + b"\3"


def test_large_spans_have_right_lengths() -> None:
    for size in (100, 127, 128, 2047, 2048, 4095, 4096, 20_000, 3_000_000):
        (message,) = decoded(TraceEncoder({}), Span(attribute_map={"k": "x" * size}))
        assert len(message.attributes[0].value.string_value) == size


def test_caches_stay_bounded() -> None:
    fields = anyvalue.AttributeFields(b"\x4a")
    for number in range(3 * anyvalue.MAX_CACHED):
        for value in (str(number), number, float(number), "x" * 1000):
            assert fields[type(value)][f"k{number}", value].startswith(b"\x4a")
    assert all(len(cache) <= anyvalue.MAX_CACHED for cache in fields.values())
    assert set(fields) == {str, int, float, bool}
