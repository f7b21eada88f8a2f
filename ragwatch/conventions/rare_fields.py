"""A span's fields that few spans have: trace state, events, links, status. They stay among its unknown fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ragwatch.conventions.wire_schema import message_class
from ragwatch.conventions.wire_values import attributes, names, text_of

_TRACE_STATE, _DROPPED, _EVENT, _LINK, _STATUS = 3, 10, 11, 13, 15
_VARINT, _LENGTH_DELIMITED = 0, 2
_parse_event: Final[Callable[[bytes], Any]] = message_class("Event").FromString
_parse_link: Final[Callable[[bytes], Any]] = message_class("Link").FromString
_parse_status: Final[Callable[[bytes], Any]] = message_class("Status").FromString
_attribute: Final = attributes.__getitem__


def rare_fields(fields: Any) -> tuple[Any, Any, int, str, str, int]:
    """(events, links, status code, status message, trace state, dropped attributes) of a span's unknown fields."""
    events: list[tuple[str, int, dict[str, Any]]] = []
    links: list[tuple[bytes, bytes, str, dict[str, Any]]] = []
    status: list[bytes] = []
    trace_state = ""
    dropped = 0
    for field in fields:
        number, wire_type = field.field_number, field.wire_type
        if wire_type == _LENGTH_DELIMITED:
            if number == _EVENT:
                event = _parse_event(field.data)
                events.append((names[event.name], event.time, dict(map(_attribute, event.attributes))))
            elif number == _STATUS:
                status.append(field.data)
            elif number == _LINK:
                link = _parse_link(field.data)
                links.append(
                    (
                        link.trace_id,
                        link.span_id,
                        text_of(link.trace_state),
                        dict(map(_attribute, link.attributes)),
                    )
                )
            elif number == _TRACE_STATE:
                trace_state = text_of(field.data)
        elif number == _DROPPED and wire_type == _VARINT:
            dropped = field.data & 0xFFFF_FFFF
    if not status:
        return events or None, links or None, 0, "", trace_state, dropped
    parsed = _parse_status(b"".join(status))
    return events or None, links or None, parsed.code, text_of(parsed.message), trace_state, dropped
