"""ragwatch's own spans straight from protobuf to ``Step``s: no mapping of attributes is built on the way.

What an encoded attribute says is kept by its bytes: the slot of the step that it fills, and the value as it was
checked. A step is the one that ``own.to_step`` makes of the same span. What a request holds of a trace stays together,
so that the assembler looks the trace up once.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from ragwatch import semconv
from ragwatch.conventions.own import FIELDS, SLOTS, STEP_KINDS, STRUCTURE, UNSET, finished, to_step
from ragwatch.conventions.raw import RawSpan
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
        "unread_uncounted",
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
        """The ids of those that their process has not counted, and that were read."""
        self.unread: list[bytes] = []
        """Spans that are read later, if ever, and that are no queries."""
        self.unread_roots: list[bytes] = []
        """The same of queries."""
        self.unread_uncounted = 0
        """How many of those two their process has not counted."""
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

    def later(self, raw: bytes, span_id: bytes, *, is_query: bool, is_child: bool) -> None:
        """Add an encoded span, which is read when somebody asks for its step."""
        self.span_ids.append(span_id)
        if is_query:
            self.unread_roots.append(raw)
        else:
            self.unread.append(raw)
            if not is_child:
                self.alone = True

    def child_of(self, parent_id: bytes) -> str:
        """A parent's id in hex, which is kept for the next step."""
        self.parent_id = parent_id
        self.parent = parent_id.hex()
        return self.parent


STEP: Final = SLOTS["step"]
EXTRA: Final = len(SLOTS)
"""Behind the slots of a step: an attribute of any other name, the mark, packed documents, what says nothing."""
COUNTED: Final = EXTRA + 1
PACKED: Final = EXTRA + 2
_NOTHING: Final = EXTRA + 3
BLANK: Final[list[Any]] = [None] * EXTRA
OUTCOME: Final = SLOTS["outcome"]
_SPECIAL: Final = {semconv.COUNTED: COUNTED, semconv.DOCUMENTS: PACKED}
_unpack_double: Final = Struct("<d").unpack_from


def encoded_text(key: str, value: str) -> bytes:
    """A ``KeyValue`` of a short string, as every encoder writes it."""
    name, text = key.encode(), value.encode()
    held = b"\x0a" + bytes([len(text)]) + text
    return b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(held)]) + held


MARK: Final = encoded_text(semconv.COUNTED, "")[:-3] + b"\x02\x10\x01"
"""The attribute, as every encoder writes it, by which a process says that it has counted the span."""
is_foreign: Final = frozenset(encoded_text(semconv.STEP, kind) for kind in STEP_KINDS).isdisjoint
"""Whether none of a span's encoded attributes says in the usual way that it is a step of ragwatch's."""


def _slot(key: str, value: Any) -> tuple[int, Any]:
    field = FIELDS.get(key)
    if field is not None:
        return field[0], field[2](value)
    if key == semconv.STEP:
        return STEP, value if isinstance(value, str) and value in STEP_KINDS else None
    if key in STRUCTURE:
        return _SPECIAL.get(key, _NOTHING), value
    return EXTRA, (key, value)


Double = tuple[int, Callable[[Any], Any] | None, str]
"""(slot, check, key) of an attribute that is a double."""


def double_slot(raw: bytes, held: Double) -> tuple[int, Any]:
    """(slot, value) of an encoded attribute that ends in a double."""
    slot, check, key = held
    (value,) = _unpack_double(raw, len(raw) - 8)
    return slot, (key, value) if check is None else check(value)


class _Slots(dict[bytes, tuple[int, Any]]):
    """(slot, value) of an encoded attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.doubles: dict[bytes, Double] = {}
        """(slot, check, key) of a double by all that comes before its eight bytes: scores do not repeat."""

    def __missing__(self, raw: bytes) -> tuple[int, Any]:
        held = self.doubles.get(raw[:-8])
        if held is not None:
            return double_slot(raw, held)
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
        if before == _before_double(key) and (slot == EXTRA or key in FIELDS):
            if len(self.doubles) >= MAX_CACHED:
                self.doubles.clear()
            self.doubles[before] = slot, FIELDS[key][2] if key in FIELDS else None, key


def _before_double(key: str) -> bytes | None:
    name = key.encode()
    return b"\x0a" + bytes([len(name)]) + name + b"\x12\x09\x21" if len(name) < 128 else None


slots: Final = _Slots()
_slot_of: Final = slots.__getitem__

_new_step: Final = tuple.__new__


def take(span: Any, encoded: list[bytes], rare: Any, traces: dict[bytes, OwnTrace]) -> None:
    """Put the step that one of ragwatch's own spans is among those of its trace.

    ``span`` is a message of ``wire_schema``, ``encoded`` its attributes, ``rare`` its (events, links, status code,
    status message, …) or None where it has none of them.
    """
    row = BLANK.copy()
    extra = packed = counted = None
    for slot, value in map(_slot_of, encoded):
        if slot < EXTRA:
            if row[slot] is None:
                row[slot] = value
        elif slot == EXTRA:
            if extra is None:
                extra = {}
            extra[value[0]] = value[1]
        elif slot == COUNTED:
            counted = value
        elif slot == PACKED:
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
    if rare is None and packed is None and row[OUTCOME] is None:  # the usual end: what ``finished`` comes to for it
        row[OUTCOME] = "ok"
        step = _new_step(Step, row)
    else:
        step = finished(row, packed, (rare[2], rare[3]) if rare else UNSET, rare[0] if rare else None)
    trace.span_ids.append(span_id)
    trace.put(step, counted=counted is True)


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
