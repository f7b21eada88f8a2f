"""What is switched on in this process: one runtime, or none. Decorators look here at call time, never at import."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import StatusCode

from ragwatch import semconv
from ragwatch.conventions.own import pack_documents
from ragwatch.sdk.failure import class_of, exception_attributes, message_of, outcome_of, type_name
from ragwatch.sdk.guard import fault
from ragwatch.sdk.span import owned
from ragwatch.sdk.step import StepApi

if TYPE_CHECKING:
    from ragwatch.sdk.recorder import Recorder

QUERY_KEY = otel_context.create_key("ragwatch-query")
STEP_KEY = otel_context.create_key("ragwatch-step")


class Runtime(Protocol):
    """Starts steps: below ragwatch's own provider, or below the app's."""

    def begin(
        self, step: str, name: str, attributes: dict[str, Any], context: Context, start_ns: int | None = None
    ) -> tuple[Any, Context]:
        """Start a step, now or at ``start_ns``; the step, and the context in which it is current."""


class Active:
    """Holds the runtime of the process; ``runtime`` is None while ragwatch is off."""

    runtime: Runtime | None = None


class ForeignRuntime:
    """Steps below a tracer provider that the app had already: its tracer makes the spans, the step feeds the KPIs."""

    def __init__(self, recorder: Recorder, tracer: trace.Tracer) -> None:
        self.recorder = recorder
        self.tracer = tracer

    def begin(
        self, step: str, name: str, attributes: dict[str, Any], context: Context, start_ns: int | None = None
    ) -> tuple[Any, Context]:
        """Start a step and its span."""
        start_ns = start_ns or time_ns()
        query = context.get(QUERY_KEY)
        if not isinstance(query, ForeignStep) or query.epoch is not self.recorder.epoch or query.end_ns:
            query = None
        nested = step == "query" and query is not None
        if step == "query" and not nested and self.recorder.app:
            attributes = {**self.recorder.app, **attributes}
        seen: dict[str, Any] = {} if nested else {semconv.STEP: step}
        if seen and self.recorder.counts:
            seen[semconv.COUNTED] = True
        parent = trace.get_current_span(context).get_span_context()
        span = self.tracer.start_span(name, context, attributes={**seen, **attributes}, start_time=start_ns)
        found = ForeignStep(self.recorder, span, name, attributes, start_ns)
        found.parent_span_id = parent.span_id if parent.is_valid else 0
        within = otel_context.set_value(STEP_KEY, found, trace.set_span_in_context(span, context))
        if step == "query" and query is None:
            query = found
            found.steps = []
            within = otel_context.set_value(QUERY_KEY, found, within)
        found.query = query
        found.step = None if nested else step
        return found, within


class ForeignStep(StepApi):
    """A step whose span belongs to the app's own tracer provider."""

    end_ns = 0
    kind_number = 1
    flags = 1
    parent_remote = False
    dropped_attributes = 0
    status_number = 0
    status_message = ""
    steps: list[Any] | None = None
    labelled: tuple[frozenset[str], int, str] | None = None
    parent_span_id = 0

    def __init__(
        self, recorder: Recorder, span: trace.Span, name: str, attributes: dict[str, Any], start_ns: int
    ) -> None:
        self.recorder = recorder
        self.span = span
        self.name = name
        self.attribute_map = attributes
        self.start_ns = start_ns
        self.epoch = recorder.epoch
        self.event_list: list[Any] | None = None
        context = span.get_span_context()
        self.trace_id, self.span_id = context.trace_id, context.span_id
        self.content = recorder.content

    def __getattr__(self, name: str) -> Any:
        """Whatever else OpenTelemetry's spans can do, the app's own does."""
        return getattr(self.span, name)

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute, on the step and on its span."""
        if self.end_ns:
            return
        try:
            value = owned(value)
            kept = self.content.attribute(key, value)
            if len(self.attribute_map) < self.recorder.attribute_limit or key in self.attribute_map:
                self.attribute_map[key] = value
            if kept is not None:
                self.span.set_attribute(key, kept)
        except Exception as error:  # noqa: BLE001
            fault("set_attribute", error)

    def fail(self, exception: BaseException) -> None:
        """Take the exception that ended this step."""
        try:
            outcome = outcome_of(exception)
            if semconv.ERROR_TYPE not in self.attribute_map:
                self.set_attribute(semconv.ERROR_TYPE, type_name(exception))
            if outcome != "error":
                self.set_attribute(semconv.OUTCOME, outcome)
                return
            found = exception_attributes(exception, self.content)
            self.event_list = [(semconv.EVENT_EXCEPTION, time_ns(), found, 0)]
            self.set_attribute(semconv.ERROR_CLASS, class_of(exception))
            self.status_number = 2
            self.status_message = self.content.text(message_of(exception)) or type(exception).__name__
            self.span.add_event(semconv.EVENT_EXCEPTION, found)
            self.span.set_status(StatusCode.ERROR, self.status_message)
        except Exception as error:  # noqa: BLE001
            fault("fail", error)

    def end(self) -> None:
        """End the step and its span."""
        if self.end_ns:
            return
        documents = self.document_list
        if documents is not None:
            self.span.set_attribute(semconv.DOCUMENTS, pack_documents(documents))
            self.span.set_attribute(
                semconv.DOCUMENT_COUNT, self.attribute_map.get(semconv.DOCUMENT_COUNT, len(documents))
            )
        self.end_ns = time_ns()
        if self.foreign and self.recorder.counts:  # their other exporters do not mark them
            ids = [f"{span.span_id:016x}" for span in self.foreign]
            self.span.set_attribute(semconv.COUNTED_SPANS, ids)
        self.span.end(self.end_ns)
        query = self.query
        if self.step is None or self.epoch is not self.recorder.epoch:
            return
        if query is not None and query is not self and not query.end_ns:
            query.steps.append(self)
        else:
            self.recorder.finished(self)
