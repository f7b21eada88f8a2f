"""``observe_tenacity``: calls under a tenacity policy become the KPIs and step events of ragwatch's own retries.

Only public attributes are used: the strategies ``before``, ``retry``, ``stop`` and ``before_sleep`` of a ``Retrying``
are replaced by ones that do the same and take notes. Copies that tenacity makes of it take them along.
"""

from __future__ import annotations

import inspect
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from ragwatch.errors import ConfigError
from ragwatch.resilience.events import AttemptFailed, log, tell
from ragwatch.resilience.retry_tally import tally_of

T = TypeVar("T")


def observe_tenacity(target: T, *, name: str | None = None) -> T:
    """Count what a ``Retrying``, an ``AsyncRetrying`` or a function decorated by ``tenacity.retry`` does; returns it.

    The operation is called ``name``, else as the function or the ``Retrying``.

    >>> import tenacity
    >>> from ragwatch.resilience.tallies import TALLIES
    >>> @tenacity.retry(stop=tenacity.stop_after_attempt(2))
    ... def fetch(): return "here"
    >>> observe_tenacity(fetch, name="docs-fetch")()
    'here'
    >>> TALLIES.totals()["rag.retry.attempts", ("docs-fetch",)]
    1
    """
    import tenacity

    retrying: Any = target if isinstance(target, tenacity.BaseRetrying) else getattr(target, "retry", None)
    if not isinstance(retrying, tenacity.BaseRetrying):
        problem = f"{target!r} is neither a tenacity Retrying nor a function that tenacity.retry decorated"
        raise ConfigError("target", problem, source="observe_tenacity")
    watch(retrying, name)
    return target


def watch(retrying: Any, name: str | None) -> None:
    """Take notes of a ``Retrying``; once, however often it is asked."""
    if getattr(retrying.retry, "ragwatch", None) is not None:
        return
    notes = _Notes(name)
    retrying.before = _then(retrying.before, notes.began)
    retrying.retry = _then(retrying.retry, notes.judged)
    retrying.stop = _then(retrying.stop, notes.stopped)
    retrying.before_sleep = _then(retrying.before_sleep, notes.sleeps)


class _Notes:
    """What is written down of the calls of one policy; ``call`` is tenacity's ``RetryCallState``."""

    def __init__(self, name: str | None) -> None:
        self._name = name

    def began(self, call: Any, answer: Any) -> None:  # noqa: ARG002  (each note takes what tenacity's own strategy said)
        """An attempt begins."""
        call.ragwatch_started = time.monotonic()
        if call.fn is None and call.attempt_number == 1:
            call.ragwatch_counted = False
            _count_at_first_result(self._operation(call), call)

    def judged(self, call: Any, answer: Any) -> None:
        """An attempt is over: whether the policy wants another one."""
        if answer:
            return
        if call.outcome.failed:
            self._ended(call, "not_retryable")
        elif call.fn is not None:  # else its first result was counted
            _went_well(self._operation(call), call.attempt_number, call.ragwatch_started - call.start_time)

    def stopped(self, call: Any, answer: Any) -> None:
        """Whether the policy has had enough."""
        if answer:
            self._ended(call, "exhausted")

    def sleeps(self, call: Any, answer: Any) -> None:  # noqa: ARG002
        """Another attempt will be made."""
        self._tell(call, call.upcoming_sleep, None)

    def _ended(self, call: Any, result: str) -> None:
        if getattr(call, "ragwatch_counted", False):
            return
        wasted_s = call.outcome_timestamp - call.start_time
        tally_of(self._operation(call)).add(result, call.attempt_number, wasted_s)
        self._tell(call, None, result)

    def _tell(self, call: Any, delay_s: float | None, result: str | None) -> None:
        import tenacity

        error = call.outcome.exception() if call.outcome.failed else tenacity.RetryError(call.outcome)
        took_s = max(0.0, call.outcome_timestamp - call.ragwatch_started)
        tell((), AttemptFailed(self._operation(call), call.attempt_number, error, took_s, delay_s, result))

    def _operation(self, call: Any) -> str:
        if self._name is not None:
            return self._name
        if call.fn is not None:
            return str(getattr(call.fn, "__qualname__", None) or type(call.fn).__name__)
        named = str(call.retry_object)
        return "tenacity" if named == "<unknown>" else named


def _count_at_first_result(operation: str, call: Any) -> None:
    """For calls in the form ``for attempt in Retrying(): with attempt: return …``, as stamina's are.

    The loop is left at the first success and tenacity's strategies are not asked again, so the call counts as well
    ended when its first result comes. (One whose results are retried is better decorated.)
    """
    kept, set_result = weakref.ref(call), type(call).set_result

    def with_result(value: Any) -> None:
        held = kept()
        if held is None:
            return
        if not held.ragwatch_counted:
            held.ragwatch_counted = True
            _went_well(operation, held.attempt_number, held.ragwatch_started - held.start_time)
        set_result(held, value)

    call.set_result = with_result


def _went_well(operation: str, attempts: int, wasted_s: float) -> None:
    if attempts == 1:
        tally_of(operation).went_well()
    else:
        tally_of(operation).add("ok", attempts, wasted_s)


def _then(strategy: Any, note: Callable[[Any, Any], None]) -> Any:
    """The strategy, and then a note of what it said; the same kind of callable as the strategy is."""
    both: Any
    if inspect.iscoroutinefunction(strategy) or inspect.iscoroutinefunction(getattr(strategy, "__call__", None)):  # noqa: B004

        async def both(call: Any) -> Any:
            answer = await strategy(call)
            _safely(note, call, answer)
            return answer

    else:

        def both(call: Any) -> Any:
            answer = strategy(call) if strategy is not None else None
            _safely(note, call, answer)
            return answer

    both.ragwatch = note
    return both


def _safely(note: Callable[[Any, Any], None], call: Any, answer: Any) -> None:
    try:
        note(call, answer)
    except Exception as error:  # noqa: BLE001  (guests behave)
        log.warning("ragwatch: a retry could not be observed: %r", error)
