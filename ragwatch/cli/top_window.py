"""What happened lately, by service: the difference of two readings of the agent's counters.

What an app counts itself comes with its reports, every so many seconds. Between two of them nothing is known, so a
stretch ends with a report and begins with an earlier one: as much was counted in it as it is long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from ragwatch.catalogue import SERVICE
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.kpi.state import Histogram, State
from ragwatch.semconv import EXPORT_INTERVAL

SURELY = 0.75
"""Of an interval: reports that lie further apart are not those of two processes side by side."""
SURELY_ALL = 1.25
"""Intervals in which each process of an app has reported."""
LATE = 2.0
"""Intervals (and some seconds, for the way) after which an app that does not report has nothing to report."""
LATE_S = 5.0


class Lately(NamedTuple):
    """A stretch of time.

    ``seconds`` is how long it is, by service; empty: everything since counting began. ``waiting`` are the services of
    which nothing can be said yet, each with the seconds between its reports.
    """

    state: State
    services: tuple[str, ...]
    seconds: Mapping[str, float]
    waiting: Mapping[str, float]


class Step(NamedTuple):
    """One step of one service within the stretch; ``share`` is its part of what the queries waited for."""

    service: str
    name: str
    calls: int
    failed: int
    mean: float
    p50: float
    p95: float
    p99: float
    share: float | None


class Window:
    """Readings of the last ``seconds``; until something is reported it is everything since counting began."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._newest = State()
        self._at_s: float | None = None
        self._held: dict[str, _History] = {}

    def add(self, at_s: float, state: State) -> None:
        """Take a reading."""
        if _queries(state) < _queries(self._newest):
            self._held, self._at_s = {}, None  # another agent, or one with a new directory
        for service in services_of(state):
            mine = of_service(state, service)
            held = self._held.get(service)
            if held is None:
                held = self._held[service] = _History(self._seconds)
                if self._at_s is not None:
                    held.add(self._at_s, State())
            held.add(at_s, mine)
        self._at_s, self._newest = at_s, state

    def lately(self) -> Lately:
        """The stretch that the readings span.

        >>> window, state = Window(60), State()
        >>> window.add(0, state.copy())
        >>> state.increment("rag.answers", ("bot", "prod", "with_context"), 3)
        >>> window.add(2, state)
        >>> window.lately().seconds, window.lately().state.series("rag.answers")
        ({'bot': 2}, {('bot', 'prod', 'with_context'): 3.0})
        """
        services = services_of(self._newest)
        found = {service: self._held[service].stretch(self._at_s or 0.0) for service in services}
        seconds = {service: stretch[1] for service, stretch in found.items() if stretch is not None}
        if not seconds:
            return Lately(self._newest, services, {}, {})
        state = State()
        for service, stretch in found.items():
            state.add(self._held[service].gauges() if stretch is None else stretch[0])
        waiting = {service: self._held[service].interval_s for service in services if service not in seconds}
        return Lately(state, services, seconds, waiting)


class _History:
    """What one service had counted, each time that it changed; the first is what it was before."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._points: deque[tuple[float, State]] = deque()
        self._sum = 0.0
        self.interval_s = 0.0
        """Between its reports; 0 where the agent counts, span by span."""

    def add(self, at_s: float, state: State) -> None:
        """Take a reading."""
        self.interval_s = max(state.series(EXPORT_INTERVAL).values(), default=self.interval_s)
        found = _sum(state)
        if self._points and found == self._sum:
            self._points[-1] = (self._points[-1][0], state)  # gauges change by themselves
        else:
            self._points.append((at_s, state))
        self._sum = found
        oldest = at_s - self._seconds - (LATE + 1) * self.interval_s - LATE_S
        while len(self._points) > 1 and self._points[1][0] <= oldest:
            self._points.popleft()

    def gauges(self) -> State:
        """What is so now, with nothing counted."""
        newest = self._points[-1][1]
        return _since(newest, newest)

    def stretch(self, now_s: float) -> tuple[State, float] | None:
        """What was counted, and in how many seconds; None while nothing can be said."""
        points, every_s = self._points, self.interval_s
        last_s, newest = points[-1]
        if now_s - last_s > LATE * every_s + LATE_S or not every_s:
            began_s = max(points[0][0], now_s - self._seconds)
            if began_s >= now_s:
                return None
            before = [state for at_s, state in points if at_s <= began_s][-1]
            return _since(newest, before), now_s - began_s
        first_s, first = points[0]
        if len(points) == 1 or (first.metrics and now_s - first_s < SURELY_ALL * every_s):
            return None
        wanted_s = last_s - max(1, round(self._seconds / every_s)) * every_s
        reports = [point for point in list(points)[1:-1] if last_s - point[0] >= SURELY * every_s]
        if not reports:  # the first of each process: it tells of the time since the report before
            return _since(newest, first), max(every_s, last_s - first_s)
        began_s, before = min(reports, key=lambda point: abs(point[0] - wanted_s))
        return _since(newest, before), last_s - began_s


def _since(state: State, before: State) -> State:
    rest = state.copy()
    rest.subtract(before)
    return rest


def _sum(state: State) -> float:
    """Of all that is counted: any report changes it, if only by the time that it took to make the one before."""
    return sum(
        cell.count if isinstance(cell, Histogram) else cell
        for metric, _, cell in state.cells()
        if metric.kind != "gauge"
    )


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
            service, name, int(found["count"]), int(failed.get(name, 0)), found["mean"], found["p50"], found["p95"],
            found["p99"], waits.get(name, 0.0) / whole if whole > 0 else None,
        )
        for name, found in metrics.steps.items()
    ]  # fmt: skip


def _queries(state: State) -> int:
    return sum(cell.count for cell in state.series("rag.query.duration").values() if isinstance(cell, Histogram))
