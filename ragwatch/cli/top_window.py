"""What happened lately: the difference of two readings of the agent's counters."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ragwatch.catalogue import SERVICE
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.kpi.state import Histogram, State


class Lately(NamedTuple):
    """A stretch of time: its counters, how many seconds it is long (None: since counting began), the services known."""

    state: State
    seconds: float | None
    services: tuple[str, ...]


class Step(NamedTuple):
    """One step of one service within the stretch; ``share`` is its part of what the queries waited for."""

    service: str
    name: str
    calls: int
    failed: int
    p50: float
    p95: float
    p99: float
    share: float | None


class Window:
    """Readings of the last ``seconds``; with one reading it is everything since counting began."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held: deque[tuple[float, State]] = deque()

    def add(self, at_s: float, state: State) -> None:
        """Take a reading."""
        if self._held and _queries(state) < _queries(self._held[-1][1]):
            self._held.clear()  # another agent, or one with a new directory
        self._held.append((at_s, state))
        while len(self._held) > 2 and self._held[1][0] <= at_s - self._seconds:
            self._held.popleft()

    def lately(self) -> Lately:
        """The stretch that the readings span.

        >>> window, state = Window(60), State()
        >>> window.add(0, state.copy())
        >>> state.increment("rag.answers", ("bot", "prod", "with_context"), 3)
        >>> window.add(2, state)
        >>> window.lately().seconds, window.lately().state.series("rag.answers")
        (2, {('bot', 'prod', 'with_context'): 3.0})
        """
        at, newest = self._held[-1]
        first, oldest = self._held[0]
        if len(self._held) == 1:
            return Lately(newest, None, services_of(newest))
        state = newest.copy()
        state.subtract(oldest)
        return Lately(state, at - first, services_of(newest))


def services_of(state: State) -> tuple[str, ...]:
    """Every app that counts something, by name."""
    names = {key[0] for metric, key, _ in state.cells() if metric.labels[:1] == (SERVICE,)}
    return tuple(sorted(names))


def of_service(state: State, service: str | None) -> State:
    """What counts for one app; everything for None.

    >>> services_of(of_service(State(), "bot"))
    ()
    """
    if service is None:
        return state
    mine = State()
    for metric, key, cell in state.cells():
        if metric.label_names[:1] == ("service",) and key[0] == service:
            mine.add_cell(metric, key, cell)
    return mine


def steps_of(state: State, service: str, metrics: RAGMetrics) -> list[Step]:
    """The steps of a service, in the order in which a query takes them."""
    waits: dict[str, float] = {}
    for key, seconds in state.series("rag.query.critical_path").items():
        if key[0] == service:
            waits[key[2]] = waits.get(key[2], 0.0) + seconds
    whole = sum(waits.values())
    failed: dict[str, float] = {}
    for key, count in state.series("rag.step.calls").items():
        if key[0] == service and key[3] in {"error", "rejected"}:
            failed[key[2]] = failed.get(key[2], 0.0) + count
    return [
        Step(
            service, name, int(found["count"]), int(failed.get(name, 0)), found["p50"], found["p95"], found["p99"],
            waits.get(name, 0.0) / whole if whole > 0 else None,
        )
        for name, found in metrics.steps.items()
    ]  # fmt: skip


def _queries(state: State) -> int:
    return sum(cell.count for cell in state.series("rag.query.duration").values() if isinstance(cell, Histogram))
