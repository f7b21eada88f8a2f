"""What a recorded program uses: a tracer provider whose spans end up in a file of OTLP/JSON lines."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

MAX_TEXT = 4000
_HOME = (sys.prefix, sys.base_prefix, str(Path(__file__).parent), str(Path.home()))

_MACHINE = ("host.", "process.", "os.")


class _Lines(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


class Recording:
    """``with Recording("name", truth) as provider``: everything until the end becomes one line of OTLP/JSON.

    It and the truth are written beside one another in the directory of the variable ``RECORDINGS``.
    """

    def __init__(self, name: str, truth: dict[str, Any]) -> None:
        self._path = Path(os.environ["RECORDINGS"]) / f"{name}.otlp.jsonl"
        self._truth = truth
        self._exporter = _Lines()
        self.provider = TracerProvider(resource=Resource({"service.name": name, "deployment.environment.name": "test"}))
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def __enter__(self) -> TracerProvider:
        trace.set_tracer_provider(self.provider)
        return self.provider

    def __exit__(self, kind: object, *_error: object) -> None:
        if kind is None:
            self.provider.force_flush()
            self._path.write_text(json.dumps(_request(self._exporter.spans)) + "\n", encoding="utf-8")
            self._path.with_name(self._path.name.replace(".otlp.jsonl", ".truth.json")).write_text(
                json.dumps(self._truth), encoding="utf-8"
            )


def _request(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    scopes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for span in spans:
        scope = span.instrumentation_scope
        key = (scope.name if scope else "", (scope.version if scope else None) or "")
        scopes.setdefault(key, []).append(_span(span))
    inner = [{"scope": {"name": name, "version": version}, "spans": held} for (name, version), held in scopes.items()]
    of_process = dict(spans[0].resource.attributes) if spans else {}
    resource = {
        "attributes": _attributes({key: value for key, value in of_process.items() if not key.startswith(_MACHINE)})
    }
    return {"resourceSpans": [{"resource": resource, "scopeSpans": inner}]}


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    out: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(dict(span.attributes or {})),
        "flags": 0x100 | (0x200 if span.parent and span.parent.is_remote else 0) | int(context.trace_flags),
    }
    if span.parent is not None:
        out["parentSpanId"] = f"{span.parent.span_id:016x}"
    if span.events:
        out["events"] = [
            {
                "name": event.name,
                "timeUnixNano": str(event.timestamp),
                "attributes": _attributes(dict(event.attributes or {})),
            }
            for event in span.events
        ]
    if span.status.status_code.value:
        out["status"] = {"code": span.status.status_code.value, "message": _clean(span.status.description or "")}
    if span.dropped_attributes:
        out["droppedAttributesCount"] = span.dropped_attributes
    return out


def _attributes(held: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in held.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": str(key), "value": _value(item)} for key, item in value.items()]}}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {} if value is None else {"stringValue": _clean(str(value))}


def _clean(text: str) -> str:
    """Without the recording machine's paths, and not longer than a capture should hold."""
    for home in _HOME:
        text = text.replace(home, "~")
    return text if len(text) <= MAX_TEXT or text[:1] in {"{", "["} else text[:MAX_TEXT]
