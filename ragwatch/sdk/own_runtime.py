"""Steps below ragwatch's own tracer provider: the span is the step."""

from __future__ import annotations

from typing import Any

from opentelemetry.context import Context

from ragwatch.sdk.provider import SPAN_KEY, Tracer


class OwnRuntime:
    """Starts ragwatch's spans."""

    def __init__(self, tracer: Tracer) -> None:
        self.start_step = tracer.start_step
        self.processors = tracer.provider.processors

    def begin(
        self, step: str, name: str, attributes: dict[str, Any], context: Context, start_ns: int | None = None
    ) -> tuple[Any, Context]:
        """Start a step, now or at ``start_ns``; the step, and the context in which it is current."""
        span = self.start_step(step, name, attributes, context)
        if start_ns is not None:
            span.start_ns = start_ns
        if self.processors.any and span.flags & 1:
            self.processors.on_start(span, context)
        return span, Context({**context, SPAN_KEY: span})
