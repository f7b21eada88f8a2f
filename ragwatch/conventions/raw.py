"""Spans as they came off the wire, before any convention has read them."""

from __future__ import annotations

from typing import Any, NamedTuple


class DecodeError(ValueError):
    """Bytes that are no OTLP request."""


class RawSpan(NamedTuple):
    """One span. Ids are bytes, times nanoseconds since the epoch, ``status_code`` is 0 unset, 1 ok, 2 error."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]] | None
    links: list[tuple[bytes, bytes, dict[str, Any]]] | None
    status_code: int
    status_message: str
    trace_state: str
    flags: int
    dropped_attributes: int


class Scope(NamedTuple):
    """An instrumentation scope."""

    name: str
    version: str


class ResourceSpans(NamedTuple):
    """The spans of one resource, by scope."""

    resource: dict[str, Any]
    scopes: list[tuple[Scope, list[RawSpan]]]
