"""What the agent knows, as committed in its files: the only source of ``/metrics``, ``/api`` and what goes upstream."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import time, time_ns
from typing import Any

from ragwatch import __version__
from ragwatch.agent import about, store
from ragwatch.agent.asked import Search
from ragwatch.agent.counters import Counters
from ragwatch.agent.inbox import InboxReader
from ragwatch.agent.search import Page, find, of_trace
from ragwatch.errors import NoAnswer
from ragwatch.kpi import zeros
from ragwatch.kpi.bounds import LabelBounds
from ragwatch.kpi.state import State

CONSUMERS = {"pipeline": "pipeline.db", "forward": "forward.db"}
STALE_S = 10.0
"""A pipeline that has work and has not committed for this long is not ready."""


class View:
    """Reads the files of an agent's directory; any process may, at any time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def state(self) -> State:
        """Every metric of the agent: KPIs of all apps, and what it says of itself."""
        total = State()
        bounds = LabelBounds(total)
        for part in (self._kpis(), self._inbox_state(), self._forward_state()):
            bounds.add(total, part)
        total.set_gauge("ragwatch.build.info", (__version__, platform.python_version(), self._agent()), 1.0)
        return total

    def shown(self) -> State:
        """``state`` with the series that are known to be 0: what ``/metrics`` and an upstream get."""
        total = self.state()
        zeros.fill(total)
        return total

    def kpis(self) -> State:
        """The KPIs alone, under the label bounds."""
        total = State()
        LabelBounds(total).add(total, self._kpis())
        return total

    def queries(self, wanted: Search) -> Page:
        """One page of the stored queries; ``NoAnswer`` where there is a file and it cannot say."""
        return self._look(lambda connection: find(connection, wanted))

    def query(self, beginning: str) -> Page:
        """The queries of the traces whose id begins so (hex, at least four digits), the oldest first."""
        return self._look(lambda connection: of_trace(connection, beginning))

    def about(self) -> dict[str, Any]:
        """What this agent is: ``agent.about``, and why its upstream takes nothing, if so.

        ``NoAnswer`` where its files do not say.
        """
        problem = self._forwarded("problem")
        return about.read(self._directory) | ({"upstream_problem": problem} if problem else {})

    def readiness(self) -> dict[str, str]:
        """What is wrong, by part; empty when everything works."""
        problems: dict[str, str] = {}
        try:
            reader = InboxReader(self._directory / "inbox.db")
        except sqlite3.Error as error:
            return {"receiver": f"no inbox yet: {error}"}
        try:
            with _Reader(self._directory / "pipeline.db") as connection:
                cursor, _ = store.read_cursor(connection)
                committed = store.read_meta(connection, "committed_at") or 0.0
            waiting, oldest_ns = reader.depth(cursor)
            if waiting and oldest_ns and time() - max(committed, oldest_ns / 1e9) > STALE_S:
                problems["pipeline"] = (
                    f"{waiting} requests wait and nothing was committed for {time() - committed:.0f} s"
                )
        except sqlite3.Error as error:
            problems["pipeline"] = f"has not begun: {error}"
        finally:
            reader.close()
        return problems

    def _look(self, ask: Callable[[sqlite3.Connection], Page]) -> Page:
        path = self._directory / "pipeline.db"
        if not path.exists():
            return Page([], [], None)
        try:
            with _Reader(path) as connection:
                return ask(connection)
        except sqlite3.Error as error:
            raise NoAnswer(f"{path.name} cannot be read: {error}") from None

    def _kpis(self) -> State:
        try:
            with _Reader(self._directory / "pipeline.db") as connection:
                return store.read_state(connection)
        except sqlite3.Error:
            return State()

    def _inbox_state(self) -> State:
        try:
            reader = InboxReader(self._directory / "inbox.db")
        except sqlite3.Error:
            return State()
        try:
            state = reader.counters().state()
            rows, size = reader.size()
            state.set_gauge("ragwatch.agent.inbox.rows", (), rows)
            state.set_gauge("ragwatch.agent.inbox.bytes", (), size)
            last = reader.last_id()
            oldest_ns: int | None = None
            for consumer, name in CONSUMERS.items():
                path = self._directory / name
                if not path.exists():
                    continue
                with _Reader(path) as connection:
                    position, _ = store.read_cursor(connection)
                state.set_gauge("ragwatch.agent.lag", (consumer,), max(0, last - position))
                if consumer == "pipeline":
                    _, oldest_ns = reader.depth(position)
            age_s = max(0.0, (time_ns() - oldest_ns) / 1e9) if oldest_ns else 0.0
            state.set_gauge("ragwatch.agent.inbox.oldest", (), age_s)
        except sqlite3.Error:
            return State()
        finally:
            reader.close()
        return state

    def _agent(self) -> str:
        """Which agent this is; empty where it has no upstream, and its counts can come by one way only."""
        held = self._forwarded("identity")
        return str(held[0]) if isinstance(held, list) else ""

    def _forwarded(self, key: str) -> Any:
        """What the forwarder keeps under a key; None where there is none."""
        path = self._directory / CONSUMERS["forward"]
        if not path.exists():
            return None
        try:
            with _Reader(path) as connection:
                return store.read_meta(connection, key)
        except sqlite3.Error:
            return None

    def _forward_state(self) -> State:
        path = self._directory / "forward.db"
        if not path.exists():
            return State()
        counts = Counters()
        try:
            with _Reader(path) as connection:
                counts.load(connection)
        except sqlite3.Error:
            return State()
        return counts.state()


class _Reader:
    """A read-only connection for the length of a block."""

    def __init__(self, path: Path) -> None:
        self._connection = store.open_reader(path)

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN")
        return self._connection

    def __exit__(self, *_error: object) -> None:
        self._connection.close()
