"""Makes breakers, retries and limits visible: their counts as KPIs, their events on the running step and in the log."""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns
from typing import Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace

from ragwatch import semconv
from ragwatch.conventions.own import MAX_BREAKERS
from ragwatch.resilience import events, retry_run
from ragwatch.resilience.events import Asked, AttemptFailed, Event, FallbackUsed, Rejection, Sharing, Transition, listen
from ragwatch.resilience.tallies import TALLIES, Series
from ragwatch.sdk.failure import type_name
from ragwatch.sdk.guard import fault
from ragwatch.sdk.provider import SPAN_KEY
from ragwatch.sdk.recorder import Recorder
from ragwatch.sdk.runtime import STEP_KEY
from ragwatch.sdk.step import StepApi

_WRITING = frozenset({"tool", "ingest"})
_OPENED = frozenset({"open", "forced_open"})
_reported: dict[Series, float] = {}
"""What an earlier ``init`` of this process has sent already, under an instance id of its own."""


class Notice(NamedTuple):
    """A breaker's transition, for the log."""

    time_ns: int
    level: str
    event: str
    fields: dict[str, Any]
    trace_id: int
    span_id: int


class Resilience:
    """Listens for one recorder, from ``init`` to ``shutdown``."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._baseline = dict(_reported)
        self._stop: Callable[[], None] = listen(self._hear)
        retry_run.writes = _within_a_write
        events.witness = _met

    def collect(self) -> None:
        """Bring the engine's breaker, retry and limit series up to date."""
        recorder = self._recorder
        totals = TALLIES.totals()
        for series, before in self._baseline.items():
            if series in totals:
                totals[series] = max(0.0, totals[series] - before)
        totals.update(TALLIES.levels())
        if totals:
            with recorder.lock:
                recorder.engine.set_totals(totals, recorder.service, recorder.environment)

    def close(self) -> None:
        """Stop listening."""
        self._stop()
        retry_run.writes = bool
        events.witness = None
        _reported.clear()
        _reported.update(TALLIES.totals())

    @staticmethod
    def forked() -> None:
        """In a forked child nothing was counted yet."""
        _reported.clear()

    def _hear(self, event: Event) -> None:
        try:
            if isinstance(event, Transition):
                self._transition(event)
            elif isinstance(event, Sharing):
                self._sharing(event)
            else:
                _show(event)
        except Exception as error:  # noqa: BLE001  (guests behave)
            fault("resilience", error)

    def _transition(self, event: Transition) -> None:
        fields: dict[str, Any] = {
            "service": self._recorder.service,
            "breaker": event.breaker,
            "from": event.before,
            "to": event.after,
            "reason": event.reason,
        }
        if event.open_s is not None:
            fields["open_s"] = round(event.open_s, 3)
        context = trace.get_current_span().get_span_context()
        level = "warning" if event.after in _OPENED else "info"
        self._recorder.notice(
            Notice(time_ns(), level, semconv.EVENT_BREAKER, fields, context.trace_id, context.span_id)
        )
        found: dict[str, Any] = {semconv.BREAKER_NAME: event.breaker, "from": event.before, "to": event.after}
        _span().add_event(semconv.EVENT_BREAKER, found)

    def _sharing(self, event: Sharing) -> None:
        fields: dict[str, Any] = {
            "service": self._recorder.service,
            "breaker": event.breaker,
            "shared": event.joined,
            "reason": event.reason,
        }
        level = "info" if event.joined else "warning"
        self._recorder.notice(Notice(time_ns(), level, semconv.EVENT_BREAKER_SHARED, fields, 0, 0))


def current_step() -> StepApi | None:
    """The step that runs now: ragwatch's own span, or the step beside the app's own span."""
    context = otel_context.get_current()
    step: Any = context.get(STEP_KEY) or context.get(SPAN_KEY)
    return step if isinstance(step, StepApi) and step.step is not None else None


def _met(breaker: Asked) -> None:
    """A call asks a breaker: the step that makes it says so. The state of its last call stands."""
    try:
        step = current_step()
        if step is None:
            return
        said: Any = step.attribute_map  # type: ignore[attr-defined]
        name, state = breaker.name, breaker.state
        held = said.get(semconv.BREAKER_NAME)
        if held is None or held == name:
            if held is None:
                step.set(semconv.BREAKER_NAME, name)
            if said.get(semconv.BREAKER_STATE) != state:
                step.set(semconv.BREAKER_STATE, state)
            return
        states = said.get(semconv.BREAKER_STATE)
        names, states = (one if isinstance(one, tuple) else (one,) for one in (held, states))
        found = {**dict(zip(names, states, strict=False)), name: state}
        if len(found) <= MAX_BREAKERS:
            step.set(semconv.BREAKER_NAME, tuple(found))
            step.set(semconv.BREAKER_STATE, tuple(found.values()))
    except Exception as error:  # noqa: BLE001  (guests behave)
        fault("breaker", error)


def _span() -> Any:
    return trace.get_current_span()


def _show(event: Rejection | FallbackUsed | AttemptFailed) -> None:
    step = current_step()
    if isinstance(event, FallbackUsed):
        if step is not None:
            step.degraded(f"fallback of {event.breaker}: {event.reason}")
        return
    if isinstance(event, Rejection):
        found: dict[str, Any] = {
            semconv.REJECTED_BY: event.source,
            semconv.REJECTED_NAME: event.name,
            semconv.REJECTED_REASON: event.reason,
        }
        _span().add_event(semconv.EVENT_REJECTED, found)
        return
    if step is not None:
        step.set_attribute(semconv.ATTEMPTS, event.attempt + (event.delay_s is not None))
        step.set_attribute(semconv.RETRY_OPERATION, event.operation)
        if event.along_path > 1:
            step.set_attribute(semconv.RETRY_ALONG_PATH, event.along_path)
        if event.result is not None:
            step.set_attribute(semconv.RETRY_RESULT, event.result)
    found = {
        semconv.RETRY_OPERATION: event.operation,
        semconv.RETRY_ATTEMPT: event.attempt,
        semconv.ERROR_TYPE: type_name(event.error),
    }
    if event.delay_s is not None:
        found[semconv.RETRY_DELAY_S] = event.delay_s
    _span().add_event(semconv.EVENT_RETRY, found)


def _within_a_write() -> bool:
    step = current_step()
    return step is not None and step.step in _WRITING
