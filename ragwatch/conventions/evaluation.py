"""Judgements out of log records: OpenTelemetry's ``gen_ai.evaluation.result``, from ragwatch or any evaluator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from ragwatch import semconv

MARK: Final = semconv.EVENT_EVALUATION.encode()
_GOOD: Final = frozenset(
    {"good", "relevant", "pass", "passed", "true", "yes", "correct", "positive", "grounded", "faithful"}
)
_BAD: Final = frozenset(
    {"bad", "irrelevant", "not_relevant", "fail", "failed", "false", "no", "incorrect", "negative", "hallucinated"}
)
_SOURCES: Final = frozenset({"label", "feedback", "probe", "judge"})
_OF_RETRIEVAL: Final = ("retriev", "relevan", "context", "recall", "precision")


class Judgement(NamedTuple):
    """One judgement. ``key`` is the same for the same trace, name, source and judge.

    ``about`` is the trace's id in hex, or the model's response id where the judge knows no trace.
    """

    key: bytes
    service: str
    environment: str
    target: str
    source: str
    verdict: str
    about: str
    name: str
    judge: str
    score: float | None


def judgements(body: bytes) -> Iterator[Judgement]:
    """The judgements of an ``ExportLogsServiceRequest``; records that say neither good nor bad are left out."""
    if MARK not in body:
        return
    for group in ExportLogsServiceRequest.FromString(body).resource_logs:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_logs:
            for record in scope.log_records:
                if record.event_name == semconv.EVENT_EVALUATION:
                    found = _judgement(record.trace_id, _attributes(record.attributes), resource)
                    if found is not None:
                        yield found


def _judgement(trace_id: bytes, held: dict[str, Any], resource: dict[str, Any]) -> Judgement | None:
    verdict = _verdict(held)
    about = trace_id or str(held.get(semconv.RESPONSE_ID) or "").encode()
    if verdict is None or not about:
        return None
    name = str(held.get(semconv.EVALUATION_NAME) or "")
    target = held.get(semconv.JUDGEMENT_TARGET)
    if target not in {"retrieval", "answer"}:
        target = "retrieval" if any(part in name.lower() for part in _OF_RETRIEVAL) else "answer"
    source = held.get(semconv.JUDGEMENT_SOURCE)
    if source not in _SOURCES:
        source = "judge"
    judge = str(held.get(semconv.JUDGEMENT_JUDGE) or "")
    key = hashlib.blake2b(b"\0".join((about, name.encode(), source.encode(), judge.encode())), digest_size=16)
    service = held.get(semconv.JUDGEMENT_SERVICE) or resource.get(semconv.SERVICE_NAME) or "unknown_service"
    environment = resource.get(semconv.DEPLOYMENT_ENVIRONMENT) or resource.get(semconv.DEPLOYMENT_ENVIRONMENT_OLD)
    score = held.get(semconv.EVALUATION_SCORE)
    return Judgement(
        key.digest(),
        str(service),
        str(environment or ""),
        str(target),
        str(source),
        verdict,
        trace_id.hex() or about.decode(),
        name,
        judge,
        float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None,
    )


def _verdict(held: dict[str, Any]) -> str | None:
    """Good or bad: by the label where it is a word for it, else by a score from 0 to 1."""
    label = str(held.get(semconv.EVALUATION_LABEL) or "").lower().replace(" ", "_")
    if label in _GOOD:
        return "good"
    if label in _BAD:
        return "bad"
    score = held.get(semconv.EVALUATION_SCORE)
    if isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1:
        return "good" if score >= 0.5 else "bad"
    return None


def _attributes(items: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        kind = item.value.WhichOneof("value")
        if kind in {"string_value", "double_value", "int_value", "bool_value"}:
            found[item.key] = getattr(item.value, kind)
    return found
