"""The KPIs that apps count themselves: the last cumulative point of each process, and the sum of processes that ended.

A process is a stream: its ``service.instance.id`` and the time at which it began to count. One that misses three of its
reports loses its gauges, since a breaker that was open in a process that was killed is not open. Longer silence makes
it retired: its counters are folded into one sum. Should it speak again it is taken out of the sum first.
"""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

from ragwatch.kpi.state import State, Stream
from ragwatch.semconv import EXPORT_INTERVAL

MAX_LIVE = 200
KEEP_RETIRED_S = 7 * 86400
REPORTS_MISSED = 3
USUAL_INTERVAL_S = 60.0
"""Between reports of a process that does not say it: OpenTelemetry's default."""
MIN_QUIET_S = 5.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
  instance TEXT, start_ns INTEGER, service TEXT, at_ns INTEGER, seen_s REAL, retired INTEGER, state TEXT,
  PRIMARY KEY (instance, start_ns, service)) WITHOUT ROWID;
"""


class Held(NamedTuple):
    """A stream's last point: when it was measured, when it came, and what it says."""

    at_ns: int
    seen_s: float
    state: State
    quiet: bool = False
    """It has missed reports, and its gauges are gone."""

    def is_quiet(self, now_s: float) -> bool:
        """Whether it has missed so many reports that its gauges say nothing of now."""
        interval_s = max(self.state.series(EXPORT_INTERVAL).values(), default=USUAL_INTERVAL_S)
        return now_s - self.seen_s > max(MIN_QUIET_S, REPORTS_MISSED * interval_s)


class Streams:
    """The streams of the pipeline; ``save`` writes what has changed inside the caller's transaction."""

    def __init__(self) -> None:
        self._live: dict[Stream, Held] = {}
        self._retired: dict[Stream, tuple[int, float]] = {}
        self.ended = State()
        self._changed: set[Stream] = set()
        self._to_retire: list[Stream] = []

    def load(self, connection: sqlite3.Connection) -> None:
        """Take up what was saved."""
        for instance, start_ns, service, at_ns, seen_s, retired, text in connection.execute(
            "SELECT instance, start_ns, service, at_ns, seen_s, retired, state FROM streams"
        ):
            stream = Stream(instance, start_ns, service)
            if retired:
                self._retired[stream] = (at_ns, seen_s)
                self.ended.add(State.from_json(json.loads(text)).without_gauges())
            else:
                self._live[stream] = Held(at_ns, seen_s, State.from_json(json.loads(text)))

    def take(self, stream: Stream, state: State, at_ns: int, now_s: float, connection: sqlite3.Connection) -> bool:
        """Keep a process' newest point; False for one that is older than what is held."""
        held = self._live.get(stream)
        if held is not None and held.at_ns >= at_ns:
            return False
        if held is None and stream in self._retired:
            before, _ = self._retired.pop(stream)
            (text,) = connection.execute(
                "SELECT state FROM streams WHERE instance = ? AND start_ns = ? AND service = ?", stream
            ).fetchone()
            self.ended.subtract(State.from_json(json.loads(text)).without_gauges())
            if before >= at_ns:
                state = State.from_json(json.loads(text))
        self._live[stream] = Held(at_ns, now_s, state)
        self._changed.add(stream)
        return True

    def retire(self, now_s: float, idle_s: float) -> None:
        """Fold the processes that have gone silent, and over the bound those silent longest, into the sum.

        Those that have missed some reports lose their gauges.
        """
        for stream, held in self._live.items():
            if not held.quiet and held.is_quiet(now_s):
                self._live[stream] = held._replace(state=held.state.without_gauges(), quiet=True)
                self._changed.add(stream)
        idle = [stream for stream, held in self._live.items() if now_s - held.seen_s > idle_s]
        if len(self._live) - len(idle) > MAX_LIVE:
            rest = sorted((held.seen_s, stream) for stream, held in self._live.items() if stream not in idle)
            idle += [stream for _, stream in rest[: len(self._live) - len(idle) - MAX_LIVE]]
        for stream in idle:
            held = self._live[stream]
            self.ended.add(held.state.without_gauges())
            self._to_retire.append(stream)
            self._changed.add(stream)
            self._retired[stream] = (held.at_ns, held.seen_s)

    def save(self, connection: sqlite3.Connection) -> None:
        """Write what has changed."""
        for stream in self._changed:
            held = self._live.get(stream)
            if held is None:
                continue
            text = json.dumps(held.state.to_json(), separators=(",", ":"))
            connection.execute(
                "INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*stream, held.at_ns, held.seen_s, int(stream in self._retired), text),
            )
        for stream in self._to_retire:
            self._live.pop(stream, None)
        self._to_retire.clear()
        self._changed.clear()

    @property
    def changed(self) -> bool:
        """Whether there is something to save."""
        return bool(self._changed)
