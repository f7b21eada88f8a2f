"""ragwatch's tracer provider: the SDK's, whose tracers make ragwatch's spans.

A subclass through public constructor arguments, so that context, sampler, resource, id generator, limits and span
processors work as anybody expects. Somebody else's processors get the SDK's real ``ReadableSpan``, built only for them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ContextDecorator, contextmanager
from time import time_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider, sampling
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from ragwatch.sdk.guard import fault
from ragwatch.sdk.recorder import Recorder
from ragwatch.sdk.span import Span

SPAN_KEY = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
"""The key under which OpenTelemetry's context holds the current span, found through its public functions."""


class Processors(SynchronousMultiSpanProcessor):
    """The processors that an app adds to our provider; tells the recorder that there is one."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder
        self.any = False

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Add a processor; from now on every span is also built as the SDK's ``ReadableSpan``."""
        super().add_span_processor(span_processor)
        self.any = True
        self.recorder.on_ended = self.ended

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Hand a span that starts to the processors; what they raise costs neither the span nor the step."""
        try:
            super().on_start(span, parent_context)
        except Exception as error:  # noqa: BLE001
            fault("span_processor", error)

    def ended(self, span: Span) -> None:
        """Hand an ended span to the processors."""
        try:
            self.on_end(self.recorder.readable(span))
        except Exception as error:  # noqa: BLE001
            fault("span_processor", error)


class Provider(TracerProvider):
    """A ``TracerProvider`` of the SDK whose spans are ragwatch's."""

    def __init__(self, recorder: Recorder, resource: Resource, sampler: sampling.Sampler | None = None) -> None:
        self.processors = Processors(recorder)
        super().__init__(
            sampler=sampler,
            resource=resource,
            shutdown_on_exit=False,
            active_span_processor=self.processors,
            span_limits=_limits(recorder),
        )
        self.recorder = recorder
        self._own_tracers: dict[InstrumentationScope, Tracer] = {}
        self.on_shutdown: Callable[[], None] | None = None
        self.on_flush: Callable[[float], bool] | None = None

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Tracer:
        """A tracer whose spans are ragwatch's; one for each scope."""
        scope = InstrumentationScope(
            instrumenting_module_name,
            instrumenting_library_version,
            schema_url,
            dict(attributes) if attributes else None,
        )
        held = self._own_tracers.get(scope)
        if held is None:
            held = self._own_tracers[scope] = Tracer(self, scope)
        return held

    def rebind(self, recorder: Recorder, sampler: sampling.Sampler | None) -> None:
        """Go on with a new recorder: ragwatch was shut down and is switched on again in this process."""
        self.recorder = self.processors.recorder = recorder
        self.sampler = sampler or self.sampler
        if self.processors.any:
            recorder.on_ended = self.processors.ended
        for tracer in self._own_tracers.values():
            tracer.bind(self)

    def force_flush(self, timeout_millis: int | None = 30000) -> bool:
        """Deliver everything that has ended."""
        flushed = super().force_flush(timeout_millis if timeout_millis is not None else 30000)
        return (self.on_flush is None or self.on_flush((timeout_millis or 30000) / 1000)) and flushed

    def shutdown(self) -> None:
        """Deliver everything and stop."""
        super().shutdown()
        if self.on_shutdown is not None:
            self.on_shutdown()


def _limits(recorder: Recorder) -> SpanLimits:
    """The limits in force, every one: what is left out the SDK reads from the environment, and may raise."""
    length = SpanLimits.UNSET if recorder.content.length_limit is None else recorder.content.length_limit
    return SpanLimits(
        max_attributes=recorder.attribute_limit,
        max_events=recorder.event_limit,
        max_links=recorder.link_limit,
        max_span_attributes=recorder.attribute_limit,
        max_event_attributes=recorder.attribute_limit,
        max_link_attributes=recorder.attribute_limit,
        max_attribute_length=length,
        max_span_attribute_length=length,
    )


class Tracer(trace.Tracer):
    """Starts ragwatch's spans for one instrumentation scope."""

    def __init__(self, provider: Provider, scope: InstrumentationScope) -> None:
        self.scope = scope
        self.bind(provider)

    def bind(self, provider: Provider) -> None:
        """Take what the hot path needs from the provider."""
        self.provider = provider
        self.recorder = provider.recorder
        self.sampler = provider.sampler
        self.always_on = self.sampler is sampling.DEFAULT_ON or self.sampler is sampling.ALWAYS_ON
        self.new_span_id = provider.id_generator.generate_span_id
        self.new_trace_id = provider.id_generator.generate_trace_id

    def start_step(self, step: str, name: str, attributes: dict[str, Any], context: Context) -> Span:
        """Start the span of a RAG step below the current span. Recorded for the KPIs even where it is not sampled."""
        parent = context.get(SPAN_KEY)
        if type(parent) is Span and self.always_on:
            span = Span(
                self.recorder,
                name,
                (parent.trace_id, self.new_span_id(), parent.span_id),
                parent.flags & 0xFF,
                attributes,
                time_ns(),
            )
            if parent.trace_state_header:
                span.trace_state, span.trace_state_header = parent.trace_state, parent.trace_state_header
            span.query = parent.query
        else:
            span = self._start(name, attributes, context, 1, (), time_ns())
        span.scope = self.scope
        span.epoch = self.recorder.epoch
        query = span.query
        if query is not None and query.epoch is not span.epoch:
            query = span.query = None
        if step == "query":
            if query is None:
                span.query = span
                span.steps = []
                if self.recorder.app:
                    span.attribute_map = {**self.recorder.app, **span.attribute_map}
            else:
                return span
        span.step = step
        return span

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: ARG002  (whoever uses the span as a block decides)
        set_status_on_exception: bool = True,  # noqa: ARG002
    ) -> trace.Span:
        """Start a span as OpenTelemetry's API says."""
        within = otel_context.get_current() if context is None else context
        span = self._start(name, {}, within, kind.value + 1, links or (), start_time or time_ns(), attributes)
        if not span.flags & 1:
            return NonRecordingSpan(span.get_span_context())
        span.scope = self.scope
        span.epoch = self.recorder.epoch
        for link in links or ():
            span.add_link(link.context, link.attributes)
        if self.provider.processors.any:
            self.provider.processors.on_start(span, within)
        return span

    def start_as_current_span(  # type: ignore[override]
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> _Current:
        """Start a span and make it the current one, as a ``with`` block or a decorator."""

        @contextmanager
        def current() -> Iterator[trace.Span]:
            span = self.start_span(name, context, kind, attributes, links, start_time)
            with trace.use_span(span, end_on_exit, record_exception, set_status_on_exception) as active:
                yield active

        return _Current(current)

    def _start(
        self,
        name: str,
        own: dict[str, Any],
        context: Context,
        kind_number: int,
        links: Sequence[Link],
        start_ns: int,
        attributes: Mapping[str, Any] | None = None,
    ) -> Span:
        """A span by the long way: any parent, any sampler."""
        parent = context.get(SPAN_KEY)
        parent = parent if isinstance(parent, trace.Span) else None
        above: SpanContext | None = parent.get_span_context() if parent is not None else None
        if above is not None and not above.is_valid:
            above = None
        trace_id = above.trace_id if above else self.new_trace_id()
        state: TraceState | None = above.trace_state if above else None
        given = attributes if attributes is not None else own
        flags = 1
        if not self.always_on or (above is not None and not above.trace_flags & 1):
            kind = SpanKind(kind_number - 1)
            result = self.sampler.should_sample(context, trace_id, name, kind, given, links, state)
            flags = TraceFlags.SAMPLED if result.decision is sampling.Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT
            state = result.trace_state
            given = {**given, **result.attributes} if result.attributes else given
        span = Span(
            self.recorder,
            name,
            (trace_id, self.new_span_id(), above.span_id if above else 0),
            int(flags),
            own,
            start_ns,
        )
        span.kind_number = kind_number
        if state:
            span.trace_state, span.trace_state_header = state, state.to_header()
        span.parent_remote = bool(above and above.is_remote)
        if isinstance(parent, Span):
            span.query = parent.query
        if given is not own:
            span.set_attributes(given)
        return span


class _Current(ContextDecorator):
    """What ``start_as_current_span`` gives: a context manager that also decorates functions and coroutines."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._open: list[Any] = []

    def __enter__(self) -> trace.Span:
        manager = self._make()
        span = manager.__enter__()
        self._open.append(manager)
        return span  # type: ignore[no-any-return]

    def __exit__(self, *error: object) -> bool | None:
        return self._open.pop().__exit__(*error)  # type: ignore[no-any-return]

    def __call__(self, function: Any) -> Any:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def traced_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self._make():
                    return await function(*args, **kwargs)

            return traced_coroutine

        @functools.wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            with self._make():
                return function(*args, **kwargs)

        return traced
