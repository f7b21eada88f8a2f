"""OTLP traces from protobuf to plain values, for the agent's pipeline.

protobuf's C parser cuts a request into spans and attributes (``wire_schema``); attributes, resources, scopes and names
that came before are looked up by their bytes. 3.5 µs a span with eight attributes, where ``opentelemetry.proto`` and a
walk over every attribute cost 7. Every legal encoding is read as protobuf reads it; hostile bytes raise
``DecodeError`` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.unknown_fields import UnknownFieldSet

from ragwatch.conventions.own_late import put_off, put_off_parsed, put_off_whole
from ragwatch.conventions.own_scan import COMPILED, STEP_KEY
from ragwatch.conventions.own_wire import MARK, OwnTrace, is_foreign, take
from ragwatch.conventions.rare_fields import rare_fields
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.wire_bounds import Swollen, check_bounds
from ragwatch.conventions.wire_schema import message_class
from ragwatch.conventions.wire_values import MAX_CACHED_LENGTH, attributes, names, text_of

__all__ = ["DecodeError", "RawSpan", "ResourceSpans", "ResourceSteps", "Scope", "decode_steps", "decode_traces"]
MAX_RESOURCES: Final = 256
MARK_WITHIN: Final = 4096
"""Where a request's first span says whether its process has counted it: then the others need no parsing either."""


class DecodeError(ValueError):
    """A body that is not what it says."""


class Scope(NamedTuple):
    """An instrumentation scope."""

    name: str
    version: str


class ResourceSpans(NamedTuple):
    """The spans of one resource, by scope."""

    resource: dict[str, Any]
    scopes: list[tuple[Scope, list[RawSpan]]]


class ResourceSteps(NamedTuple):
    """The spans of one resource: ragwatch's own as steps, others by scope."""

    resource: dict[str, Any]
    own: list[OwnTrace]
    scopes: list[tuple[Scope, list[RawSpan]]]


_parse_request: Final[Callable[[bytes], Any]] = message_class("Request").FromString
_parse_unread: Final[Callable[[bytes], Any]] = message_class("UnreadRequest").FromString
_parse_span: Final[Callable[[bytes], Any]] = message_class("Span").FromString
_parse_resource: Final[Callable[[bytes], Any]] = message_class("Resource").FromString
_parse_scope: Final[Callable[[bytes], Any]] = message_class("Scope").FromString
_new_span: Final = tuple.__new__
_attribute: Final = attributes.__getitem__


def decode_traces(body: bytes) -> list[ResourceSpans]:
    """The spans of an ``ExportTraceServiceRequest`` in protobuf; ``DecodeError`` where it is none.

    >>> decode_traces(b"")
    []
    """
    with _refusing():
        return [
            ResourceSpans(resource, [(scope, _spans(messages)) for scope, messages in groups])
            for resource, groups in _cut(body)
        ]


def decode_steps(body: bytes) -> list[ResourceSteps]:
    """The same with ragwatch's own spans as steps already; only others are left among the spans of the scopes.

    Steps that their process has counted are read when somebody asks for them.
    """
    found = []
    head = body[:MARK_WITHIN]
    bare = MARK in head or (COMPILED and STEP_KEY in head)
    with _refusing():
        for resource, groups in _cut(body, _parse_unread if bare else _parse_request):
            own: dict[bytes, OwnTrace] = {}
            scopes = [(scope, _spans(_to_be_read(spans, own) if bare else spans, own)) for scope, spans in groups]
            found.append(ResourceSteps(resource, list(own.values()), scopes))
    return found


def _to_be_read(encoded: Any, own: dict[bytes, OwnTrace]) -> list[Any]:
    """The spans that cannot be put off, parsed."""
    if COMPILED:
        return [_parse_span(raw) for raw in encoded if not (put_off_whole(raw, own) or put_off(raw, own))]
    return [_parse_span(raw) for raw in encoded if not put_off(raw, own)]


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (ProtobufError, Swollen) as error:
        raise DecodeError(f"no OTLP traces in protobuf: {error}") from error


def _cut(
    body: bytes, parse: Callable[[bytes], Any] = _parse_request
) -> list[tuple[dict[str, Any], list[tuple[Scope, Any]]]]:
    """Each resource with its scopes and their messages of spans."""
    check_bounds(body)
    return [
        (
            _resource(b"".join(group.resource)),
            [(_scope(b"".join(inner.scope)), inner.spans) for inner in group.scope_spans],
        )
        for group in parse(body).resource_spans
    ]


def _spans(messages: Any, own: dict[bytes, OwnTrace] | None = None) -> list[RawSpan]:
    """The spans as they came; those of ragwatch's go into ``own`` instead where it is given."""
    found = []
    name_of = names.__getitem__
    for span in messages:
        encoded = span.attributes[:]
        if own is not None and not is_foreign(encoded):
            if MARK in encoded:
                put_off_parsed(span, encoded, own)
            else:
                rare = UnknownFieldSet(span)
                take(span, encoded, rare_fields(rare) if len(rare) else None, own)
            continue
        rare = UnknownFieldSet(span)
        events = links = None
        code = dropped = 0
        message = trace_state = ""
        if len(rare):
            events, links, code, message, trace_state, dropped = rare_fields(rare)
        found.append(
            _new_span(
                RawSpan,
                (
                    span.trace_id,
                    span.span_id,
                    span.parent_span_id,
                    name_of(span.name),
                    span.kind,
                    span.start,
                    span.end,
                    dict(map(_attribute, encoded)),
                    events,
                    links,
                    code,
                    message,
                    trace_state,
                    span.flags,
                    dropped,
                ),
            )
        )
    return found


_resources: Final[dict[bytes, dict[str, Any]]] = {}
_scopes: Final[dict[bytes, Scope]] = {}


def _resource(raw: bytes) -> dict[str, Any]:
    held = _resources.get(raw)
    if held is None:
        held = dict(map(_attribute, _parse_resource(raw).attributes))
        if len(raw) <= 16 * MAX_CACHED_LENGTH:
            if len(_resources) >= MAX_RESOURCES:
                _resources.clear()
            _resources[raw] = held
    return held.copy()


def _scope(raw: bytes) -> Scope:
    held = _scopes.get(raw)
    if held is None:
        scope = _parse_scope(raw)
        held = Scope(text_of(scope.name), text_of(scope.version))
        if len(raw) <= 16 * MAX_CACHED_LENGTH:
            if len(_scopes) >= MAX_RESOURCES:
                _scopes.clear()
            _scopes[raw] = held
    return held
