"""Steps straight from the wire are the steps that a mapping of their attributes gives; nothing gets lost between."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ragwatch import semconv
from ragwatch.conventions import decode, own_late, wire_values
from ragwatch.conventions.decode import DecodeError, decode_steps, decode_traces
from ragwatch.conventions.own import FIELDS, step_name
from ragwatch.conventions.own_late import part_of, put_off, put_off_whole, read, read_steps
from ragwatch.conventions.own_scan import COMPILED, looks_whole
from ragwatch.conventions.own_wire import OwnTrace, own_trace, slots
from ragwatch.conventions.shapes import take_unreadable
from ragwatch.sdk.anyvalue import varint
from ragwatch.sdk.wire import CountedSteps, TraceEncoder
from tests.conventions.test_decode import key_values, values
from tests.sdk.test_wire import Span as FinishedSpan
from tests.support.otlp_values import typed
from tests.support.scramble import scrambled

DOCUMENTS = json.dumps([{"id": "a", "score": 0.5}, {"id": "b"}])
KEYS = st.sampled_from([*FIELDS, semconv.SESSION_ID, "app.own", semconv.STEP_ALIAS])
GOOD = st.sampled_from(["ok", "error", "hit", "gpt-4o", "timeout", 0, 7, 7.0, 0.25, True, False, "", -3])
attributes = st.builds(
    lambda kind, own, counted, documents: {**own, **kind, **counted, **documents},
    st.sampled_from([{}, *({semconv.STEP: kind} for kind in (*semconv.STEPS, "dance", 7))]),
    st.dictionaries(KEYS, GOOD | values, max_size=6),
    st.sampled_from([{}, {semconv.COUNTED: True}, {semconv.COUNTED: False}, {semconv.COUNTED: 1}]),
    st.sampled_from([{}, {semconv.DOCUMENTS: DOCUMENTS}, {semconv.DOCUMENTS: "no json"}]),
)
numbers = st.integers(0, 3)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    span = Span(
        trace_id=draw(numbers).to_bytes(16),
        span_id=draw(numbers).to_bytes(8),
        parent_span_id=draw(numbers).to_bytes(8) if draw(st.booleans()) else b"",
        name=draw(st.sampled_from(["retrieve", "q", ""])),
        start_time_unix_nano=draw(numbers),
        end_time_unix_nano=draw(numbers),
    )
    pairs = key_values(draw(attributes))
    draw(st.randoms(use_true_random=False)).shuffle(pairs)
    span.attributes.extend(pairs)
    if draw(st.booleans()):
        span.status.code, span.status.message = 2, "TimeoutError: slow"
    if draw(st.booleans()):
        failed = {semconv.EXCEPTION_TYPE: "openai.RateLimitError", semconv.EXCEPTION_MESSAGE: "slow down"}
        span.events.add(name=semconv.EVENT_EXCEPTION, attributes=key_values(failed))
    return span


def request_of(held: list[Span]) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(held)
    return request.SerializeToString()


@contextmanager
def build(*, as_compiled: bool) -> Iterator[None]:
    """Let an interpreted build read as the compiled one does; the compiled one has no other way."""
    with pytest.MonkeyPatch.context() as patch:
        if not COMPILED:
            patch.setattr(decode, "COMPILED", as_compiled)
            patch.setattr(own_late, "COMPILED", as_compiled)
        yield


def by_mapping(body: bytes) -> tuple[list[Any], list[Any]]:
    """(own steps, others) as the mapping of each span's attributes says."""
    own, others = [], []
    for group in decode_traces(body):
        for _, found in group.scopes:
            for raw in found:
                kind = step_name(raw.attributes)
                if kind is None:
                    others.append(raw)
                else:
                    came = own_trace(raw, kind)
                    own.append((raw.trace_id, raw.span_id, (*came.roots, *came.steps)[0], not came.uncounted))
    return own, others


def by_wire(body: bytes) -> tuple[list[Any], list[Any]]:
    """The same as the fast way says; what it leaves as a span may still be a step, by a rarer way of saying so."""
    own: list[Any] = []
    others: list[Any] = []
    for group in decode_steps(body):
        for trace in group.own:
            read(trace)
            steps = {id(step): step for step in (*trace.roots, *trace.steps)}
            assert len(steps) == len(trace.span_ids)
            assert trace.alone == any(step.parent_id is None for step in trace.steps)
            own += [(trace.trace_id, bytes.fromhex(step.span_id), step, None) for step in steps.values()]
            assert sorted(step.span_id for step in steps.values()) == sorted(map(bytes.hex, trace.span_ids))
        for _, found in group.scopes:
            others += found
    return own, others


def in_order(found: list[Any]) -> list[str]:
    return sorted(repr(typed(item)) for item in found)


@settings(max_examples=200, deadline=None)
@given(st.lists(spans(), max_size=6), st.none() | st.integers(0, 1 << 30))
def test_a_step_from_the_wire_is_the_step_of_its_attributes(held: list[Span], seed: int | None) -> None:
    body = request_of(held)
    if seed is not None:  # any other legal way to write the same
        body = scrambled(body, "request", random.Random(seed))
    own, others = by_mapping(body)
    for as_compiled in (False, True, False):  # the later times from the caches
        with build(as_compiled=as_compiled):
            found, left = by_wire(body)
        missed = [raw for raw in left if step_name(raw.attributes) is not None]
        late = [(raw.trace_id, raw.span_id, _step(raw), None) for raw in missed]
        assert in_order(found + late) == in_order([(*item[:3], None) for item in own])
        assert in_order([raw for raw in left if step_name(raw.attributes) is None]) == in_order(others)
        if seed is None:  # as encoders write it, only the alias is left to the mapping
            assert all(raw.attributes.get(semconv.STEP) not in semconv.STEPS for raw in missed)


def _step(raw: Any) -> Any:
    came = own_trace(raw, step_name(raw.attributes) or "")
    return (*came.roots, *came.steps)[0]


@given(st.lists(st.sampled_from([True, False, None, 1, "yes"]), min_size=1, max_size=5))
def test_only_the_mark_says_that_a_step_is_counted(marks: list[Any]) -> None:
    held = []
    for number, mark in enumerate(marks):
        found = {semconv.STEP: "embed"} | ({} if mark is None else {semconv.COUNTED: mark})
        held.append(Span(trace_id=b"t" * 16, span_id=number.to_bytes(8), attributes=key_values(found)))
    with build(as_compiled=len(held) % 2 == 0):
        ((trace,),) = [group.own for group in decode_steps(request_of(held))]
        unread = trace.unread_uncounted
        read(trace)
    assert trace.unread_uncounted == 0
    assert unread <= len(trace.uncounted)
    assert trace.uncounted == [number.to_bytes(8).hex() for number, mark in enumerate(marks) if mark is not True]
    part = part_of(trace, lambda span_id: span_id[-1] % 2 == 0)
    assert part.span_ids == [number.to_bytes(8) for number in range(0, len(marks), 2)]
    assert part.uncounted == [
        number.to_bytes(8).hex() for number in range(0, len(marks), 2) if marks[number] is not True
    ]


def as_counted(span: Span) -> bytes:
    """The span as ragwatch's SDK writes one that it has counted: ids, mark and step first."""
    pairs = {pair.key: pair for pair in span.attributes}
    first = [*key_values({semconv.COUNTED: True}), pairs[semconv.STEP]]
    rest = Span()
    rest.CopyFrom(span)
    rest.ClearField("trace_id")
    rest.ClearField("span_id")
    rest.ClearField("parent_span_id")
    del rest.attributes[:]
    rest.attributes.extend(pair for key, pair in pairs.items() if key not in {semconv.STEP, semconv.COUNTED})
    ids = Span(trace_id=span.trace_id, span_id=span.span_id, parent_span_id=span.parent_span_id)
    return ids.SerializeToString() + Span(attributes=first).SerializeToString() + rest.SerializeToString()


def request_of_encoded(held: list[bytes]) -> bytes:
    spans = b"".join(b"\x12" + varint(len(raw)) + raw for raw in held)
    group = b"\x12" + varint(len(spans)) + spans
    return b"\x0a" + varint(len(group)) + group


@settings(max_examples=200, deadline=None)
@given(st.lists(spans(), max_size=6), st.lists(spans(), max_size=2))
def test_what_is_read_late_is_the_same_step(held: list[Span], others: list[Span]) -> None:
    counted = [
        as_counted(span)
        for span in held
        if any(pair.key == semconv.STEP and pair.value.string_value in semconv.STEPS for pair in span.attributes)
    ]
    assert all(put_off(raw, {}) for raw in counted)
    body = request_of_encoded(counted + [span.SerializeToString() for span in others])
    own, _ = by_mapping(body)
    with build(as_compiled=len(held) % 2 == 0):
        found, left = by_wire(body)
    late = [(raw.trace_id, raw.span_id, _step(raw), None) for raw in left if step_name(raw.attributes) is not None]
    assert in_order(found + late) == in_order([(*item[:3], None) for item in own])


@settings(max_examples=300, deadline=None)
@given(spans(), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3), st.integers(0, 400))
def test_a_span_that_looks_whole_is_read_as_protobuf_reads_it(
    span: Span, spoilt: list[tuple[int, int]], cut: int
) -> None:
    raw = bytearray(span.SerializeToString())
    for place, byte in spoilt:
        if place < len(raw):
            raw[place] = byte
    body = bytes(raw if cut > 200 else raw[:cut])
    traces: dict[bytes, OwnTrace] = {}
    if not looks_whole(body):
        assert not put_off_whole(body, traces)
        assert not traces
        return
    request = request_of_encoded([body])
    own, others = by_mapping(request)
    assert not others
    assert put_off_whole(body, traces)
    ((trace_id, trace),) = traces.items()
    assert trace.unread_uncounted == 1
    assert bool(trace.unread_roots) == (own[0][2].step == "query")
    for as_compiled in (True, False):
        with build(as_compiled=as_compiled):
            uncounted: list[str] = []
            (step,) = read_steps([body], uncounted)
            assert uncounted == [step.span_id]
        assert in_order([(trace_id, body[20:28], step, False)]) == in_order(own)


def test_a_span_as_encoders_write_it_looks_whole() -> None:
    found = {semconv.STEP: "query", "a": "x" * 300, "b": True, "c": -1, "d": 0.5, "e": 1 << 40}
    span = Span(
        trace_id=b"t" * 16, span_id=b"s" * 8, parent_span_id=b"p" * 8, name="n" * 200, kind=3, flags=257,
        start_time_unix_nano=1, end_time_unix_nano=2, attributes=key_values(found),
    )  # fmt: skip
    span.status.code = 1
    raw = span.SerializeToString()
    assert looks_whole(raw) == 3
    whole = [at for at in range(len(raw)) if looks_whole(raw[:at])]
    assert len(whole) == 7, "after each attribute, and after the status"
    assert all(Span.FromString(raw[:at]) for at in whole)
    span.events.add(name="e")
    assert not looks_whole(span.SerializeToString())


@pytest.mark.parametrize("parent", [0, 7])
@pytest.mark.parametrize("step", semconv.STEPS)
def test_what_the_sdk_has_counted_is_put_off(step: str, parent: int) -> None:
    span = FinishedSpan(
        name="a name", trace_id=5, span_id=6, parent_span_id=parent, attribute_map={"gen_ai.request.model": "m"}
    )
    field = TraceEncoder({}).span(span, CountedSteps()[step])
    raw = field[field.index(b"\x0a\x10") :]
    traces: dict[bytes, OwnTrace] = {}
    assert put_off(raw, traces)
    ((trace_id, trace),) = traces.items()
    assert (trace_id, trace.span_ids, trace.uncounted) == ((5).to_bytes(16), [(6).to_bytes(8)], [])
    assert trace.alone == (not parent and step != "query")
    read(trace)
    (found,) = (*trace.roots, *trace.steps)
    assert (found.step, found.name, found.model) == (step, "a name", "m")


def test_what_was_put_off_and_cannot_be_read_is_left_out_and_counted() -> None:
    take_unreadable()
    good = as_counted(Span(trace_id=b"t" * 16, span_id=b"s" * 8, attributes=key_values({semconv.STEP: "query"})))
    torn = as_counted(Span(trace_id=b"t" * 16, span_id=b"r" * 8, attributes=key_values({semconv.STEP: "embed"})))
    ((trace,),) = [group.own for group in decode_steps(request_of_encoded([good, torn + b"\x2a\x7f"]))]
    part = part_of(trace, lambda _: True)
    assert (part.span_ids, [step.step for step in part.roots], part.steps) == ([b"s" * 8], ["query"], [])
    assert take_unreadable() == {"?": 1}


def test_what_is_kept_of_attributes_stays_bounded() -> None:
    for number in range(wire_values.MAX_CACHED + 100):
        found = {semconv.STEP: "embed", "app.number": number, f"app.score.{number}": 0.5}
        decode_steps(request_of([Span(trace_id=b"t" * 16, span_id=b"s" * 8, attributes=key_values(found))]))
    assert len(slots) <= wire_values.MAX_CACHED
    assert len(slots.doubles) <= wire_values.MAX_CACHED


def test_a_query_that_cannot_be_read_is_refused_with_its_request() -> None:
    torn = as_counted(Span(trace_id=b"t" * 16, span_id=b"s" * 8, attributes=key_values({semconv.STEP: "query"})))
    with pytest.raises(DecodeError):
        decode_steps(request_of_encoded([torn + b"\x2a\x7f"]))
