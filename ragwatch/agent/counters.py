"""Counts that are committed with the rows that they count, so that they never fall over a crash."""

from __future__ import annotations

import json
import sqlite3
import threading
from bisect import bisect_left

from ragwatch.kpi.state import Histogram, State

Key = tuple[str, ...]


class Counters:
    """Counters and histograms of one process in a table ``counters (metric, labels, value)`` of its file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, Key], float] = {}
        self._saved: dict[tuple[str, Key], float] = {}
        self.changed = False

    def add(self, metric: str, labels: Key, amount: float = 1.0) -> None:
        """Add to a counter."""
        with self._lock:
            key = (metric, labels)
            self._values[key] = self._values.get(key, 0.0) + amount
            self.changed = True

    def observe(self, metric: str, labels: Key, edges: tuple[float, ...], value: float) -> None:
        """Put a value into a histogram; it is saved with the next change of a counter."""
        with self._lock:
            for name in (f"bucket{bisect_left(edges, value)}", "sum"):
                key = (metric, (*labels, name))
                self._values[key] = self._values.get(key, 0.0) + (value if name == "sum" else 1.0)

    def load(self, connection: sqlite3.Connection) -> None:
        """Take up what was saved."""
        for metric, labels, value in connection.execute("SELECT metric, labels, value FROM counters"):
            self._values[(metric, tuple(json.loads(labels)))] = value
        self._saved = dict(self._values)

    def save(self, connection: sqlite3.Connection) -> dict[tuple[str, Key], float]:
        """Write what has changed, inside the caller's transaction; ``saved`` is to be told when that has committed."""
        with self._lock:
            changed = {key: value for key, value in self._values.items() if self._saved.get(key) != value}
            self.changed = False
        connection.executemany(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            [(metric, json.dumps(labels), value) for (metric, labels), value in changed.items()],
        )
        return changed

    def saved(self, changed: dict[tuple[str, Key], float]) -> None:
        """The transaction of ``save`` has committed."""
        self._saved.update(changed)

    def state(self) -> State:
        """The counts as a KPI state."""
        state = State()
        histograms: dict[tuple[str, Key], Histogram] = {}
        for (metric, labels), value in self._values.items():
            last = labels[-1] if labels else ""
            if last == "sum" or last.startswith("bucket"):
                cell = histograms.setdefault((metric, labels[:-1]), state.histogram(metric, labels[:-1]))
                if last == "sum":
                    cell.sum = value
                else:
                    cell.counts[int(last[6:])] = int(value)
            else:
                state.increment(metric, labels, value)
        return state
