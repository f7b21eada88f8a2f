"""``observe_pybreaker``: a breaker of pybreaker becomes the KPIs, log lines and step events of ragwatch's own."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any, TypeVar

from ragwatch.errors import ConfigError
from ragwatch.resilience import events
from ragwatch.resilience.breaker_tally import BreakerTally
from ragwatch.resilience.events import BreakerState, Rejection, Transition, tell
from ragwatch.resilience.tallies import TALLIES

T = TypeVar("T")
STATES: dict[str, BreakerState] = {"closed": "closed", "open": "open", "half-open": "half_open"}


def observe_pybreaker(breaker: T, *, name: str | None = None) -> T:
    """Count what a ``pybreaker.CircuitBreaker`` does, under ``name`` or its own; returns it.

    pybreaker tells its listeners nothing of a call that it rejects, so its ``call`` is watched too: the decorator and
    ``calling()`` go through it, ``call_async`` (Tornado) does not. What pybreaker excludes it counts as a success.
    """
    import pybreaker

    given: Any = breaker
    if not isinstance(given, pybreaker.CircuitBreaker):
        raise ConfigError("breaker", f"{breaker!r} is no pybreaker.CircuitBreaker", source="observe_pybreaker")
    if any(getattr(listener, "ragwatch", False) for listener in given.listeners):
        return breaker
    tally = BreakerTally(name or given.name or "pybreaker", time.monotonic)
    tally.state = STATES.get(given.current_state, "closed")
    tally.forget()
    lock, entered = threading.Lock(), threading.local()

    class Observer(pybreaker.CircuitBreakerListener):
        ragwatch = True

        def before_call(self, cb: Any, func: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
            entered.calls = getattr(entered, "calls", 0) + 1
            if events.witness is not None:
                events.witness(tally)

        def success(self, cb: Any) -> None:  # noqa: ARG002
            with lock:
                tally.ok += 1

        def failure(self, cb: Any, exc: BaseException) -> None:  # noqa: ARG002
            with lock:
                tally.failure += 1

        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:  # noqa: ARG002
            before, after = tally.state, STATES.get(new_state.name, "closed")
            if before == after:
                return
            with lock:
                tally.went(before, after)
            open_s = float(cb.reset_timeout) if after == "open" else None
            tell((), Transition(tally.name, before, after, "pybreaker", open_s))

    original = given.call

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        before = getattr(entered, "calls", 0)
        try:
            return original(*args, **kwargs)
        except pybreaker.CircuitBreakerError:
            if getattr(entered, "calls", 0) == before:
                with lock:
                    tally.rejected += 1
                if events.witness is not None:
                    events.witness(tally)
                tell((), Rejection("breaker", tally.name, tally.state, None))
            raise

    given.add_listener(Observer())
    given.call = call  # type: ignore[method-assign]  # an attribute of the instance: pybreaker calls self.call
    TALLIES.enter(given, tally)
    return breaker
