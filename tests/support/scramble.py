"""The same OTLP message in another legal encoding."""

from __future__ import annotations

import random

_MESSAGES = {  # path of a message: its fields that are messages
    "request": {1: "group"},
    "group": {1: "resource", 2: "inner"},
    "resource": {1: "attribute"},
    "inner": {1: "scope", 2: "span"},
    "scope": {3: "attribute"},
    "span": {9: "attribute", 11: "event", 13: "link", 15: "status"},
    "event": {3: "attribute"},
    "link": {4: "attribute"},
    "attribute": {2: "value"},
    "value": {5: "array", 6: "kvlist"},
    "array": {1: "value"},
    "kvlist": {1: "attribute"},
}
_SINGULAR = {("group", 1), ("inner", 1), ("span", 15), ("attribute", 2)}
_UNKNOWN = [
    b"\xf8\x07\x05",  # field 127: varint
    b"\xfa\x07\x03abc",  # bytes
    b"\xfd\x07abcd",  # fixed32
    b"\xf9\x07abcdefgh",  # fixed64
    b"\xfb\x07\x08\x01\x0b\x0c\xfc\x07",  # a group that holds a varint and an empty group
]


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def write_varint(value: int, padding: int) -> bytes:
    """A varint; with padding, longer than it need be."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if padding and len(out) + padding <= 5:
        out[-1] |= 0x80
        out += b"\x80" * (padding - 1) + b"\x00"
    return bytes(out)


def scrambled(body: bytes, kind: str, rng: random.Random) -> bytes:
    """The same message written otherwise: fields interleaved, unknown ones between, long varints, pieces to merge."""
    by_number: dict[int, list[bytes]] = {}
    at = 0
    while at < len(body):
        tag, at = _read_varint(body, at)
        number, wire_type = tag >> 3, tag & 7
        start = write_varint(tag, 0)
        if wire_type == 2:
            size, at = _read_varint(body, at)
            payload, at = body[at : at + size], at + size
            inner = _MESSAGES.get(kind, {}).get(number)
            if inner:
                payload = scrambled(payload, inner, rng)
            pieces = [payload]
            if (kind, number) in _SINGULAR and rng.random() < 0.5:
                pieces = [b"", payload, rng.choice(_UNKNOWN)]
            fields = [start + write_varint(len(piece), rng.randrange(3)) + piece for piece in pieces]
        elif wire_type == 0:
            value, at = _read_varint(body, at)
            fields = [start + write_varint(value, rng.randrange(3))]
        else:
            size = 8 if wire_type == 1 else 4
            fields = [start + body[at : at + size]]
            at += size
        held = by_number.setdefault(number, [])
        if fields and held and (kind, number) not in _SINGULAR and number not in _MESSAGES.get(kind, {}):
            held.clear()  # of a number twice the last holds
        held += fields
    queues = [fields for fields in by_number.values() if fields]
    out = []
    while queues:
        queue = rng.choice(queues)
        out.append(queue.pop(0))
        if not queue:
            queues.remove(queue)
        if rng.random() < 0.2:
            out.append(rng.choice(_UNKNOWN))
    return b"".join(out)
