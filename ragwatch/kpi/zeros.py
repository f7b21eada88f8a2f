"""Counters that begin at 0: what could be counted is shown before it happens, so that Prometheus sees the first of it.

To Prometheus the first value of a series is no increase: fifty errors of a service that never had one would be in no
``rate()``. So once something is known (a service, a cache, a breaker) its closed label sets are shown, at 0. That says
no more than is known: none of it was counted. A ratio whose denominator is unknown stays absent, because the series
below it are either absent too or 0, and no formula of the catalogue divides by 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from ragwatch.catalogue import METRICS
from ragwatch.kpi.state import Histogram, State

LOSSES: Final = ("queue_full", "send_queue_full", "refused", "rejected", "shutdown", "encode_failed")
"""Why an SDK drops telemetry."""
PACKED: Final = (
    "output.value", "metadata", "invocation_parameters", "tag.tags", "document", "gen_ai.retrieval.documents",
    "gen_ai.input.messages", "gen_ai.output.messages", "traceloop.entity.input", "traceloop.entity.output",
    "haystack.component.input", "haystack.component.output", "langfuse.observation.input",
    "langfuse.observation.output", "langfuse.observation.usage_details", "langfuse.observation.cost_details",
    "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.tokenUsage", "mlflow.llm.cost",
    "ai.prompt", "db.vector.query.response.documents", "gen_ai.completion", "gen_ai.prompt",
    "gen_ai.usage.input_token_details", "gen_ai.usage.output_token_details", "nodes", "response.raw",
    "retrieval.documents", "reranker.output_documents", "?",
)  # fmt: skip
"""The attributes that conventions unpack, as ``ragwatch.agent.unreadable`` names them; a test reads them there.

``?`` is a span that broke its convention in a way that nobody thought of.
"""
_ANSWERS: Final = ("hit", "miss", "none")


@dataclass(frozen=True, slots=True)
class Zeros:
    """``metric`` begins at 0 wherever a series of ``anchor`` is there: the labels in ``spread`` take these values.

    A label that ``spread`` does not name is the anchor's.
    """

    metric: str
    anchor: str
    spread: Mapping[str, tuple[str, ...]]


def _closed(metric: str, anchor: str, *labels: str) -> Zeros:
    """Every value that the catalogue has for these labels."""
    held = {label.name: label.values for label in METRICS[metric].labels}
    return Zeros(metric, anchor, {name: held[name] for name in labels})


_AGENT: Final = "ragwatch.build.info"
RULES: Final = (
    Zeros("rag.query.duration", "ragwatch.sdk.lost", {"outcome": ("ok",), "cache": _ANSWERS}),
    Zeros("rag.query.duration", "rag.query.duration", {"outcome": ("ok",), "cache": _ANSWERS}),
    Zeros("rag.query.duration", "rag.query.duration", {
        "outcome": ("degraded", "error", "rejected"), "cache": ("miss", "none")}),
    _closed("rag.query.errors", "rag.query.duration", "step", "error_class"),
    _closed("rag.step.calls", "rag.step.calls", "outcome"),
    Zeros("rag.step.retries", "rag.step.calls", {}),
    _closed("rag.cache.lookups", "rag.cache.lookups", "result"),
    _closed("rag.retrieval.requests", "rag.retrieval.requests", "result"),
    Zeros("rag.retrieval.duplicates", "rag.retrieval.documents", {}),
    _closed("rag.answers", "rag.answers", "grounding"),
    _closed("rag.judgements", "rag.judgements", "verdict"),
    _closed("rag.usage.calls", "rag.usage.calls", "known"),
    _closed("rag.breaker.calls", "rag.breaker.state", "result"),
    *(Zeros("rag.breaker.transitions", "rag.breaker.state", {"from": (before,), "to": (after,)}) for before, after in (
        ("closed", "open"), ("open", "half_open"), ("half_open", "closed"), ("half_open", "open"))),
    Zeros("rag.breaker.open_time", "rag.breaker.state", {}),
    _closed("rag.retry.calls", "rag.retry.attempts", "result"),
    Zeros("rag.limit.rejected", "rag.limit.concurrency", {"reason": ("full",)}),
    _closed("rag.ingest.documents", "rag.ingest.backlog", "outcome"),
    Zeros("ragwatch.agent.refused", _AGENT, {
        "transport": ("grpc", "http"), "reason": ("inbox_full", "memory_full", "disk", "unauthorised")}),
    Zeros("ragwatch.agent.dead_letters", _AGENT, {"reason": ("decode", "crash_loop")}),
    _closed("ragwatch.agent.received", _AGENT, "signal", "transport"),
    Zeros("ragwatch.agent.decode_errors", _AGENT, {"reason": ("traces", "metrics", "logs", "invalid_id")}),
    Zeros("ragwatch.agent.unreadable", _AGENT, {"attribute": PACKED}),
    Zeros("ragwatch.agent.duplicates", _AGENT, {"reason": ("request", "span", "judgement")}),
    Zeros("ragwatch.agent.late", _AGENT, {"reason": ("after_query",)}),
    Zeros("ragwatch.agent.incomplete", _AGENT, {"reason": ("timeout",)}),
    Zeros("ragwatch.agent.label_overflow", _AGENT, {"label": ("service",)}),
    Zeros("ragwatch.agent.forwarded", "ragwatch.agent.forwarded", {"result": ("delivered", "refused", "retried")}),
)  # fmt: skip
"""In order: what one rule adds may be the anchor of a later one."""


def fill(state: State) -> None:
    """Add the series that are 0 to what is shown; what is there stays as it is.

    >>> state = State()
    >>> state.increment("rag.cache.lookups", ("bot", "prod", "answers", "hit"), 3)
    >>> fill(state)
    >>> sorted((key[-1], value) for key, value in state.series("rag.cache.lookups").items())
    [('error', 0.0), ('hit', 3.0), ('miss', 0.0), ('stale', 0.0)]
    """
    for rule in RULES:
        anchors = state.metrics.get(rule.anchor)
        if not anchors:
            continue
        declared = METRICS[rule.metric]
        places = {name: place for place, name in enumerate(METRICS[rule.anchor].label_names)}
        held = state.metrics.setdefault(rule.metric, {})
        for key in list(anchors):
            choices = [rule.spread.get(name) or (key[places[name]],) for name in declared.label_names]
            for wanted in product(*choices):
                if wanted not in held:
                    held[wanted] = Histogram(declared.buckets) if declared.kind == "histogram" else 0.0
