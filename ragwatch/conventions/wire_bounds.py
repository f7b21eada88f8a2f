"""How much memory a request may come to: many tiny messages become a hundred times their bytes when they are decoded.

A megabyte of empty spans (two bytes each) would take 184 MB, of empty events 112 MB. A real span has ids, 28 bytes at
the least. So a request of over 256 KiB is walked once before anything is made of it: 0.8 µs a span.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

SMALL_BYTES: Final = 256 * 1024
"""A request of fewer bytes cannot come to more than 50 MB, and is not walked."""
MIN_SPAN_BYTES: Final = 24
LARGE_SPAN_BYTES: Final = 16 * 1024
MAX_SPAN_FIELDS: Final = 10_000
"""Attributes, events and links of one span; SDKs stop at 128 of each."""
_MAX_GROUPS: Final = 32


class Swollen(ValueError):
    """More messages than the request's bytes can mean."""


def check_bounds(body: bytes) -> None:
    """Raise ``Swollen`` where decoding would take far more memory than the request's bytes.

    >>> check_bounds(bytes.fromhex("0a00") * 100)
    >>> check_bounds(bytes.fromhex("0a00") * 200_000)
    Traceback (most recent call last):
    ...
    ragwatch.conventions.wire_bounds.Swollen: more than 16666 messages in 400000 bytes
    """
    size = len(body)
    if size <= SMALL_BYTES:
        return
    limit = size // MIN_SPAN_BYTES
    for count, (start, end) in enumerate(_messages(body)):
        if count >= limit:
            raise Swollen(f"more than {limit} messages in {size} bytes")
        if end - start > LARGE_SPAN_BYTES:
            _check_span(body, start, end)


def _messages(body: bytes) -> Iterator[tuple[int, int]]:
    """Where resources' and scopes' groups lie (as empty) and where every span lies."""
    for group in _submessages(body, 0, len(body), 1):
        yield group[0], group[0]
        for scope in _submessages(body, *group, 2):
            yield scope[0], scope[0]
            yield from _submessages(body, *scope, 2)


def _check_span(body: bytes, start: int, end: int) -> None:
    for count, _ in enumerate(_fields(body, start, end)):
        if count >= MAX_SPAN_FIELDS:
            raise Swollen(f"a span of more than {MAX_SPAN_FIELDS} fields")


def _submessages(body: bytes, start: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Where the submessages of that field number lie."""
    wanted = number << 3 | 2
    for tag, at, until in _fields(body, start, end):
        if tag == wanted:
            yield at, until


def _fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Every field's tag and where its value lies; ends early where the bytes make no sense: the parser will say so."""
    groups = 0
    try:
        while at < end:
            tag = body[at]
            at += 1
            if tag > 0x7F:
                tag, at = _varint(body, at - 1)
            kind = tag & 7
            if kind == 2:
                size = body[at]
                at += 1
                if size > 0x7F:
                    size, at = _varint(body, at - 1)
                until = at + size
            elif kind == 0:
                until = _varint(body, at)[1]
            elif kind in {1, 5}:
                until = at + (8 if kind == 1 else 4)
            else:  # a group begins or ends
                groups += 1 if kind == 3 else -1
                if groups > _MAX_GROUPS:
                    raise Swollen(f"groups nested deeper than {_MAX_GROUPS}")
                if kind > 4 or groups < 0:
                    return
                until = at
            if until > end:
                return
            if not groups:
                yield tag, at, until
            at = until
    except IndexError:
        return


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError
