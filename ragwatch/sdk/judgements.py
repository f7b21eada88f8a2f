"""``feedback`` and ``relevance``: what people or judges say of an answer or a retrieval, also long after the query.

A judgement travels as OpenTelemetry's ``gen_ai.evaluation.result`` log record to the agent, which counts it when it
arrives, once for each trace, name, source and judge. It may be said from another process than the one that answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import time_ns
from typing import Any, Literal

from opentelemetry import context as otel_context
from opentelemetry import trace

from ragwatch import semconv
from ragwatch.sdk import guard
from ragwatch.sdk.runtime import QUERY_KEY

Source = Literal["label", "feedback", "probe", "judge"]
Judged = tuple[int, str, dict[str, Any]]
"""(nanoseconds since the epoch, trace id in hex, attributes)"""
SOURCES = ("label", "feedback", "probe", "judge")


def feedback(
    trace_id: str,
    good: bool,
    *,
    source: Source = "feedback",
    judge: str | None = None,
    score: float | None = None,
    name: str = "answer",
    service: str | None = None,
) -> None:
    """Say whether the *answer* of a query was good. Never raises.

    ``trace_id`` is what ``ragwatch.trace_id()`` gave within the query (32 hex digits). ``source`` says who judges,
    ``judge`` which of several (it is hashed), ``score`` how good from 0 to 1, ``service`` whose answer it was where
    that is not this process' own. The same judge's second word on the same query is not counted again.
    """
    _judge("answer", trace_id, good, source, judge, score, name, service)


def relevance(
    trace_id: str,
    good: bool,
    *,
    source: Source = "label",
    judge: str | None = None,
    score: float | None = None,
    name: str = "retrieval",
    service: str | None = None,
) -> None:
    """Say whether the *retrieval* of a query found a right document: it makes the retrieval accuracy. Never raises."""
    _judge("retrieval", trace_id, good, source, judge, score, name, service)


def trace_id() -> str | None:
    """The trace id of the query that runs now, to be kept for a later judgement; None outside of any trace."""
    held: Any = otel_context.get_value(QUERY_KEY)
    if held is not None:
        return f"{held.trace_id:032x}"
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def _judge(
    target: str,
    trace: str,
    good: bool,
    source: str,
    judge: str | None,
    score: float | None,
    name: str,
    service: str | None,
) -> None:
    try:
        wanted = str(trace).replace("-", "").lower()
        if len(wanted) != 32 or not set(wanted) <= set("0123456789abcdef"):
            guard.say_once("judgement", "ragwatch: %r is no trace id of 32 hex digits; the judgement is lost", trace)
            return
        if source not in SOURCES:
            guard.say_once("judgement-source", "ragwatch: source=%r is none of %s", source, ", ".join(SOURCES))
            return
        from ragwatch.sdk.setup import running

        process = running()
        if process is None:
            guard.say_once("judgement-off", "ragwatch: ragwatch.init() was not called; judgements are lost")
            return
        recorder, _ = process
        if recorder.settings.endpoints.get("logs") is None:
            recorder.lose("logs", "not_exported")
            guard.say_once("judgement-logs", "ragwatch: judgements travel as logs, and OTEL_LOGS_EXPORTER is none")
            return
        attributes: dict[str, Any] = {
            semconv.EVALUATION_NAME: name,
            semconv.EVALUATION_LABEL: "good" if good else "bad",
            semconv.JUDGEMENT_TARGET: target,
            semconv.JUDGEMENT_SOURCE: source,
        }
        if score is not None:
            attributes[semconv.EVALUATION_SCORE] = float(score)
        if judge is not None:
            from ragwatch.conventions.own import hashed

            attributes[semconv.JUDGEMENT_JUDGE] = hashed(str(judge))
        if service is not None:
            attributes[semconv.JUDGEMENT_SERVICE] = str(service)
        recorder.judge((time_ns(), wanted, attributes))
    except Exception as error:  # noqa: BLE001  (guests behave)
        guard.fault("judgement", error)


def to_request(judged: Iterable[Judged], resource: Any) -> bytes:
    """The bytes of an ``ExportLogsServiceRequest`` with these evaluation results."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    from ragwatch import __version__
    from ragwatch.sdk.anyvalue import key_value

    request = ExportLogsServiceRequest()
    held = request.resource_logs.add()
    held.resource.attributes.extend(
        KeyValue.FromString(key_value(key, value)) for key, value in resource.attributes.items()
    )
    scope = held.scope_logs.add()
    scope.scope.name, scope.scope.version = semconv.SCOPE_NAME, __version__
    for at_ns, trace_hex, attributes in judged:
        record = scope.log_records.add(
            time_unix_nano=at_ns,
            observed_time_unix_nano=at_ns,
            severity_number=9,
            severity_text="INFO",
            trace_id=bytes.fromhex(trace_hex),
            event_name=semconv.EVENT_EVALUATION,
        )
        record.attributes.extend(KeyValue.FromString(key_value(key, value)) for key, value in attributes.items())
    return bytes(request.SerializeToString())
