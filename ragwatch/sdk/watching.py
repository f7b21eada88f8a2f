"""The spans of an app that has a tracer provider of its own: to the query that they ended in, and to the exporter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from ragwatch import semconv
from ragwatch.sdk.guard import fault
from ragwatch.sdk.readable import ForeignSpan
from ragwatch.sdk.recorder import Recorder
from ragwatch.sdk.runtime import QUERY_KEY, ForeignStep

MAX_OPEN = 10_000
"""Spans that run at the same time; of more, the oldest are the agent's to count."""


class Watcher(SpanProcessor):
    """Takes what ends within a query of ours for its record, and what is sampled for export.

    ``recorder`` is None while ragwatch is off; ``flush`` delivers what has ended.
    """

    def __init__(self, provider: Any, flush: Callable[[float], bool]) -> None:
        self.provider = provider
        self.recorder: Recorder | None = None
        self._flush = flush
        self._queries: dict[int, ForeignStep] = {}
        """The query of each span that runs within one."""
        provider.add_span_processor(self)

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Remember whose a span is: its context's, else its parent's (a callback on another thread has but that)."""
        try:
            context = otel_context.get_current() if parent_context is None else parent_context
            query: Any = context.get(QUERY_KEY)
            if query is None and span.parent is not None:
                query = self._queries.get(span.parent.span_id)
            if not isinstance(query, ForeignStep) or query.end_ns:
                return
            if query.trace_id == span.context.trace_id:  # one in a trace of its own the agent could not know as counted
                self._queries[span.context.span_id] = query
                if len(self._queries) > MAX_OPEN:
                    self._queries.pop(next(iter(self._queries)), None)
        except Exception as error:  # noqa: BLE001  (guests behave)
            fault("watch", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand the span to its query, and queue it for export."""
        try:
            context, recorder = span.context, self.recorder
            query = self._queries.pop(context.span_id, None) if context is not None else None
            if context is None or recorder is None:
                return
            scope = span.instrumentation_scope
            if scope is not None and scope.name == semconv.SCOPE_NAME:
                query = None
            is_exported = recorder.exports_spans and context.trace_flags.sampled
            if query is None and not is_exported:
                return
            found = ForeignSpan(span, recorder.epoch)
            if query is not None:
                recorder.take(found, query)
            if is_exported:
                recorder.export(found)
        except Exception as error:  # noqa: BLE001
            fault("watch", error)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Deliver what has ended."""
        return self._flush(timeout_millis / 1000)
