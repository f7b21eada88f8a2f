"""The span of ragwatch: a real ``opentelemetry.trace.Span`` that is also the step that the app talks to. The hot path.

Starting and ending one costs the caller a few dict and list operations; everything else is the worker's. It reads like
the SDK's ``ReadableSpan`` as well. Rare fields are class attributes until they are set: an instance holds what it uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from ragwatch import semconv
from ragwatch.error_class import error_class
from ragwatch.sdk.failure import class_of, exception_attributes, message_of, outcome_of, type_name
from ragwatch.sdk.guard import fault, say_once
from ragwatch.sdk.step import StepApi
from ragwatch.sdk.wire import REMOTE, REMOTE_KNOWN

if TYPE_CHECKING:
    from ragwatch.sdk.content import ContentPolicy
    from ragwatch.sdk.recorder import Recorder

OK, ERROR = 1, 2
_STATUS_NUMBERS = {StatusCode.UNSET: 0, StatusCode.OK: OK, StatusCode.ERROR: ERROR}
_STATUS_CODES = {number: code for code, number in _STATUS_NUMBERS.items()}
_KINDS = {number: kind for kind, number in ((kind, kind.value + 1) for kind in SpanKind)}
_SCALARS = frozenset({str, int, float, bool})
Event = tuple[str, int, Mapping[str, Any] | None, int]
Link = tuple[int, int, str, Mapping[str, Any] | None, int, int]


class Span(StepApi, trace.Span):
    """A recording span; ``step`` says which RAG step it is, or None for any other instrumentor's span."""

    kind_number = 1
    trace_state_header = ""
    trace_state: TraceState | None = None
    end_ns = 0
    event_list: list[Event] | None = None
    link_list: list[Link] | None = None
    status_number = 0
    status_message = ""
    dropped_attributes = 0
    dropped_events = 0
    dropped_links = 0
    steps: list[Any] | None = None
    taken = False
    """A span of another's that its query will count."""
    node: Any = None
    labelled: tuple[frozenset[str], int, str] | None = None
    parent_remote = False
    _context: SpanContext | None = None

    def __init__(
        self,
        recorder: Recorder,
        name: str,
        ids: tuple[int, int, int],
        flags: int,
        attributes: dict[str, Any],
        start_ns: int,
    ) -> None:
        self.recorder = recorder
        self.name = name
        self.trace_id, self.span_id, self.parent_span_id = ids
        self.flags = flags
        self.attribute_map = attributes
        self.start_ns = start_ns

    # -- OpenTelemetry's span -----------------------------------------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        """The immutable identity of this span; made when first asked for."""
        context = self._context
        if context is None:
            context = self._context = SpanContext(
                self.trace_id, self.span_id, False, TraceFlags(self.flags & 0xFF), self.trace_state or TraceState()
            )
        return context

    def is_recording(self) -> bool:
        """Whether attributes set now are kept: until it has ended."""
        return self.end_ns == 0

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute; after the end it is ignored, and said once."""
        try:
            if type(value) not in _SCALARS:
                value = owned(value)
            attributes = self.attribute_map
            if self.end_ns:
                say_once("set-after-end", "ragwatch: an attribute was set on a span that had ended; it is ignored")
            elif len(attributes) < self.recorder.attribute_limit or key in attributes:
                attributes[key] = value
            else:
                self.dropped_attributes += 1
        except Exception as error:  # noqa: BLE001  (guests behave: never into the app)
            fault("set_attribute", error)

    def set(self, name: str, value: Any) -> Any:
        """Set any attribute by name; OpenTelemetry's GenAI names are read into the KPIs as well."""
        if (
            type(value) in _SCALARS
            and type(name) is str
            and not self.end_ns
            and len(self.attribute_map) < self.recorder.attribute_limit
        ):
            self.attribute_map[name] = value
        else:
            self.set_attribute(name, value)
        return self

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        try:
            for key, value in attributes.items():
                self.set_attribute(key, value)
        except Exception as error:  # noqa: BLE001
            fault("set_attributes", error)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Add an event."""
        if self.end_ns:
            return
        if self.event_list is None:
            self.event_list = []
        if len(self.event_list) >= self.recorder.event_limit:
            self.dropped_events += 1
            return
        try:
            kept = {key: owned(value) for key, value in attributes.items()} if attributes else None
            self.event_list.append((name, timestamp or time_ns(), kept, 0))
        except Exception as error:  # noqa: BLE001
            fault("add_event", error)

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Link another span."""
        if self.link_list is None:
            self.link_list = []
        if len(self.link_list) >= self.recorder.link_limit:
            self.dropped_links += 1
            return
        try:
            state = context.trace_state.to_header() if context.trace_state else ""
            kept = {key: owned(value) for key, value in attributes.items()} if attributes else None
            flags = int(context.trace_flags) | REMOTE_KNOWN | (REMOTE if context.is_remote else 0)
            self.link_list.append((context.trace_id, context.span_id, state, kept, 0, flags))
        except Exception as error:  # noqa: BLE001
            fault("add_link", error)

    def update_name(self, name: str) -> None:
        """Change the name."""
        if not self.end_ns and isinstance(name, str):
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; OK is final, and UNSET never overrides (OpenTelemetry's rule).

        A description is often an exception's message, so it stays here unless content may leave; the error class that
        it tells goes.
        """
        try:
            code = status.status_code if isinstance(status, Status) else status
            text = status.description if isinstance(status, Status) else description
            number = _STATUS_NUMBERS[code]
            if self.end_ns or self.status_number == OK or number == 0:
                return
            self.status_number = number
            self.status_message = ""
            if number == ERROR and text:
                self.status_message = kept = self.content.status(text)
                if kept != text and self.step is not None:
                    self.attribute_map.setdefault(semconv.ERROR_CLASS, error_class(text.partition(":")[0], text))
        except Exception as error:  # noqa: BLE001
            fault("set_status", error)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Record an exception as an event; its message only where content may leave."""
        try:
            found = exception_attributes(exception, self.content)
            found[semconv.EXCEPTION_ESCAPED] = str(escaped)
            if attributes:
                found.update(attributes)
            self.add_event(semconv.EVENT_EXCEPTION, found, timestamp)
        except Exception as error:  # noqa: BLE001
            fault("record_exception", error)

    def end(self, end_time: int | None = None) -> None:
        """End the span; only the first call counts."""
        if self.end_ns:
            return
        self.end_ns = end_time or time_ns()
        self.recorder.ended(self)

    def fail(self, exception: BaseException) -> None:
        """Take the exception that ended this step: an error, a rejection, or a cancellation."""
        try:
            outcome = outcome_of(exception)
            attributes = self.attribute_map
            if outcome != "error":
                attributes[semconv.OUTCOME] = outcome
            attributes.setdefault(semconv.ERROR_TYPE, type_name(exception))
            if outcome == "error":
                if self.status_number == 0:
                    self.status_number = ERROR
                    self.status_message = self.content.text(message_of(exception)) or type(exception).__name__
                attributes.setdefault(semconv.ERROR_CLASS, class_of(exception))
                self.record_exception(exception, escaped=True)
        except Exception as error:  # noqa: BLE001
            fault("fail", error)

    def __exit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        """End the span when a ``with`` block over it ends."""
        if exc is not None and not self.end_ns:
            self.fail(exc)
        self.end()

    # -- the SDK's ReadableSpan ---------------------------------------------------------------------------------------

    @property
    def content(self) -> ContentPolicy:  # type: ignore[override]
        """The privacy policy in force."""
        return self.recorder.content

    @property
    def context(self) -> SpanContext:
        """The identity of this span."""
        return self.get_span_context()

    @property
    def parent(self) -> SpanContext | None:
        """The identity of its parent, or None for a root."""
        if not self.parent_span_id:
            return None
        return SpanContext(
            self.trace_id, self.parent_span_id, self.parent_remote, TraceFlags(self.flags & 0xFF), self.trace_state
        )

    @property
    def kind(self) -> SpanKind:
        """OpenTelemetry's span kind."""
        return _KINDS[self.kind_number]

    @property
    def start_time(self) -> int:
        """Nanoseconds since the epoch."""
        return self.start_ns

    @property
    def end_time(self) -> int | None:
        """Nanoseconds since the epoch; None while it runs."""
        return self.end_ns or None

    @property
    def status(self) -> Status:
        """Status and description."""
        return Status(_STATUS_CODES[self.status_number], self.status_message or None)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What is exported of this span, by name."""
        return self.recorder.exported_attributes(self)

    @property
    def events(self) -> Sequence[Any]:
        """The events as the SDK's values."""
        return tuple(self.recorder.readable(self).events)

    @property
    def links(self) -> Sequence[Any]:
        """The links as the SDK's values."""
        return tuple(self.recorder.readable(self).links)

    @property
    def resource(self) -> Any:
        """The resource of the process."""
        return self.recorder.resource

    @property
    def instrumentation_scope(self) -> Any:
        """The scope that made the span."""
        return self.scope

    def to_json(self, indent: int | None = 4) -> str:
        """The span as the SDK writes it."""
        return str(self.recorder.readable(self).to_json(indent))

    scope: Any = None
    epoch: Any = None


def owned(value: Any) -> Any:
    """A value that the app cannot change any more: sequences and mappings are copied."""
    if isinstance(value, str | int | float | bool | bytes) or value is None:
        return value
    if isinstance(value, Integral):  # numpy's numbers are no Python numbers
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): owned(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(owned(inner) for inner in value)
    return str(value)
