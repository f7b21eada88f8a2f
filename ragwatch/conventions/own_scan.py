"""ragwatch's own spans read byte by byte: what the compiled build does instead of asking protobuf for each field.

Interpreted, this costs more than ``own_wire.take``; compiled, less than half. Only a span as encoders write it is read
here, and it becomes the step that ``take`` makes of it. Any other is left to protobuf.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from ragwatch import semconv
from ragwatch.conventions.own import STEP_KINDS, UNSET, finished
from ragwatch.conventions.own_wire import BLANK, COUNTED, EXTRA, OUTCOME, PACKED, STEP, OwnTrace, double_slot, slots
from ragwatch.conventions.wire_values import names
from ragwatch.record import Step

COMPILED: Final = not __file__.endswith(".py")
STEP_KEY: Final = b"\x0a" + bytes([len(semconv.STEP)]) + semconv.STEP.encode()
OWN: Final = 1
QUERY: Final = 2
"""What ``looks_whole`` says of a span: it is a step of ragwatch's; and that step is a query."""
_KINDS: Final = frozenset(kind.encode() for kind in STEP_KINDS)
_MARK_KEY: Final = semconv.COUNTED.encode()
_unpack_times: Final = Struct("<QxQ").unpack_from
_new_step: Final = tuple.__new__
PARENT: Final = 0x22
_NAME: Final = 0x2A
_KIND: Final = 0x30
_START: Final = 0x39
_END: Final = 0x41
_ATTRIBUTE: Final = 0x4A
_FLAGS: Final = 0x85
_STATUS: Final = 0x7A
_OK: Final = b"\x18\x01"


def _has_ids(raw: bytes) -> bool:
    """Whether the ids of trace and span stand first, and anything else behind them."""
    return len(raw) >= 48 and raw[0] == 0x0A and raw[1] == 16 and raw[18] == 0x12 and raw[19] == 8


def _long(raw: bytes, at: int) -> int:
    """A length of two bytes, the second of which is at ``at``; -1 where there are more, or fewer."""
    return raw[at - 1] - 128 + (raw[at] << 7) if at < len(raw) and raw[at] < 128 else -1


def looks_whole(raw: bytes) -> int:
    """Whether an encoded span is one of ragwatch's that ``scan`` will read: OWN, OWN | QUERY, or 0 where it is not.

    Ids come first, then name, kind, both times, attributes, flags, a status that says nothing; every length is that of
    what it is the length of, down to the values of attributes. A span that its process has counted is not among them.
    """
    size = len(raw)
    if not _has_ids(raw):
        return 0
    at = 28
    if raw[28] == PARENT:
        if raw[29] != 8:
            return 0
        at = 38
    found = times = 0
    while at + 1 < size:
        tag = raw[at]
        length = raw[at + 1]
        at += 2
        if tag == _ATTRIBUTE or tag == _NAME or tag == _STATUS:  # noqa: PLR1714, SIM109 - no set, compiled
            if length > 127:
                length = _long(raw, at)
                at += 1
            until = at + length
            if length < 0 or until > size:
                return 0
            if tag == _ATTRIBUTE:
                said = _attribute(raw, at, until)
                if said == 0 or said & found & OWN:  # which step it is, said twice
                    return 0
                found |= said
            elif tag == _STATUS and length and (length != 2 or raw[at] != 0x18 or raw[at + 1] != 1):
                return 0
            at = until
        elif tag == _START:
            at += 16
            if at > size or raw[at - 9] != _END:
                return 0
            times += 1
        elif tag == _FLAGS:
            at += 4
            if length != 1 or at > size:
                return 0
        elif tag != _KIND or length > 127:
            return 0
    return found & 3 if at == size and found & OWN and times == 1 else 0


_PLAIN: Final = 4


def _attribute(raw: bytes, at: int, until: int) -> int:
    """What an attribute says: ``_PLAIN``, with OWN where it is which step, QUERY where that is a query; 0 not usual."""
    if until - at < 6 or raw[at] != 0x0A:
        return 0
    key = raw[at + 1]
    value = at + key + 2
    if key > 127 or value + 2 > until or raw[value] != 0x12:
        return 0
    held = raw[value + 1]
    value += 2
    if held > 127:
        held = _long(raw, value)
        value += 1
    if value + held != until or held < 2:
        return 0
    kind = raw[value]
    if kind == 0x0A:  # a string
        length = raw[value + 1]
        value += 2
        if length > 127:
            length = _long(raw, value)
            value += 1
        if length < 0 or value + length != until:
            return 0
        if key == len(semconv.STEP) and raw[at + 2 : at + 2 + key] == STEP_KEY[2:]:
            step = raw[value:until]
            if step not in _KINDS:
                return 0
            return _PLAIN | OWN | QUERY if step == b"query" else _PLAIN | OWN
        return _PLAIN
    if kind == 0x21:  # a double
        return _PLAIN if held == 9 else 0
    if kind == 0x10:  # a bool
        if held != 2 or raw[value + 1] > 1 or raw[at + 2 : at + 2 + key] == _MARK_KEY:
            return 0
        return _PLAIN
    if kind != 0x18 or held > 11 or (held == 11 and raw[until - 1] != 1):  # no whole number
        return 0
    for place in range(value + 1, until - 1):
        if raw[place] < 128:
            return 0
    return _PLAIN if raw[until - 1] < 128 else 0


def scan(raw: bytes, ids: OwnTrace) -> Step | None:
    """The step of an encoded span of that trace; None where it is not as encoders usually write it.

    ``ids`` has the ids of the trace and of the parent before in hex, and takes that of one that its process has not
    counted. An attribute that cannot be read raises protobuf's ``DecodeError``.
    """
    if not _has_ids(raw) or raw[2:18] != ids.trace_id:
        return None
    row: list[Any] = BLANK.copy()
    at = 28
    if raw[28] == PARENT and raw[29] == 8:
        parent_id = raw[30:38]
        row[3] = ids.parent if parent_id == ids.parent_id else ids.child_of(parent_id)
        at = 38
    try:
        return _filled(raw, at, row, ids)
    except IndexError:  # it ends too early
        return None


def _filled(raw: bytes, at: int, row: list[Any], ids: OwnTrace) -> Step | None:
    """The step whose fields stand from ``at`` on; ``row`` has its parent."""
    size = len(raw)
    doubles = slots.doubles
    extra: dict[str, Any] | None = None
    packed: Any = None
    name = b""
    counted = False
    while at < size:
        tag = raw[at]
        length = raw[at + 1]
        at += 2
        if tag == _ATTRIBUTE or tag == _NAME or tag == _STATUS:  # noqa: PLR1714, SIM109 - no set, compiled
            if length > 127:
                length = _long(raw, at)
                if length < 0:
                    return None
                at += 1
            held = raw[at : at + length]
            at += length
            if tag == _ATTRIBUTE:
                double = doubles.get(held[:-8]) if length > 12 and held[length - 9] == 0x21 else None
                slot, value = slots[held] if double is None else double_slot(held, double)
                if slot < EXTRA:
                    if row[slot] is None:
                        row[slot] = value
                elif slot == EXTRA:
                    if extra is None:
                        extra = {}
                    extra[value[0]] = value[1]
                elif slot == PACKED:
                    packed = value
                elif slot == COUNTED:
                    counted = value is True
            elif tag == _NAME:
                name = held
            elif length and held != _OK:
                return None
        elif tag == _START:
            if raw[at + 7] != _END:
                return None
            at += 16
            if at > size:
                return None
            times = _unpack_times(raw, at - 17)
            row[4] = times[0]
            row[5] = times[1]
        elif tag == _FLAGS:
            if length != 1:
                return None
            at += 4
        elif tag != _KIND or length > 127:
            return None
    if at != size or row[STEP] is None or row[4] is None:
        return None
    row[1] = names[name]
    row[2] = span_id = raw[20:28].hex()
    if not counted:
        ids.uncounted.append(span_id)
    row[6] = ids.id
    row[-1] = extra
    if packed is None and row[OUTCOME] is None:
        row[OUTCOME] = "ok"
        step: Step = _new_step(Step, row)
        return step
    return finished(row, packed, UNSET, None)
