"""OTLP's attributes in protobuf's wire format: any Python value that an attribute may hold, encoded.

Field numbers are of ``opentelemetry/proto/common/v1/common.proto``. Encoding one repeated attribute is a dict look-up:
apps say the same model, provider and step over and over, and the cache is most of what makes the encoder fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any

MAX_CACHED = 8192
MAX_CACHED_LENGTH = 96
MAX_DEPTH = 32
pack_double = Struct("<d").pack
pack_fixed64 = Struct("<Q").pack
_INT64 = range(-(1 << 63), 1 << 63)


def varint(value: int) -> bytes:
    r"""A base-128 varint; a negative number as its 64-bit two's complement.

    >>> varint(1), varint(300), len(varint(-1))
    (b'\x01', b'\xac\x02', 10)
    """
    if value < 0:
        value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_LENGTHS = [varint(length) for length in range(2048)]


def sized(tag: bytes, payload: bytes) -> bytes:
    """A length-delimited field."""
    length = len(payload)
    return tag + (_LENGTHS[length] if length < 2048 else varint(length)) + payload


def text(value: str) -> bytes:
    """UTF-8; lone surrogates, which JSON clients do send, become question marks."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")


def any_value(value: Any, depth: int = 0) -> bytes:
    """The payload of an ``AnyValue``; what is no OTLP type goes as its ``str``, what nests too deep is empty."""
    kind = type(value)
    if kind is str:
        return sized(b"\x0a", text(value))
    if kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if kind is int:
        return b"\x18" + varint(value) if value in _INT64 else sized(b"\x0a", str(value).encode())
    if kind is float:
        return b"\x21" + pack_double(value)
    if value is None or depth > MAX_DEPTH:
        return b""
    return _rare_value(value, depth)


def _rare_value(value: Any, depth: int) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return sized(b"\x3a", bytes(value))
    if isinstance(value, Mapping):
        inner = b"".join(sized(b"\x0a", key_value(str(key), held, depth + 1)) for key, held in value.items())
        return sized(b"\x32", inner)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return sized(b"\x2a", b"".join(sized(b"\x0a", any_value(item, depth + 1)) for item in value))
    if isinstance(value, str):  # enums and other subclasses of the plain types
        return sized(b"\x0a", text(str.__str__(value)))
    if isinstance(value, int):
        return any_value(int(value), depth)
    if isinstance(value, float):
        return any_value(float(value), depth)
    return sized(b"\x0a", text(str(value)))


def key_value(key: str, value: Any, depth: int = 0) -> bytes:
    """The payload of a ``KeyValue``."""
    return sized(b"\x0a", text(key)) + sized(b"\x12", any_value(value, depth))


class AttributeEncoder:
    """Encodes attributes under one field tag, with a bounded cache of what was encoded before."""

    __slots__ = ("_bools", "_cached", "_doubles", "_ints", "_strings", "_tag")

    def __init__(self, tag: bytes) -> None:
        self._tag = tag
        self._strings: dict[tuple[str, str], bytes] = {}
        self._ints: dict[tuple[str, int], bytes] = {}
        self._bools: dict[tuple[str, bool], bytes] = {}
        self._doubles: dict[str, bytes] = {}
        self._cached = 0

    def append(self, attributes: Mapping[str, Any], out: Callable[[bytes], Any]) -> None:
        """Hand each attribute's field to ``out``. A cache a type: True, 1 and 1.0 are equal and yet three values."""
        strings, ints = self._strings, self._ints
        for key, value in attributes.items():
            kind = type(value)
            held: bytes | None
            if kind is str:
                held = strings.get((key, value))
            elif kind is int:
                held = ints.get((key, value))
            elif kind is bool:
                held = self._bools.get((key, value))
            elif kind is float:
                out(self._double(key) + pack_double(value))
                continue
            else:
                held = None
            out(held if held is not None else self._encode(key, value))

    def _double(self, key: str) -> bytes:
        """Everything of a double attribute before its eight bytes: scores differ each time, their names do not."""
        held = self._doubles.get(key)
        if held is None:
            name = sized(b"\x0a", text(key))
            held = self._tag + varint(len(name) + 11) + name + b"\x12\x09\x21"
            if len(self._doubles) < MAX_CACHED:
                self._doubles[key] = held
        return held

    def _encode(self, key: str, value: Any) -> bytes:
        field = sized(self._tag, key_value(key, value))
        kind = type(value)
        if kind is str:
            if len(value) <= MAX_CACHED_LENGTH:
                self._room()[(key, value)] = field
        elif kind is int:
            self._room()
            self._ints[(key, value)] = field
        elif kind is bool:
            self._room()
            self._bools[(key, value)] = field
        return field

    def _room(self) -> dict[tuple[str, str], bytes]:
        """Start anew when the cache is full: cheaper than keeping an order, and what repeats is back at once."""
        self._cached += 1
        if self._cached > MAX_CACHED:
            self._strings.clear()
            self._ints.clear()
            self._bools.clear()
            self._cached = 1
        return self._strings
