"""Encoded attributes to plain values: what came before is looked up by its bytes instead of being parsed again."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufError

from ragwatch.conventions.wire_schema import message_class

MAX_CACHED: Final = 8192
MAX_CACHED_LENGTH: Final = 256
MAX_DEPTH: Final = 32
MAX_DOUBLES: Final = 64
"""An array of more doubles is an embedding vector: nothing here reads it, and it would cost 0.1 µs a number."""
MAX_STRUCTURE_BYTES: Final = 256 * 1024
"""An array or mapping of more bytes is left out too: nothing here reads it, and it would take 30 times the memory."""

_parse_key_value: Final[Callable[[bytes], Any]] = message_class("KeyValue").FromString
_parse_flat_key_value: Final[Callable[[bytes], Any]] = message_class("FlatKeyValue").FromString
_parse_flat_value: Final[Callable[[bytes], Any]] = message_class("FlatAnyValue").FromString
_parse_flat_list: Final[Callable[[bytes], Any]] = message_class("FlatList").FromString
_unpack_double: Final = Struct("<d").unpack


def text_of(raw: bytes) -> str:
    """Bytes as text; what is no UTF-8 is replaced."""
    return raw.decode("utf-8", "replace")


class Names(dict[bytes, str]):
    """Names by their bytes."""

    def __missing__(self, raw: bytes) -> str:
        name = raw.decode("utf-8", "replace")
        if len(raw) <= MAX_CACHED_LENGTH:
            if len(self) >= MAX_CACHED:
                self.clear()
            self[raw] = name
        return name


class Attributes(dict[bytes, tuple[str, Any]]):
    """The (key, value) of an encoded ``KeyValue``. What is kept is shared, hence immutable: no mappings."""

    def __missing__(self, raw: bytes) -> tuple[str, Any]:
        item = key_value(raw)
        if repeats(raw, item[1]):
            if len(self) >= MAX_CACHED:
                self.clear()
            self[raw] = item
        return item


names: Final = Names()
attributes: Final = Attributes()


def key_value(raw: bytes) -> tuple[str, Any]:
    """The (key, value) of one encoded ``KeyValue``, read anew."""
    return (_short(raw) if len(raw) < 128 else None) or _key_value(raw)


def repeats(raw: bytes, value: object) -> bool:
    """Whether a value is worth keeping, and may be shared: short, no score, no mapping."""
    return len(raw) <= MAX_CACHED_LENGTH and type(value) is not float and _is_immutable(value)


def _is_immutable(value: Any) -> bool:
    kind = type(value)
    return kind is not dict and (kind is not tuple or all(map(_is_immutable, value)))


def _short(raw: bytes) -> tuple[str, Any] | None:
    """A string or a double in the usual form (key, value, lengths of one byte): half of what parsing it costs."""
    size = len(raw)
    if size < 6 or raw[0] != 0x0A:
        return None
    start = raw[1] + 4  # of the AnyValue
    if start + 1 >= size or raw[start - 2] != 0x12 or raw[start - 1] != size - start:
        return None
    if raw[start] == 0x21 and size == start + 9:
        return names[raw[2 : start - 2]], _unpack_double(raw[start + 1 :])[0]
    if raw[start] == 0x0A and raw[start + 1] == size - start - 2:
        return names[raw[2 : start - 2]], raw[start + 2 :].decode("utf-8", "replace")
    return None


def _key_value(raw: bytes) -> tuple[str, Any]:
    if len(raw) > 11 * MAX_DOUBLES:
        flat = _parse_flat_key_value(raw)
        if _is_left_out(b"".join(flat.value)):
            return text_of(flat.key), None
    try:
        item = _parse_key_value(raw)
    except ProtobufError:  # malformed, or nested deeper than protobuf goes (100): then what lies above is still good
        flat = _parse_flat_key_value(raw)
        return text_of(flat.key), _flat_value(b"".join(flat.value), 0)
    return names[item.key], _value(item.value, 0)


def _value(message: Any, depth: int) -> Any:
    held = message.WhichOneof("held")
    if held is None or depth > MAX_DEPTH:
        return None
    if held == "string":
        return message.string.decode("utf-8", "replace")
    value = getattr(message, held)
    if held == "array":
        return _array(tuple([_value(item, depth + 1) for item in value.values]))
    if held == "kvlist":
        return {text_of(item.key): _value(item.value, depth + 1) for item in value.values}
    return value


def _array(values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if len(values) > MAX_DOUBLES and all(type(value) is float for value in values):
        return None
    return values


def _flat_value(raw: bytes, depth: int) -> Any:
    """A value read one level at a time, so that depth costs no more than depth."""
    if depth > MAX_DEPTH:
        return None
    message = _parse_flat_value(raw)
    held = message.WhichOneof("held")
    if held == "array":
        return _array(tuple([_flat_value(item, depth + 1) for item in _parse_flat_list(message.array).values]))
    if held == "kvlist":
        items = [_parse_flat_key_value(item) for item in _parse_flat_list(message.kvlist).values]
        return {text_of(item.key): _flat_value(b"".join(item.value), depth + 1) for item in items}
    return _value(message, depth)


def _is_left_out(raw: bytes) -> bool:
    """Whether it is too big, or doubles only as every encoder writes them: each eleven bytes begin alike."""
    message = _parse_flat_value(raw)
    if len(message.array) + len(message.kvlist) > MAX_STRUCTURE_BYTES:
        return True
    array = message.array
    count, rest = divmod(len(array), 11)
    return (
        rest == 0
        and count > MAX_DOUBLES
        and array[0::11] == b"\x0a" * count
        and array[1::11] == b"\x09" * count
        and array[2::11] == b"\x21" * count
    )
