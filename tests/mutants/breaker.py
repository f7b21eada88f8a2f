"""Breakers with one planted fault each: a test of the breaker that one of these passes is too weak."""

from __future__ import annotations

from math import inf
from typing import Any

from ragwatch.resilience.breaker import CircuitBreaker, Ticket
from ragwatch.resilience.window import FAILED


class OnePermitTooMany(CircuitBreaker):
    def _go(self, state: Any, *rest: Any, **named: Any) -> None:
        super()._go(state, *rest, **named)
        if state == "half_open":
            self._permits += 1


class HalfOpenFailureCloses(CircuitBreaker):
    def _took(self, epoch: int, flags: int, now: float) -> list[Any]:
        return super()._took(epoch, 0 if self.state == "half_open" and epoch == self._epoch else flags, now)


class NoMinimumOfCalls(CircuitBreaker):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "minimum_calls": 1})


class LateResultsCount(CircuitBreaker):
    def _take(self, ticket: Ticket, flags: int) -> None:
        super()._take((self._epoch, ticket[1]), flags)


class CancellationKeepsThePermit(CircuitBreaker):
    def release(self, ticket: Ticket) -> None:
        self.tally.ignored += 1


class CancellationIsAFailure(CircuitBreaker):
    def release(self, ticket: Ticket) -> None:
        self._take(ticket, FAILED)


class CancellationIsASuccess(CircuitBreaker):
    def release(self, ticket: Ticket) -> None:
        self._take(ticket, 0)


class NeverHalfOpen(CircuitBreaker):
    def _admit(self, now: float, happened: list[Any]) -> Ticket | None:
        return None if self.state == "open" else super()._admit(now, happened)


class HalfOpensTooEarly(CircuitBreaker):
    def _admit(self, now: float, happened: list[Any]) -> Ticket | None:
        if self.state == "open" and now >= self._until - 1:
            now = max(now, self._until)
        return super()._admit(now, happened)


class HalfOpensTooLate(CircuitBreaker):
    def _admit(self, now: float, happened: list[Any]) -> Ticket | None:
        return None if self.state == "open" and now == self._until else super()._admit(now, happened)


class LeakedProbeWedges(CircuitBreaker):
    def _admit(self, now: float, happened: list[Any]) -> Ticket | None:
        if self.state == "half_open":
            self._until = inf
        return super()._admit(now, happened)


class SuccessForgetsNothing(CircuitBreaker):
    def _take(self, ticket: Ticket, flags: int) -> None:
        row = self._in_a_row
        super()._take(ticket, flags)
        if not flags and self.state == "closed":
            self._in_a_row = row


class OneSuccessCloses(CircuitBreaker):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "success_threshold": 1})


class SlowIsNotSeen(CircuitBreaker):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._slow_after = inf


class SlowAtTheEdge(CircuitBreaker):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._slow_after -= 1


class NoBackoff(CircuitBreaker):
    def _open(self, now: float, *rest: Any) -> None:
        self._reopened = 0
        super()._open(now, *rest)


class BackoffStays(CircuitBreaker):
    def _go(self, state: Any, *rest: Any, **named: Any) -> None:
        reopened = self._reopened
        super()._go(state, *rest, **named)
        if state == "closed":
            self._reopened = max(1, reopened)


class WindowSurvivesTransitions(CircuitBreaker):
    def _go(self, state: Any, *rest: Any, **named: Any) -> None:
        window, self._window = self._window, None
        super()._go(state, *rest, **named)
        self._window = window


class DisabledStillCounts(CircuitBreaker):
    def disable(self) -> None:
        self.reset()


class ForcedOpenLetsProbesThrough(CircuitBreaker):
    def force_open(self) -> None:
        super().force_open()
        with self._lock:
            self.tally.state = "open"
            self._until = self.clock() + 10


class MetricsOnlyOpens(CircuitBreaker):
    def metrics_only(self) -> None:
        super().metrics_only()
        self.tally.state = "closed"


MUTANTS: dict[str, type[CircuitBreaker]] = {kind.__name__: kind for kind in CircuitBreaker.__subclasses__()}
