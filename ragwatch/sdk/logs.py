"""One structured JSON line a query, through structlog; the same line as an OTLP log record."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from time import time_ns
from typing import Any

import structlog
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from ragwatch import __version__, semconv
from ragwatch.record import QueryRecord
from ragwatch.sdk.guard import fault

_SEVERITY = {"info": 9, "warning": 13, "error": 17}
_LEVELS = {"error": "error", "rejected": "warning", "degraded": "warning", "cancelled": "info", "ok": "info"}
MAX_LOGGED_DOCUMENTS = 20
_RETRIEVING = frozenset({"retrieve", "rerank"})
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def summary(record: QueryRecord) -> dict[str, Any]:
    """What the line says of a query: flat, and in the order in which one reads it. Unknown is left out."""
    steps: dict[str, float] = {}
    documents: list[str | None] | None = None
    input_tokens = output_tokens = 0
    known = False
    cost: float | None = None
    model: str | None = None
    for step in record.steps:
        kind = step.step
        steps[kind] = steps.get(kind, 0.0) + _ms(step.start_ns, step.end_ns)
        if step.documents is not None and kind in _RETRIEVING:
            documents = [document.id for document in step.documents[:MAX_LOGGED_DOCUMENTS]]
        if kind == "generate":
            model = step.model or step.response_model or model
            if step.input_tokens is not None or step.output_tokens is not None:
                known = True
                input_tokens += step.input_tokens or 0
                output_tokens += step.output_tokens or 0
        if step.cost_usd is not None:
            cost = (cost or 0.0) + step.cost_usd
    line: dict[str, Any] = {
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "service": record.service,
        "outcome": record.outcome,
        "duration_ms": _ms(record.start_ns, record.end_ns),
        "cache": record.cache,
        "steps_ms": steps,
    }
    rest: tuple[tuple[str, Any], ...] = (
        ("environment", record.environment or None),
        ("documents", documents),
        ("model", model),
        ("cost_usd", cost),
        ("degraded_reason", record.degraded_reason),
        ("session", record.session),
        ("user", record.user),
        ("tenant", record.tenant),
        ("prompt_version", record.prompt_version),
        ("question_length", record.question_length),
        ("answer_length", record.answer_length),
        ("question", record.question),
        ("answer", record.answer),
    )
    line.update({key: value for key, value in rest if value is not None})
    if known:
        line["input_tokens"], line["output_tokens"] = input_tokens, output_tokens
    if record.outcome == "error":
        line["error_step"] = record.cause_step
        line["error_class"] = record.error_class
        line["error_type"] = record.error_type
        if record.error_message is not None:
            line["error_message"] = record.error_message
    return line


def _ms(start_ns: int, end_ns: int) -> float:
    """Milliseconds to the microsecond; never negative, whatever the clock did."""
    return max(0, end_ns - start_ns) // 1000 / 1000


class QueryLog:
    """Writes the lines of finished queries: a structlog logger of its own, so the app's configuration is untouched."""

    def __init__(self, file: str | None = None) -> None:
        self._file = file
        self._lines: list[str] = []
        self._logger = structlog.wrap_logger(
            _Collected(self._lines),
            processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(serializer=_dumps)],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=True,
        )

    def lines(self, records: list[QueryRecord]) -> list[str]:
        """The JSON lines of these queries, written in one go to standard error, or to the end of the file."""
        self._lines.clear()
        for record in records:
            when = datetime.fromtimestamp(record.end_ns / 1e9, UTC).isoformat(timespec="milliseconds")
            getattr(self._logger, _LEVELS.get(record.outcome, "info"))(
                semconv.EVENT_QUERY_LOG, timestamp=when, **summary(record)
            )
        lines = self._lines[:]
        if lines:
            self._write("\n".join(lines) + "\n")
        return lines

    def _write(self, text: str) -> None:
        try:
            if self._file is not None:
                with open(self._file, "a", encoding="utf-8") as file:  # noqa: PTH123  (pathlib is not loaded for this)
                    file.write(text)
            elif sys.stderr is not None:
                sys.stderr.write(text)
                sys.stderr.flush()
        except (OSError, ValueError) as error:  # closed or full: the terminal has gone, the disk is full
            fault("log_stream", error)


class _Collected:
    """A structlog sink that keeps the rendered lines, so that a cycle is one write."""

    def __init__(self, lines: list[str]) -> None:
        self.info = self.warning = self.error = lines.append


def _dumps(event: dict[str, Any], **_options: Any) -> str:
    return _encode(event)


def to_request(records: list[QueryRecord], lines: list[str], resource: Any) -> bytes:
    """The lines as the bytes of an ``ExportLogsServiceRequest``: the body is the line, ids and outcome beside it."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    for key, value in resource.attributes.items():
        resource_logs.resource.attributes.append(KeyValue(key=key, value=AnyValue(string_value=str(value))))
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name, scope_logs.scope.version = semconv.SCOPE_NAME, __version__
    now = time_ns()
    for record, line in zip(records, lines, strict=True):
        level = _LEVELS.get(record.outcome, "info")
        found = scope_logs.log_records.add(
            time_unix_nano=record.end_ns,
            observed_time_unix_nano=now,
            severity_number=_SEVERITY[level],
            severity_text=level.upper(),
            trace_id=bytes.fromhex(record.trace_id),
            span_id=bytes.fromhex(record.span_id),
            event_name=semconv.EVENT_QUERY_LOG,
        )
        found.body.string_value = line
        found.attributes.append(KeyValue(key=semconv.OUTCOME, value=AnyValue(string_value=record.outcome)))
    return request.SerializeToString()
