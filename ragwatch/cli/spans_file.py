"""OTLP traces out of a file or standard input: JSON lines, one JSON document, protobuf; gzipped or not."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from ragwatch.conventions.decode import DecodeError, ResourceSpans, decode_traces
from ragwatch.conventions.decode_json import decode_traces_json
from ragwatch.errors import RagwatchError


def read_traces(name: str) -> Iterator[ResourceSpans]:
    """The spans of a file (``-``: standard input); ``RagwatchError`` that says what is wrong and where."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise RagwatchError(f"{name} cannot be read: {error.strerror}") from None
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise RagwatchError(f"{name} is no whole gzip file: {error}") from None
    if data.lstrip()[:1] in {b"{", b"["}:
        yield from _json(name, data)
        return
    if not data.strip():
        raise RagwatchError(f"{name} is empty: OTLP traces are wanted, as JSON lines or protobuf")
    try:
        yield from decode_traces(data)
    except DecodeError as error:
        raise RagwatchError(f"{name} holds no OTLP traces (JSON lines or protobuf): {error}") from None


def _json(name: str, data: bytes) -> Iterator[ResourceSpans]:
    lines = [line for line in data.splitlines() if line.strip()]
    try:
        json.loads(lines[0])
    except ValueError:
        yield from _decoded(name, data, None)
        return
    for number, line in enumerate(lines, 1):
        yield from _decoded(name, line, number if len(lines) > 1 else None)


def _decoded(name: str, text: bytes, line: int | None) -> Iterator[ResourceSpans]:
    try:
        yield from decode_traces_json(text)
    except DecodeError as error:
        place = name if line is None else f"{name}, line {line}"
        raise RagwatchError(f"{place}: no OTLP traces: {error}") from None
