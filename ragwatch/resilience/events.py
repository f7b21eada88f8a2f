"""What resilience reports: frozen events, handed to listeners after the lock was given back.

A listener is any callable that takes one event. It is called on the thread that caused the event and must be quick;
what it raises is logged once and goes no further. ``listen(f)`` hears every breaker, retry and limit of the process;
a single one takes ``listeners=``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

log = logging.getLogger("ragwatch.resilience")
BreakerState = Literal["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"]


@dataclass(frozen=True, slots=True)
class Transition:
    """A breaker went from one state to another; ``reason`` says why, ``open_s`` how long it stays open if it is."""

    breaker: str
    before: BreakerState
    after: BreakerState
    reason: str
    open_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A breaker or a limit turned a call away."""

    source: Literal["breaker", "limit"]
    name: str
    reason: str
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class FallbackUsed:
    """A fallback answered in place of what is behind a breaker."""

    breaker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sharing:
    """A breaker came together with the store that it shares its state through, or goes on alone for this ``reason``."""

    breaker: str
    joined: bool
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt under a retry policy failed.

    ``delay_s`` is the wait before the next; None when there is none, and ``result`` then says why: exhausted,
    not_retryable, budget, deadline. ``along_path`` is the attempts so far, and the one to come, times those of the
    retries around this one.
    """

    operation: str
    attempt: int
    error: BaseException
    elapsed_s: float
    delay_s: float | None
    result: str | None = None
    along_path: int = 1


class Asked(Protocol):
    """A breaker that was asked for a call: its name, and its state now."""

    name: str
    state: BreakerState


witness: Callable[[Asked], object] | None = None
"""Told of each call that asks a breaker, where somebody wants to know. On every call's path: no event is made."""
Event = Transition | Rejection | FallbackUsed | Sharing | AttemptFailed
Listener = Callable[[Event], object]
_everyone: tuple[Listener, ...] = ()
_said: set[str] = set()


def listen(listener: Listener) -> Callable[[], None]:
    """Hear every event of this process; the function that is returned ends it.

    >>> heard = []
    >>> stop = listen(heard.append)
    >>> tell((), FallbackUsed("index", "open"))
    >>> stop()
    >>> tell((), FallbackUsed("index", "open"))
    >>> heard
    [FallbackUsed(breaker='index', reason='open')]
    """
    global _everyone  # noqa: PLW0603  (a tuple that is replaced whole: readers need no lock)
    _everyone = (*_everyone, listener)

    def stop() -> None:
        global _everyone  # noqa: PLW0603
        _everyone = tuple(other for other in _everyone if other is not listener)

    return stop


def tell(listeners: Iterable[Listener], *events: Event) -> None:
    """Hand events to these listeners and to everyone's. Never call it while holding a lock."""
    for listener in (*listeners, *_everyone):
        for event in events:
            try:
                listener(event)
            except Exception:
                if repr(listener) not in _said:
                    _said.add(repr(listener))
                    log.exception("ragwatch: a listener failed; this is said once, and the call goes on")
