"""ragwatch's own spans that wait as they came, and are read when their query is whole.

Few steps of queries that their process has counted are ever looked at. The compiled build puts all of them off: bytes
are a third of the memory of a step, and a step that is made when it is counted is still in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.unknown_fields import UnknownFieldSet

from ragwatch import semconv
from ragwatch.conventions.own import STEP_KINDS
from ragwatch.conventions.own_scan import COMPILED, PARENT, QUERY, looks_whole, scan
from ragwatch.conventions.own_wire import MARK, OwnTrace, encoded_text, slots, take
from ragwatch.conventions.rare_fields import rare_fields
from ragwatch.conventions.shapes import unreadable
from ragwatch.conventions.wire_schema import message_class
from ragwatch.record import Step

_parse_span: Final[Callable[[bytes], Any]] = message_class("Span").FromString


def _field(attribute: bytes) -> bytes:
    return b"\x4a" + bytes([len(attribute)]) + attribute


_QUERY: Final = encoded_text(semconv.STEP, "query")
_HEADS: Final = {kind: _field(MARK) + _field(encoded_text(semconv.STEP, kind)) for kind in STEP_KINDS}
"""Behind the ids of a span that ragwatch's SDK has counted: the mark, and which step it is."""
_ANY_HEAD: Final = tuple(_HEADS.values())
_QUERY_HEAD: Final = _HEADS["query"]
_TRACE_ID: Final = b"\x0a\x10"
_SPAN_ID: Final = b"\x12\x08"
_PARENT_ID: Final = b"\x22\x08"


def put_off(raw: bytes, traces: dict[bytes, OwnTrace]) -> bool:
    """Keep an encoded span that ragwatch's SDK has marked as counted; whether it is one. Its ids are all that counts.

    The SDK writes ids, mark and step first, so that nothing has to be parsed: 1 µs a span instead of 4.
    """
    at = 38 if raw.startswith(_PARENT_ID, 28) else 28
    if not (raw.startswith(_ANY_HEAD, at) and raw.startswith(_TRACE_ID) and raw.startswith(_SPAN_ID, 18)):
        return False
    is_query = raw.startswith(_QUERY_HEAD, at)
    if is_query:
        _parse_span(raw)  # a query that cannot be read is found out here, with its request, and not when it is done
    trace_id = raw[2:18]
    trace = traces.get(trace_id)
    if trace is None:
        trace = traces[trace_id] = OwnTrace(trace_id)
    trace.span_ids.append(raw[20:28])
    if is_query:
        trace.unread_roots.append(raw)
    else:
        trace.unread.append(raw)
        if at == 28:
            trace.alone = True
    return True


def put_off_whole(raw: bytes, traces: dict[bytes, OwnTrace]) -> bool:
    """The same for an encoded span as encoders usually write it, not marked; whether it is one."""
    kind = looks_whole(raw)
    if not kind:
        return False
    trace_id, span_id = raw[2:18], raw[20:28]
    trace = traces.get(trace_id)
    if trace is None:
        trace = traces[trace_id] = OwnTrace(trace_id)
    trace.later(raw, span_id, is_query=kind & QUERY != 0, is_child=raw[28] == PARENT)
    trace.unread_uncounted += 1
    return True


def put_off_parsed(span: Any, encoded: list[bytes], traces: dict[bytes, OwnTrace]) -> None:
    """The same for a marked span as others' exporters write it. ``span`` and ``encoded`` are as for ``take``."""
    trace_id = span.trace_id
    trace = traces.get(trace_id)
    if trace is None:
        trace = traces[trace_id] = OwnTrace(trace_id)
    raw = span.SerializeToString()  # the message itself would hold its whole request in memory
    trace.later(raw, span.span_id, is_query=_QUERY in encoded, is_child=bool(span.parent_span_id))


def key_of(raw: bytes) -> bytes:
    """The ids (trace and span) of a span that was put off."""
    if raw.startswith(_TRACE_ID) and raw.startswith(_SPAN_ID, 18):
        return raw[2:18] + raw[20:28]
    span = _parse_span(raw)
    key: bytes = span.trace_id + span.span_id
    return key


def read_steps(raws: Sequence[bytes], uncounted: list[str]) -> list[Step]:
    """The steps of spans of one trace that were put off. What cannot be read is left out, and counted.

    The ids of those that their process has not counted are added to ``uncounted``.
    """
    found: list[Step] = []
    ids: OwnTrace | None = None
    for raw in raws:
        if COMPILED:
            if ids is None:
                ids = OwnTrace(raw[2:18])
            try:
                step = scan(raw, ids)
            except ProtobufError:  # an attribute of a marked span, which is put off unread: the span's others are good
                step = None
            if step is not None:
                found.append(step)
                continue
        found += _parsed(raw, uncounted)
    if ids is not None and ids.uncounted:
        uncounted += ids.uncounted
    return found


def _parsed(raw: bytes, uncounted: list[str]) -> list[Step]:
    traces: dict[bytes, OwnTrace] = {}
    try:
        span = _parse_span(raw)
    except ProtobufError:
        unreadable["?"] += 1
        return []
    encoded = span.attributes[:]
    try:
        rare = UnknownFieldSet(span)
        take(span, encoded, rare_fields(rare) if len(rare) else None, traces)
    except ProtobufError:
        unreadable["?"] += 1
        take(span, list(filter(_is_readable, encoded)), None, traces)
    for trace in traces.values():
        uncounted += trace.uncounted
    return [step for trace in traces.values() for step in (*trace.roots, *trace.steps)]


def _is_readable(raw: bytes) -> bool:
    try:
        slots[raw]
    except ProtobufError:
        return False
    return True


def read(trace: OwnTrace) -> None:
    """Read what was put off of what a request holds of a trace."""
    for step in read_steps(trace.unread_roots + trace.unread, trace.uncounted):
        trace.put(step, counted=True)  # the ids of those that are not are among ``uncounted`` already
    trace.unread, trace.unread_roots, trace.unread_uncounted = [], [], 0


def part_of(trace: OwnTrace, keep: Callable[[bytes], bool]) -> OwnTrace:
    """The part of what a request holds of a trace whose span ids ``keep`` says yes to."""
    read(trace)
    part = OwnTrace(trace.trace_id)
    uncounted = set(trace.uncounted)
    by_id: dict[str, Step] = {}
    for step in (*trace.roots, *trace.steps):
        by_id.setdefault(step.span_id, step)
    for span_id in trace.span_ids:
        found = by_id.get(span_id.hex())
        if found is not None and keep(span_id):  # without one it was put off, and cannot be read
            part.span_ids.append(span_id)
            part.put(found, counted=found.span_id not in uncounted)
    return part
