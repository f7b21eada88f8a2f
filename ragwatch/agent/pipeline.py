"""The pipeline process: inbox → spans → queries → KPIs, exactly once.

Cursor, KPI state, streams, queries and the ids of steps that wait are committed in one transaction. A restart reads
again the rows that hold waiting steps, keeps those alone, and goes on behind the cursor.
"""

from __future__ import annotations

import gc
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic, time
from typing import Any

from google.protobuf.message import DecodeError as ProtobufError

from ragwatch import semconv
from ragwatch.agent import judgement_rows, query_rows, store
from ragwatch.agent.carried import MAX_SHARE, Carried
from ragwatch.agent.inbox import JSON, SIGNALS, TRANSPORTS, InboxReader, Row, inbox_exists
from ragwatch.agent.process import die_with_parent, say, stop_event
from ragwatch.agent.search import cache_of
from ragwatch.agent.streams import Streams
from ragwatch.assembly.assembler import Assembler, Events, Origin
from ragwatch.config.agent_values import AgentValues, from_environment
from ragwatch.config.prices import Prices, read_prices
from ragwatch.conventions.decode import DecodeError, ResourceSteps, decode_steps
from ragwatch.conventions.decode_json import decode_traces_json, json_to_protobuf
from ragwatch.conventions.evaluation import Judgement, judgements
from ragwatch.conventions.own_late import part_of
from ragwatch.conventions.own_wire import OwnTrace
from ragwatch.kpi.engine import Engine
from ragwatch.kpi.otlp_in import data_points, from_request, log_records
from ragwatch.record import QueryRecord, Step

BATCH_BYTES = 1 << 18
"""Small, so that what is whole is handed on between two batches, and does not pile up."""
BATCH_ROWS = 500
IDLE_S = 0.02
RARELY = 4
"""How many commits apart the last queries are written where all that are kept are new ones at each."""
RETIRE_INTERVAL_S = 1.0
KEY_BYTES = 24
"""Of a span that waits: its trace's id and its own."""
MAX_PAUSE_S = 5.0
"""Between tries while the disk does not take what was processed."""
STARTS_BEFORE_CARE = 3
STARTS_BEFORE_SKIPPING = 6
TRACES, METRICS = SIGNALS.index("traces"), SIGNALS.index("metrics")


class Pipeline:
    """Processes rows in order and commits what came of them."""

    def __init__(self, settings: AgentValues, *, counts_start: bool = True) -> None:
        self._settings = settings
        self._reader = InboxReader(settings.directory / "inbox.db")
        self._store = store.open_store(settings.directory / "pipeline.db")
        self._engine = Engine()
        self._carried = Carried(self._store)
        self._streams = Streams()
        self._origins: dict[int, tuple[dict[str, Any], Origin]] = {}
        self._queries: deque[tuple[str, Callable[[], QueryRecord]]] = deque(maxlen=settings.queries_kept or 1)
        """(trace id, what makes the record) that are not written yet."""
        self._dead: list[tuple[Row, str]] = []
        self._judged: dict[bytes, Judgement] = {}
        """Judgements that were counted since the last commit, by their keys."""
        self._assembler = Assembler(
            Events(self._query, self._loose, self._count, self._counted_query),
            linger_s=settings.linger_s,
            incomplete_after_s=settings.incomplete_after_s,
            max_spans=settings.max_pending_spans,
            max_bytes=settings.max_waiting_bytes,
            foreign_linger_s=settings.foreign_linger_s,
        )
        self._prices = prices_of(settings)
        self._cursor = 0
        self._starts = 1
        self._dirty = False
        self._committed_at = self._retired_at = monotonic()
        self._written_at = -inf
        """When queries were written."""
        self._resume()
        self._starts = self._count_starts() if counts_start else 1

    def run(self, stopping: threading.Event) -> None:
        """Process until told to stop."""
        while not stopping.is_set():
            busy = self.step()
            if not busy:
                stopping.wait(IDLE_S)
        self.commit(last=True)
        self._store.close()
        self._reader.close()

    def step(self) -> bool:
        """Process one batch, and commit when it is time; whether there was anything to do."""
        rows = self._reader.after(self._cursor, max_bytes=BATCH_BYTES, max_rows=BATCH_ROWS)
        for row in rows:
            if self._starts >= STARTS_BEFORE_CARE:
                self._carefully(row)
                continue
            self._guarded(row)
            self._cursor = row.id
            self._dirty = True
        now = monotonic()
        self._assembler.release(now)
        if not rows and now - self._retired_at >= RETIRE_INTERVAL_S:  # where nobody sends, who has ended is seen too
            self._retired_at = now
            self._streams.retire(time(), self._settings.stream_idle_s)
        if self._dirty or self._queries or self._streams.changed:
            waited = monotonic() - self._committed_at
            if waited >= self._settings.commit_interval_s:
                self.commit()
        return bool(rows)

    def commit(self, *, last: bool = False) -> None:
        """Make everything that was processed visible, in one transaction."""
        started = monotonic()
        self._streams.retire(time(), self._settings.stream_idle_s)
        rows, pending = self._assembler.pending()
        connection = self._store
        connection.execute("BEGIN IMMEDIATE")
        if self._reader.used_bytes() > MAX_SHARE * self._settings.max_inbox_bytes:
            self._carried.take(rows, _keys(pending), self._cursor, self._reader)
        self._carried.drop(rows)
        lowest = self._carried.lowest(rows)
        store.write_cursor(connection, self._cursor, self._cursor + 1 if lowest is None else lowest)
        store.write_meta(connection, "engine", self._engine.snapshot())
        store.write_meta(connection, "pending", pending)
        store.write_meta(connection, "committed_at", time())
        store.write_meta(connection, "starts", None)
        if self._judged:
            judgement_rows.add_judgements(connection, self._judged.values())
        if self._queries and (last or self._are_queries_due(started)):
            query_rows.add_queries(connection, (make() for _, make in self._queries), self._settings.queries_kept)
            self._queries.clear()
            self._written_at = started
        for row, reason in self._dead:
            store.add_dead_letter(connection, row.id, row.signal, reason, row.body)
        self._streams.save(connection)
        connection.execute("COMMIT")
        self._judged.clear()
        self._dead.clear()
        self._dirty = False
        self._committed_at = monotonic()
        self._engine.record("ragwatch.agent.commit.duration", {"store": "pipeline"}, self._committed_at - started)

    def _are_queries_due(self, now: float) -> bool:
        """Not at each commit where more come than are kept: to write those was an eighth of what the process did."""
        waited = now - self._written_at
        return len(self._queries) < self._settings.queries_kept or waited >= RARELY * self._settings.commit_interval_s

    def _resume(self) -> None:
        """Go on where the last commit ended; steps that waited then are read again from the inbox."""
        snapshot = store.read_meta(self._store, "engine")
        if snapshot is not None:
            self._engine.restore(snapshot)
        self._streams.load(self._store)
        self._cursor, keep_from = store.read_cursor(self._store)
        pending = store.read_meta(self._store, "pending") or b""
        waiting = _keys(pending)
        for row in self._carried.rows():
            self._traces(row, only=waiting)
        at = keep_from - 1
        while waiting and at < self._cursor:
            rows = self._reader.after(at, max_bytes=BATCH_BYTES, max_rows=BATCH_ROWS, until=self._cursor)
            if not rows:
                break
            for row in rows:
                if row.signal == TRACES:
                    self._traces(row, only=waiting)
                at = row.id

    def _count_starts(self) -> int:
        """How often the process has begun with work before it and died of it; a row that kills is found by this.

        Every commit begins the count anew, so that neither a stop nor an idle agent's restart looks like a death.
        """
        if self._reader.last_id() <= self._cursor:
            return 1
        held = store.read_meta(self._store, "starts")
        starts = held[1] + 1 if isinstance(held, list) and held[0] == self._cursor else 1
        store.write_meta(self._store, "starts", [self._cursor, starts])
        return starts

    def _carefully(self, row: Row) -> None:
        """Process a row after starts that came to nothing: a commit for each, and the one that kills is set aside."""
        if self._starts >= STARTS_BEFORE_SKIPPING:
            say("pipeline", f"row {row.id} has ended this process {self._starts - 1} times; it is set aside")
            self._set_aside(row, "crash_loop")
        else:
            self._guarded(row)
        self._cursor = row.id
        self.commit()
        self._starts = 1

    def _guarded(self, row: Row) -> None:
        try:
            if row.signal == TRACES:
                self._traces(row)
            elif row.signal == METRICS:
                self._metrics(row)
            else:
                self._logs(row)
        except (DecodeError, ProtobufError, ValueError, RecursionError) as error:
            self._count("ragwatch.agent.decode_errors", SIGNALS[row.signal])
            self._set_aside(row, f"decode: {error}"[:200])

    def _traces(self, row: Row, only: set[bytes] | None = None) -> None:
        if row.format == JSON:
            decoded = [ResourceSteps(group.resource, [], group.scopes) for group in decode_traces_json(row.body)]
        else:
            decoded = decode_steps(row.body)
        now = monotonic()
        add = self._assembler.add
        count = sum(len(trace.span_ids) for group in decoded for trace in group.own)
        count += sum(len(spans) for group in decoded for _, spans in group.scopes)
        size = len(row.body) / count if count else 0.0
        if only is None:
            self._received(row, count)
        for resource, traces, scopes in decoded:
            origin = self._origin(resource)
            for trace in traces:
                if only is not None:
                    trace = _waiting(trace, only)  # noqa: PLW2901
                self._assembler.add_own(trace, origin, row.id, now, size)
            for scope, spans in scopes:
                for raw in spans:
                    if only is None or raw.trace_id + raw.span_id in only:
                        add(raw, origin, row.id, now, scope.name, size)

    def _metrics(self, row: Row) -> None:
        body = json_to_protobuf("metrics", row.body) if row.format == JSON else row.body
        self._received(row, data_points(body))
        for stream, state, at_ns in from_request(body):
            if stream.instance:
                self._streams.take(stream, state, at_ns, time(), self._store)

    def _logs(self, row: Row) -> None:
        body = json_to_protobuf("logs", row.body) if row.format == JSON else row.body
        self._received(row, log_records(body))
        for found in judgements(body):
            if found.key in self._judged or judgement_rows.is_judged(self._store, found.key):
                self._count("ragwatch.agent.duplicates", "judgement")
                continue
            self._judged[found.key] = found
            labels = {"service": found.service, "environment": found.environment, "target": found.target}
            labels |= {"source": found.source, "verdict": found.verdict, "cache": self._cache_of(found.about)}
            self._engine.count("rag.judgements", labels)

    def _cache_of(self, trace_id: str) -> str:
        """What the cache had said to a query that is judged; empty where the query is not kept (any more)."""
        fresh = next((make().cache for held, make in self._queries if held == trace_id), None)
        return fresh or cache_of(self._store, trace_id)

    def _received(self, row: Row, items: int) -> None:
        self._engine.state.increment("ragwatch.agent.received", (SIGNALS[row.signal], TRANSPORTS[row.transport]), items)

    def _origin(self, resource: dict[str, Any]) -> Origin:
        held = self._origins.get(id(resource))
        if held is not None and held[0] is resource:
            return held[1]
        environment = resource.get(semconv.DEPLOYMENT_ENVIRONMENT) or resource.get(semconv.DEPLOYMENT_ENVIRONMENT_OLD)
        instance, version = resource.get(semconv.SERVICE_INSTANCE_ID), resource.get(semconv.SERVICE_VERSION)
        origin = Origin(
            str(resource.get(semconv.SERVICE_NAME) or "unknown_service"),
            str(environment or ""),
            str(instance) if instance else None,
            str(version) if version else None,
        )
        if len(self._origins) > 1000:
            self._origins.clear()
        self._origins[id(resource)] = (resource, origin)
        return origin

    def _query(self, record: QueryRecord) -> None:
        self._dirty = True
        record = self._priced(record)
        if not record.counted:
            self._engine.observe(record)
        if self._settings.queries_kept:
            self._queries.append((record.trace_id, lambda: record))

    def _counted_query(self, trace_id: str, make: Callable[[], QueryRecord]) -> None:
        """Of those that are not written yet only the last are kept; the others' records are never made."""
        self._dirty = True
        if self._settings.queries_kept:
            self._queries.append((trace_id, lambda: self._priced(make())))

    def _priced(self, record: QueryRecord) -> QueryRecord:
        return record if self._prices is None else self._prices.priced_query(record)

    def _loose(self, step: Step, origin: Origin) -> None:
        self._dirty = True  # it may have waited since its row was committed
        if self._prices is not None:
            step = self._prices.priced(step)
        self._engine.observe_step(step, origin.service, origin.environment)

    def _count(self, metric: str, reason: str) -> None:
        self._dirty = True
        self._engine.state.increment(metric, (reason,))

    def _set_aside(self, row: Row, reason: str) -> None:
        self._count("ragwatch.agent.dead_letters", reason.split(":", 1)[0])
        self._dead.append((row, reason))


def _keys(pending: bytes) -> set[bytes]:
    """The ids of the spans that wait, each by itself."""
    return {pending[at : at + KEY_BYTES] for at in range(0, len(pending), KEY_BYTES)}


def _waiting(trace: OwnTrace, keys: set[bytes]) -> OwnTrace:
    """The part of a trace whose ids (trace and span, 24 bytes) are among ``keys``."""
    return part_of(trace, lambda span_id: trace.trace_id + span_id in keys)


def prices_of(settings: AgentValues) -> Prices | None:
    """The user's price table; one that was spoilt since the agent started costs the costs, and nothing else."""
    if settings.prices is None:
        return None
    try:
        return read_prices(settings.prices)
    except ValueError as error:
        say("pipeline", f"prices: {error}; costs that nobody gives are unknown")
        return None


def main() -> int:
    """Run the pipeline process until SIGTERM."""
    settings, _ = from_environment()
    stopping = stop_event()
    die_with_parent()
    # steps that wait are many and hold no cycles: looking for some cost 3 of 17 µs a span
    gc.set_threshold(100_000, 50, 100)
    gc.freeze()
    inbox = settings.directory / "inbox.db"
    while not inbox_exists(inbox):
        if stopping.wait(0.05):
            return 0
    return run(settings, stopping)


def run(settings: AgentValues, stopping: threading.Event) -> int:
    """Process until told to stop. What the disk refuses is begun again at the last commit, and is no row's fault."""
    failures = 0
    while True:
        started = monotonic()
        try:
            Pipeline(settings, counts_start=not failures).run(stopping)
        except sqlite3.Error as error:
            failures = failures + 1 if monotonic() - started < 2 * MAX_PAUSE_S else 1
            if failures == 1:
                say("pipeline", f"{settings.directory}: {error}; nothing is lost, it is tried again")
            if stopping.wait(min(MAX_PAUSE_S, 0.1 * 2 ** min(failures, 10))):
                return 1
        else:
            return 0


if __name__ == "__main__":
    sys.exit(main())
