"""ragwatch's own spans straight from protobuf to ``Step``s: no mapping of attributes is built on the way.

What an encoded attribute says is kept by its bytes: the slot of the step that it fills, and the value as it was
checked. A step is the one that ``own.to_step`` makes of the same span. What a request holds of a trace stays together,
so that the assembler looks the trace up once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.unknown_fields import UnknownFieldSet

from ragwatch import semconv
from ragwatch.conventions.own import FIELDS, SLOTS, STEP_KINDS, STRUCTURE, UNSET, finished, to_step
from ragwatch.conventions.rare_fields import rare_fields
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import unreadable
from ragwatch.conventions.wire_schema import message_class
from ragwatch.conventions.wire_values import MAX_CACHED, key_value, names, repeats
from ragwatch.record import Step


class OwnTrace:
    """What one request holds of ragwatch's own spans of one trace, in the order in which they came."""

    __slots__ = (
        "alone",
        "id",
        "parent",
        "parent_id",
        "roots",
        "span_ids",
        "steps",
        "trace_id",
        "uncounted",
        "unread",
        "unread_roots",
    )

    def __init__(self, trace_id: bytes) -> None:
        self.trace_id = trace_id
        self.id = trace_id.hex()
        self.span_ids: list[bytes] = []
        self.roots: list[Step] = []
        self.steps: list[Step] = []
        """Those that are no queries."""
        self.alone = False
        """One of ``steps`` has no parent: no query will come."""
        self.uncounted: list[str] = []
        """The ids of those that their process has not counted."""
        self.unread: list[bytes] = []
        """Spans that their process has counted and that are no queries: few of their steps are ever looked at."""
        self.unread_roots: list[bytes] = []
        """The same of queries."""
        self.parent_id = b""
        self.parent = ""
        """The same in hex: most steps have the same parent."""

    def put(self, step: Step, *, counted: bool) -> None:
        """Add one step, whose id is among ``span_ids``."""
        if step.step == "query":
            self.roots.append(step)
        else:
            self.steps.append(step)
            if step.parent_id is None:
                self.alone = True
        if not counted:
            self.uncounted.append(step.span_id)

    def read(self) -> None:
        """Read what was put off."""
        for step in read_steps(self.unread_roots + self.unread):
            self.put(step, counted=True)
        self.unread, self.unread_roots = [], []

    def child_of(self, parent_id: bytes) -> str:
        """A parent's id in hex, which is kept for the next step."""
        self.parent_id = parent_id
        self.parent = parent_id.hex()
        return self.parent

    def part(self, keep: Callable[[bytes], bool]) -> OwnTrace:
        """The part whose span ids ``keep`` says yes to."""
        self.read()
        part = OwnTrace(self.trace_id)
        uncounted = set(self.uncounted)
        by_id: dict[str, Step] = {}
        for step in (*self.roots, *self.steps):
            by_id.setdefault(step.span_id, step)
        for span_id in self.span_ids:
            found = by_id.get(span_id.hex())
            if found is not None and keep(span_id):  # without one it was put off, and cannot be read
                part.span_ids.append(span_id)
                part.put(found, counted=found.span_id not in uncounted)
        return part


_parse_span: Callable[[bytes], Any] = message_class("Span").FromString
_STEP = SLOTS["step"]
_EXTRA = len(SLOTS)
"""Behind the slots of a step: an attribute of any other name, the mark, packed documents, what says nothing."""
_COUNTED, _PACKED, _NOTHING = _EXTRA + 1, _EXTRA + 2, _EXTRA + 3
_BLANK: list[Any] = [None] * _EXTRA
_OUTCOME = SLOTS["outcome"]
_SPECIAL = {semconv.COUNTED: _COUNTED, semconv.DOCUMENTS: _PACKED}
_unpack_double = Struct("<d").unpack_from


def _encoded(key: str, value: str) -> bytes:
    """A ``KeyValue`` of a short string, as every encoder writes it."""
    name, text = key.encode(), value.encode()
    held = b"\x0a" + bytes([len(text)]) + text
    return b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(held)]) + held


def _field(attribute: bytes) -> bytes:
    return b"\x4a" + bytes([len(attribute)]) + attribute


_QUERY = _encoded(semconv.STEP, "query")
MARK = _encoded(semconv.COUNTED, "")[:-3] + b"\x02\x10\x01"
"""The attribute, as every encoder writes it, by which a process says that it has counted the span."""
_HEADS = {kind: _field(MARK) + _field(_encoded(semconv.STEP, kind)) for kind in STEP_KINDS}
"""Behind the ids of a span that ragwatch's SDK has counted: the mark, and which step it is."""
_ANY_HEAD, _QUERY_HEAD = tuple(_HEADS.values()), _HEADS["query"]
_TRACE_ID, _SPAN_ID, _PARENT_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
is_foreign = frozenset(_encoded(semconv.STEP, kind) for kind in STEP_KINDS).isdisjoint
"""Whether none of a span's encoded attributes says in the usual way that it is a step of ragwatch's."""


def _slot(key: str, value: Any) -> tuple[int, Any]:
    field = FIELDS.get(key)
    if field is not None:
        return field[0], field[2](value)
    if key == semconv.STEP:
        return _STEP, value if isinstance(value, str) and value in STEP_KINDS else None
    if key in STRUCTURE:
        return _SPECIAL.get(key, _NOTHING), value
    return _EXTRA, (key, value)


class _Slots(dict[bytes, tuple[int, Any]]):
    """(slot, value) of an encoded attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.doubles: dict[bytes, tuple[int, Callable[[Any], Any] | None, str]] = {}
        """(slot, check, key) of a double by all that comes before its eight bytes: scores do not repeat."""

    def __missing__(self, raw: bytes) -> tuple[int, Any]:
        held = self.doubles.get(raw[:-8])
        if held is not None:
            slot, check, key = held
            (value,) = _unpack_double(raw, len(raw) - 8)
            return slot, (key, value) if check is None else check(value)
        key, value = key_value(raw)
        found = _slot(key, value)
        if type(value) is float:
            self._note_double(raw[:-8], key, found[0])
        elif repeats(raw, value):
            if len(self) >= MAX_CACHED:
                self.clear()
            self[raw] = found
        return found

    def _note_double(self, before: bytes, key: str, slot: int) -> None:
        if before == _before_double(key) and (slot == _EXTRA or key in FIELDS):
            if len(self.doubles) >= MAX_CACHED:
                self.doubles.clear()
            self.doubles[before] = slot, FIELDS[key][2] if key in FIELDS else None, key


def _before_double(key: str) -> bytes | None:
    name = key.encode()
    return b"\x0a" + bytes([len(name)]) + name + b"\x12\x09\x21" if len(name) < 128 else None


slots = _Slots()
_slot_of = slots.__getitem__

_new_step = tuple.__new__


def take(span: Any, encoded: list[bytes], rare: Any, traces: dict[bytes, OwnTrace]) -> None:
    """Put the step that one of ragwatch's own spans is among those of its trace.

    ``span`` is a message of ``wire_schema``, ``encoded`` its attributes, ``rare`` its (events, links, status code,
    status message, …) or None where it has none of them.
    """
    row = _BLANK.copy()
    extra = packed = counted = None
    for slot, value in map(_slot_of, encoded):
        if slot < _EXTRA:
            if row[slot] is None:
                row[slot] = value
        elif slot == _EXTRA:
            if extra is None:
                extra = {}
            extra[value[0]] = value[1]
        elif slot == _COUNTED:
            counted = value
        elif slot == _PACKED:
            packed = value
    trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
    trace = traces.get(trace_id)
    if trace is None:
        trace = traces[trace_id] = OwnTrace(trace_id)
    row[1] = names[span.name]
    row[2] = span_id.hex()
    if parent_id:
        row[3] = trace.parent if parent_id == trace.parent_id else trace.child_of(parent_id)
    row[4] = span.start
    row[5] = span.end
    row[6] = trace.id
    row[-1] = extra
    if rare is None and packed is None and row[_OUTCOME] is None:  # the usual end: what ``finished`` comes to for it
        row[_OUTCOME] = "ok"
        step = _new_step(Step, row)
    else:
        step = finished(row, packed, (rare[2], rare[3]) if rare else UNSET, rare[0] if rare else None)
    trace.span_ids.append(span_id)
    trace.put(step, counted=counted is True)


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


def put_off_parsed(span: Any, encoded: list[bytes], traces: dict[bytes, OwnTrace]) -> None:
    """The same for a marked span as others' exporters write it. ``span`` and ``encoded`` are as for ``take``."""
    trace_id = span.trace_id
    trace = traces.get(trace_id)
    if trace is None:
        trace = traces[trace_id] = OwnTrace(trace_id)
    trace.span_ids.append(span.span_id)
    raw = span.SerializeToString()  # the message itself would hold its whole request in memory
    if _QUERY in encoded:
        trace.unread_roots.append(raw)
    else:
        trace.unread.append(raw)
        if not span.parent_span_id:
            trace.alone = True


def key_of(raw: bytes) -> bytes:
    """The ids (trace and span) of a span that was put off."""
    if raw.startswith(_TRACE_ID) and raw.startswith(_SPAN_ID, 18):
        return raw[2:18] + raw[20:28]
    span = _parse_span(raw)
    key: bytes = span.trace_id + span.span_id
    return key


def read_steps(raws: Sequence[bytes]) -> list[Step]:
    """The steps of spans of one trace that were put off. What cannot be read is left out, and counted."""
    traces: dict[bytes, OwnTrace] = {}
    for raw in raws:
        try:
            span = _parse_span(raw)
        except ProtobufError:
            unreadable["?"] += 1
            continue
        encoded = span.attributes[:]
        try:
            rare = UnknownFieldSet(span)
            take(span, encoded, rare_fields(rare) if len(rare) else None, traces)
        except ProtobufError:
            unreadable["?"] += 1
            take(span, list(filter(_is_readable, encoded)), None, traces)
    return [step for trace in traces.values() for step in (*trace.roots, *trace.steps)]


def _is_readable(raw: bytes) -> bool:
    try:
        _slot_of(raw)
    except ProtobufError:
        return False
    return True


def own_trace(raw: RawSpan, kind: str) -> OwnTrace:
    """One of ragwatch's own spans that was not read as one."""
    step = to_step(
        kind,
        raw.name,
        (raw.trace_id.hex(), raw.span_id.hex(), raw.parent_id.hex() or None),
        (raw.start_ns, raw.end_ns),
        (raw.status_code, raw.status_message),
        raw.attributes,
        raw.events,
    )
    came = OwnTrace(raw.trace_id)
    came.span_ids.append(raw.span_id)
    came.put(step, counted=raw.attributes.get(semconv.COUNTED) is True)
    return came
