"""Requests of traces cut down to some of their spans: everything else of these stays as it came."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from ragwatch.conventions.decode_json import span_key
from ragwatch.conventions.wire_schema import message_class

_parse_request: Final[Callable[[bytes], Any]] = message_class("Request").FromString


def cut_protobuf(body: bytes, keep: set[bytes]) -> bytes:
    """An ``ExportTraceServiceRequest`` with only the spans whose ids (trace and span, 24 bytes) are in ``keep``.

    ``DecodeError`` of protobuf where the body is none.
    """
    request = _parse_request(body)
    for group in request.resource_spans:
        for inner in group.scope_spans:
            kept = [span for span in inner.spans if span.trace_id + span.span_id in keep]
            del inner.spans[:]
            inner.spans.extend(kept)
    whole: bytes = request.SerializeToString()
    return whole


def cut_json(body: bytes, keep: set[bytes]) -> bytes:
    r"""The same of a request in JSON; ``ValueError`` where it is none.

    >>> body = b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0A", "spanId": "1B"}, {"name": "q"}]}]}]}'
    >>> cut_json(body, {b"\n\x1b"})
    b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0A", "spanId": "1B"}]}]}]}'
    """
    document = json.loads(body.decode("utf-8-sig", "replace"))
    for group in document.get("resourceSpans") or ():
        for inner in group.get("scopeSpans") or ():
            inner["spans"] = [span for span in inner.get("spans") or () if span_key(span) in keep]
    return json.dumps(document).encode()
