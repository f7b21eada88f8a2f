"""The numbers of the KPI engine: counters, gauges and histograms by label values, in memory that does not grow with n.

A state is what the engine writes, the agent adds up over processes, the store keeps, and the exposition reads. Keys are
tuples of label values in the catalogue's order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple

from ragwatch.catalogue import METRICS, Metric

Key = tuple[str, ...]
Exemplar = tuple[float, str, str, float]
"""(value, trace id, span id, seconds since the epoch)"""


class Stream(NamedTuple):
    """One process' metrics: its instance id, when it began to count, and whose they are."""

    instance: str
    start_ns: int
    service: str


class Histogram:
    """Counts by bucket, their sum, and the latest exemplar of each bucket. The last bucket is ``+Inf``."""

    __slots__ = ("counts", "edges", "exemplars", "sum")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    @property
    def count(self) -> int:
        """How many values it holds."""
        return sum(self.counts)

    def observe(self, value: float) -> None:
        """Take one value. A bucket's upper edge belongs to it (Prometheus' ``le``)."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value

    def observe_traced(self, value: float, trace_id: str, span_id: str, time_s: float) -> None:
        """Take one value and keep it as its bucket's exemplar."""
        bucket = bisect_left(self.edges, value)
        self.counts[bucket] += 1
        self.sum += value
        self.exemplars[bucket] = (value, trace_id, span_id, time_s)

    def add(self, other: Histogram, sign: int = 1) -> None:
        """Add (or with ``sign=-1`` take away) another histogram of the same edges."""
        counts = self.counts
        for index, count in enumerate(other.counts):
            counts[index] += sign * count
        self.sum += sign * other.sum
        if sign > 0:
            for index, exemplar in other.exemplars.items():
                mine = self.exemplars.get(index)
                if mine is None or mine[3] <= exemplar[3]:
                    self.exemplars[index] = exemplar

    def quantile(self, q: float) -> float | None:
        """The q-quantile by linear interpolation in its bucket, as Prometheus' ``histogram_quantile``; None when empty.

        >>> h = Histogram((1.0, 2.0))
        >>> for value in (0.5, 1.5, 1.5, 1.5): h.observe(value)
        >>> round(h.quantile(0.5), 3)
        1.333
        """
        total = self.count
        if total <= 0:
            return None
        rank = q * total
        below = 0
        for index, count in enumerate(self.counts):
            if count > 0 and below + count >= rank:
                if index >= len(self.edges):
                    return self.edges[-1]
                low = self.edges[index - 1] if index else min(0.0, self.edges[0])
                return low + (self.edges[index] - low) * (rank - below) / count
            below += count
        return self.edges[-1]


class Tally:
    """One counter of a state, looked up once.

    >>> state = State()
    >>> answers = Tally(state, "rag.answers", ("bot", "prod", "with_context"))
    >>> answers.add(); answers.add(2.0)
    >>> state.series("rag.answers")
    {('bot', 'prod', 'with_context'): 3.0}
    """

    __slots__ = ("_cells", "_key")

    def __init__(self, state: State, name: str, key: Key) -> None:
        self._cells: dict[Key, Any] = state.metrics.setdefault(name, {})
        self._key = key

    def add(self, amount: float = 1.0) -> None:
        """Count that many."""
        try:
            self._cells[self._key] += amount
        except KeyError:
            self._cells[self._key] = amount


Cell = float | Histogram


class State:
    """Series by metric and label values.

    >>> state = State()
    >>> state.increment("rag.answers", ("bot", "prod", "with_context"), 2)
    >>> other = State.from_json(state.to_json())
    >>> other.add(state)
    >>> other.series("rag.answers")
    {('bot', 'prod', 'with_context'): 4.0}
    """

    __slots__ = ("metrics",)

    def __init__(self) -> None:
        self.metrics: dict[str, dict[Key, Cell]] = {}

    def series(self, name: str) -> dict[Key, Any]:
        """The series of one metric; empty where nothing was recorded."""
        return self.metrics.get(name, {})

    def increment(self, name: str, key: Key, amount: float = 1.0) -> None:
        """Add to a counter."""
        try:
            self.metrics[name][key] += amount  # type: ignore[operator]
        except KeyError:
            self.metrics.setdefault(name, {})[key] = float(amount)

    def set_gauge(self, name: str, key: Key, value: float) -> None:
        """Set a gauge."""
        self.metrics.setdefault(name, {})[key] = float(value)

    def histogram(self, name: str, key: Key) -> Histogram:
        """The histogram of that key, made where it is missing."""
        cells = self.metrics.setdefault(name, {})
        cell = cells.get(key)
        if not isinstance(cell, Histogram):
            cell = cells[key] = Histogram(METRICS[name].buckets)
        return cell

    def cells(self) -> Iterator[tuple[Metric, Key, Cell]]:
        """Every series with its metric, in the catalogue's order."""
        for name, metric in METRICS.items():
            for key, cell in self.metrics.get(name, {}).items():
                yield metric, key, cell

    def add(self, other: State) -> None:
        """Add another process' state: counters and histograms add up, gauges by the catalogue's rule."""
        for metric, key, cell in other.cells():
            self.add_cell(metric, key, cell)

    def add_cell(self, metric: Metric, key: Key, cell: Cell) -> None:
        """Add one series."""
        if isinstance(cell, Histogram):
            self.histogram(metric.name, key).add(cell)
        elif metric.kind == "gauge" and metric.combine == "max":
            held = self.series(metric.name).get(key)
            self.set_gauge(metric.name, key, cell if held is None else max(held, cell))
        else:
            self.increment(metric.name, key, cell)

    def subtract(self, other: State) -> None:
        """Take away counters and histograms that were added before; a sum that rounding left below 0 becomes 0."""
        for metric, key, cell in other.cells():
            if isinstance(cell, Histogram):
                self.histogram(metric.name, key).add(cell, -1)
            elif metric.kind == "counter":
                cells = self.metrics.setdefault(metric.name, {})
                cells[key] = max(0.0, float(cells.get(key, 0.0)) - cell)  # type: ignore[arg-type]

    def without_gauges(self) -> State:
        """A state of the counters and histograms alone: what stays true of a process that has ended."""
        rest = State()
        for metric, key, cell in self.cells():
            if metric.kind != "gauge":
                rest.add_cell(metric, key, cell)
        return rest

    def copy(self) -> State:
        """A state that shares nothing with this one."""
        twin = State()
        twin.add(self)
        return twin

    def to_json(self) -> dict[str, Any]:
        """The state as plain lists and dicts, with its label names, so that a later version can read it."""
        out: dict[str, Any] = {}
        for name, cells in self.metrics.items():
            metric = METRICS[name]
            rows = [[list(key), _cell_to_json(cell)] for key, cell in list(cells.items())]
            out[name] = {"labels": list(metric.label_names), "series": rows}
            if metric.buckets:
                out[name]["edges"] = list(metric.buckets)
        return out

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        """The state that ``to_json`` made; metrics unknown to this version or with other edges are left out."""
        state = cls()
        for name, block in data.items():
            metric = METRICS.get(name)
            if metric is None or tuple(block.get("edges", ())) != metric.buckets:
                continue
            labels = block["labels"]
            for values, cell in block["series"]:
                held = dict(zip(labels, values, strict=True))
                key = tuple(held.get(label, "") for label in metric.label_names)
                state.add_cell(metric, key, _cell_from_json(metric, cell))
        return state


def _cell_to_json(cell: Cell) -> Any:
    if not isinstance(cell, Histogram):
        return cell
    out: dict[str, Any] = {"c": cell.counts[:], "s": cell.sum}
    if cell.exemplars:
        out["x"] = {str(index): list(exemplar) for index, exemplar in list(cell.exemplars.items())}
    return out


def _cell_from_json(metric: Metric, data: Any) -> Cell:
    if not isinstance(data, dict):
        return float(data)
    cell = Histogram(metric.buckets)
    cell.counts = [int(count) for count in data["c"]]
    cell.sum = float(data["s"])
    cell.exemplars = {int(index): (x[0], x[1], x[2], x[3]) for index, x in data.get("x", {}).items()}
    return cell
