"""OTLP's attributes in protobuf's wire format: any Python value that an attribute may hold, encoded.

Field numbers are of ``opentelemetry/proto/common/v1/common.proto``. Encoding a repeated attribute is a dict look-up of
0.06 µs (1 µs without): apps say the same model, provider and step over and over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from numbers import Integral, Real
from struct import Struct
from typing import Any

MAX_CACHED = 4096
MAX_CACHED_LENGTH = 160
MAX_CACHED_INTEGER = 1 << 16
MAX_DEPTH = 32
pack_double = Struct("<d").pack
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
    r"""A length-delimited field.

    >>> sized(b"\x0a", b"abc")
    b'\n\x03abc'
    """
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
        return b"\x18" + varint(value) if value in _INT64 else sized(b"\x0a", text(_described(value)))
    if kind is float:
        return b"\x21" + pack_double(value)
    if value is None or depth > MAX_DEPTH:
        return b""
    return _rare_value(value, depth)


def _rare_value(value: Any, depth: int) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return sized(b"\x3a", bytes(value))
    if isinstance(value, str):  # enums and other subclasses of the plain types
        return sized(b"\x0a", text(str.__str__(value)))
    if isinstance(value, Mapping):
        inner = b"".join([sized(b"\x0a", key_value(key, held, depth + 1)) for key, held in value.items()])
        return sized(b"\x32", inner)
    if isinstance(value, Sequence | AbstractSet):
        return sized(b"\x2a", b"".join([sized(b"\x0a", any_value(item, depth + 1)) for item in value]))
    if isinstance(value, Integral):  # numpy's numbers register as these
        return any_value(int(value), depth)
    if isinstance(value, Real):
        return any_value(float(value), depth)
    return sized(b"\x0a", text(_described(value)))


def _described(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  (an attribute whose __str__ fails must not take the span along)
        return f"<{type(value).__name__}>"


def key_value(key: str, value: Any, depth: int = 0) -> bytes:
    r"""The payload of a ``KeyValue``.

    >>> key_value("k", True)
    b'\n\x01k\x12\x02\x10\x01'
    """
    name = text(key if isinstance(key, str) else _described(key))
    return sized(b"\x0a", name) + sized(b"\x12", any_value(value, depth))


class AttributeFields(dict[type, Any]):
    r"""Encoded attributes under one field tag: ``fields[type(value)][key, value]`` is the field's bytes.

    One bounded cache a type, since ``True``, ``1`` and ``1.0`` are equal and yet three values. A cache that is full is
    cleared: cheaper than keeping an order, and what repeats is back at once.

    >>> fields = AttributeFields(b"\x4a")
    >>> [fields[type(value)]["k", value][-2:] for value in (True, 1, True)]
    [b'\x10\x01', b'\x18\x01', b'\x10\x01']
    """

    __slots__ = ("_tag",)

    def __init__(self, tag: bytes) -> None:
        super().__init__()
        self._tag = tag
        self[str] = _Texts(tag)
        self[int] = _Integers(tag)
        self[bool] = _Integers(tag)
        self[float] = _Doubles(tag)

    def __missing__(self, kind: type) -> _Uncached:
        return _Uncached(self._tag)

    def join(self, attributes: Mapping[str, Any]) -> bytes:
        """Every attribute's field, one after the other."""
        return b"".join([self[type(item[1])][item] for item in attributes.items()])


class _Texts(dict[tuple[str, str], bytes]):
    __slots__ = ("tag",)

    def __init__(self, tag: bytes) -> None:
        super().__init__()
        self.tag = tag

    def __missing__(self, item: tuple[str, str]) -> bytes:
        field = sized(self.tag, key_value(*item))
        if len(field) <= MAX_CACHED_LENGTH:
            if len(self) >= MAX_CACHED:
                self.clear()
            self[item] = field
        return field


class _Integers(dict[tuple[str, int], bytes]):
    __slots__ = ("tag",)

    def __init__(self, tag: bytes) -> None:
        super().__init__()
        self.tag = tag

    def __missing__(self, item: tuple[str, int]) -> bytes:
        field = sized(self.tag, key_value(*item))
        if -1 <= item[1] < MAX_CACHED_INTEGER and len(field) <= MAX_CACHED_LENGTH:  # larger ones do not repeat
            if len(self) >= MAX_CACHED:
                self.clear()
            self[item] = field
        return field


class _Doubles(dict[str, bytes]):
    """Everything of a double attribute before its eight bytes: scores differ each time, their names do not."""

    __slots__ = ("tag",)

    def __init__(self, tag: bytes) -> None:
        super().__init__()
        self.tag = tag

    def __getitem__(self, item: Any) -> bytes:
        return (self.get(item[0]) or self._start(item[0])) + pack_double(item[1])

    def _start(self, key: str) -> bytes:
        start = sized(self.tag, key_value(key, 0.0))[:-8]
        if len(start) <= MAX_CACHED_LENGTH:
            if len(self) >= MAX_CACHED:
                self.clear()
            self[key] = start
        return start


class _Uncached:
    """Values that cannot be keys, or whose equality says nothing of their types: ``(1,) == (True,)``."""

    __slots__ = ("_tag",)

    def __init__(self, tag: bytes) -> None:
        self._tag = tag

    def __getitem__(self, item: tuple[str, Any]) -> bytes:
        return sized(self._tag, key_value(*item))
