"""Streams of apps' own KPIs against a naive model: whatever comes, in whatever order, the sum is right."""

from __future__ import annotations

import sqlite3

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ragwatch.agent import streams as module
from ragwatch.agent.store import read_state
from ragwatch.agent.streams import SCHEMA, Streams
from ragwatch.kpi.state import State, Stream

NAMES = st.sampled_from(["a", "b", "c"])
KEY = ("svc", "prod", "with_context")
IDLE_S = 100.0


class StreamsMachine(RuleBasedStateMachine):
    """Processes report, fall silent, come back and start anew; the pipeline commits and restarts."""

    @initialize()
    def begin(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.executescript(SCHEMA + "CREATE TABLE meta (key TEXT, value BLOB);")
        self.streams = Streams()
        self.now = 1000.0
        self.newest: dict[Stream, tuple[int, float]] = {}
        self.saved: dict[Stream, tuple[int, float]] = {}
        self.generation: dict[str, int] = {}
        self.seen: dict[Stream, float] = {}

    @rule(name=NAMES, amount=st.integers(1, 50), older=st.booleans())
    def report(self, name: str, amount: int, older: bool) -> None:
        stream = Stream(name, self.generation.get(name, 0), "svc")
        at, total = self.newest.get(stream, (0, 0.0))
        if older and at:
            self._take(stream, at - 1, 1.0)
            return
        self.newest[stream] = (at + 2, total + amount)
        self.seen[stream] = self.now
        self._take(stream, at + 2, total + amount)

    @rule(name=NAMES)
    def restart_app(self, name: str) -> None:
        self.generation[name] = self.generation.get(name, 0) + 1

    @rule(seconds=st.sampled_from([1.0, 60.0, 150.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def commit(self) -> None:
        self.streams.retire(self.now, IDLE_S)
        self.connection.execute("BEGIN")
        self.streams.save(self.connection)
        self.connection.execute("COMMIT")
        self.saved = dict(self.newest)

    @rule()
    def crash(self) -> None:
        self.newest = dict(self.saved)
        self.streams = Streams()
        self.streams.load(self.connection)

    @invariant()
    def what_is_committed_adds_up(self) -> None:
        if not hasattr(self, "connection"):
            return
        shown = read_state(self.connection).series("rag.answers").get(KEY, 0.0)
        assert shown == sum(total for _, total in self.saved.values())

    def _take(self, stream: Stream, at: int, total: float) -> None:
        state = State()
        state.increment("rag.answers", KEY, total)
        state.set_gauge("rag.breaker.state", ("svc", "prod", "db", "open"), 1)
        self.streams.take(stream, state, at, self.now, self.connection)


StreamsMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestStreams = StreamsMachine.TestCase


def one(total: float) -> State:
    state = State()
    state.increment("rag.answers", KEY, total)
    state.set_gauge("rag.breaker.state", ("svc", "prod", "db", "open"), 1)
    return state


def committed(streams: Streams, connection: sqlite3.Connection) -> State:
    streams.save(connection)
    return read_state(connection)


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA + "CREATE TABLE meta (key TEXT, value BLOB);")
    return connection


def test_the_gauges_of_a_process_that_ended_are_gone_and_its_counters_stay() -> None:
    connection, streams = connect(), Streams()
    streams.take(Stream("a", 1, "svc"), one(5), 10, 0.0, connection)
    assert committed(streams, connection).series("rag.breaker.state")
    streams.retire(1000.0, IDLE_S)
    state = committed(streams, connection)
    assert not state.series("rag.breaker.state")
    assert state.series("rag.answers") == {KEY: 5.0}


def test_a_process_that_misses_three_reports_loses_its_gauges_until_it_speaks_again() -> None:
    connection, streams = connect(), Streams()
    stream = Stream("a", 1, "svc")
    said = one(5)
    said.set_gauge("ragwatch.sdk.export.interval", ("svc", "prod"), 10.0)
    streams.take(stream, said, 10, 20.0, connection)
    streams.retire(20.0 + 30.0, 900.0)
    assert committed(streams, connection).series("rag.breaker.state")
    streams.retire(20.0 + 31.0, 900.0)
    assert streams.changed
    state = committed(streams, connection)
    assert not state.series("rag.breaker.state")
    assert state.series("rag.answers") == {KEY: 5.0}
    streams.retire(20.0 + 40.0, 900.0)
    assert not streams.changed
    streams.take(stream, one(6), 20, 90.0, connection)
    state = committed(streams, connection)
    assert state.series("rag.breaker.state")
    assert state.series("rag.answers") == {KEY: 6.0}


def test_more_processes_than_the_bound_retire_those_silent_longest() -> None:
    connection, streams = connect(), Streams()
    for number in range(module.MAX_LIVE + 10):
        streams.take(Stream(f"i{number}", 1, "svc"), one(1), 10, float(number), connection)
    streams.retire(300.0, 10_000.0)
    state = committed(streams, connection)
    assert state.series("rag.answers") == {KEY: module.MAX_LIVE + 10.0}
    (live,) = connection.execute("SELECT count(*) FROM streams WHERE NOT retired").fetchone()
    assert live == module.MAX_LIVE
