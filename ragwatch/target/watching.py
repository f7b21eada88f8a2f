"""The spans of an app that has a tracer provider of its own, for a tool that asks the app in its process."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from ragwatch import semconv
from ragwatch.sdk.guard import fault
from ragwatch.sdk.provider import Provider
from ragwatch.sdk.readable import ForeignSpan
from ragwatch.sdk.recorder import Recorder
from ragwatch.sdk.runtime import QUERY_KEY, ForeignStep

MAX_OPEN = 10_000


class TakenSpan(ForeignSpan):
    """A span that ended within a query of ours."""

    __slots__ = ("epoch", "node", "taken")

    def __init__(self, span: ReadableSpan, epoch: object) -> None:
        super().__init__(span)
        self.epoch = epoch
        self.node: Any = None
        self.taken = False


class Watcher(SpanProcessor):
    """Takes what ends within a query for its record; for use where nothing is sent, or the agent counts it too."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._queries: dict[int, ForeignStep] = {}

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Remember whose a span is."""
        try:
            query = (parent_context or otel_context.get_current()).get(QUERY_KEY)
            scope = span.instrumentation_scope
            is_ours = scope is not None and scope.name == semconv.SCOPE_NAME
            if isinstance(query, ForeignStep) and not is_ours and len(self._queries) < MAX_OPEN:
                self._queries[span.context.span_id] = query
        except Exception as error:  # noqa: BLE001
            fault("watch", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand the span to its query."""
        try:
            query = self._queries.pop(span.context.span_id, None) if span.context is not None else None
            if query is not None:
                self._recorder.take(TakenSpan(span, self._recorder.epoch), query)
        except Exception as error:  # noqa: BLE001
            fault("watch", error)


def watch(recorder: Recorder) -> None:
    """See what an app's own tracer provider records, if it has one and nothing leaves the process."""
    provider: Any = trace.get_tracer_provider()
    if isinstance(provider, Provider) or recorder.exports_spans or recorder.counts:
        return
    if hasattr(provider, "add_span_processor"):
        provider.add_span_processor(Watcher(recorder))
