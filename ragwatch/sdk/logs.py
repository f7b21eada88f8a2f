"""One structured JSON line a query, through structlog; the same line as an OTLP log record."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from time import time_ns
from typing import Any, NamedTuple

import structlog
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from ragwatch import __version__, semconv
from ragwatch.record import QueryRecord
from ragwatch.sdk.anyvalue import key_value
from ragwatch.sdk.guard import fault

_SEVERITY = {"info": 9, "warning": 13, "error": 17}
_LEVELS = {"error": "error", "rejected": "warning", "degraded": "warning", "cancelled": "info", "ok": "info"}
MAX_LOGGED_DOCUMENTS = 20
_RETRIEVING = frozenset({"retrieve", "rerank"})
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


class Entry(NamedTuple):
    """What an OTLP log record says of a line, and the line; ids are hex, and empty where there is none."""

    time_ns: int
    level: str
    event: str
    trace_id: str
    span_id: str
    outcome: str | None
    line: str = ""


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
    ids = {"trace_id": record.trace_id, "span_id": record.span_id} if record.trace_id else {}
    line: dict[str, Any] = {
        **ids,
        "service": record.service,
        "outcome": record.outcome,
        "duration_ms": _ms(record.start_ns, record.end_ns),
        "cache": record.cache,
        "steps_ms": steps,
    }
    rest: tuple[tuple[str, Any], ...] = (
        ("environment", record.environment or None),
        ("version", record.version),
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
    if record.outcome == "rejected":
        line["error_type"] = record.error_type
    asked = record.breakers if record.breaker else {}
    for step in record.steps:
        if step.breaker is not None:
            asked |= step.breakers
    if asked:
        line["breakers"] = asked
    attempts = {step.step: step.attempts for step in record.steps if step.attempts and step.attempts > 1}
    if attempts:
        line["attempts"] = attempts
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

    def write(self, records: list[QueryRecord], notices: Sequence[Any] = ()) -> list[Entry]:
        """The JSON lines of notices and queries, written in one go to standard error or to the end of the file."""
        self._lines.clear()
        found: list[Entry] = []
        for notice in notices:
            entry = Entry(notice.time_ns, notice.level, notice.event, "", "", None)
            if notice.trace_id:
                entry = entry._replace(trace_id=f"{notice.trace_id:032x}", span_id=f"{notice.span_id:016x}")
                self._say(entry, {"trace_id": entry.trace_id, "span_id": entry.span_id, **notice.fields})
            else:
                self._say(entry, notice.fields)
            found.append(entry)
        for record in records:
            level = _LEVELS.get(record.outcome, "info")
            event = semconv.EVENT_QUERY_LOG
            entry = Entry(record.end_ns, level, event, record.trace_id, record.span_id, record.outcome)
            self._say(entry, summary(record))
            found.append(entry)
        if self._lines:
            self._write("\n".join(self._lines) + "\n")
        return [entry._replace(line=line) for entry, line in zip(found, self._lines, strict=True)]

    def _say(self, entry: Entry, fields: dict[str, Any]) -> None:
        when = datetime.fromtimestamp(entry.time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        getattr(self._logger, entry.level)(entry.event, timestamp=when, **fields)

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


def to_request(entries: list[Entry], resource: Any) -> bytes:
    """The lines as the bytes of an ``ExportLogsServiceRequest``: the body is the line, ids and outcome beside it."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    for key, value in resource.attributes.items():
        resource_logs.resource.attributes.append(KeyValue.FromString(key_value(key, value)))
    resource_logs.schema_url = resource.schema_url
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name, scope_logs.scope.version = semconv.SCOPE_NAME, __version__
    now = time_ns()
    for entry in entries:
        found = scope_logs.log_records.add(
            time_unix_nano=entry.time_ns,
            observed_time_unix_nano=now,
            severity_number=_SEVERITY[entry.level],
            severity_text=entry.level.upper(),
            trace_id=bytes.fromhex(entry.trace_id),
            span_id=bytes.fromhex(entry.span_id),
            event_name=entry.event,
        )
        found.body.string_value = entry.line
        if entry.outcome is not None:
            found.attributes.append(KeyValue(key=semconv.OUTCOME, value=AnyValue(string_value=entry.outcome)))
    return request.SerializeToString()
