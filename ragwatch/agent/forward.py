"""The forwarding process: everything in the inbox, in order, to one upstream, with a cursor of its own.

Serialised requests of one signal are joined by concatenation, which protobuf reads as one message. What the upstream
refuses for good is halved until the bad request stands alone, and that one is set aside. ragwatch's own metrics of apps
are left out: the upstream gets the sums that ``/metrics`` shows instead, as OTLP metrics, so nothing arrives twice.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import threading
import uuid
from itertools import groupby
from time import monotonic, time_ns

from google.protobuf.message import DecodeError as ProtobufError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.resources import Resource

from ragwatch import __version__, semconv
from ragwatch.agent import store
from ragwatch.agent.counters import Counters
from ragwatch.agent.inbox import JSON, SIGNALS, InboxReader, Row, inbox_exists
from ragwatch.agent.process import die_with_parent, say, stop_event
from ragwatch.agent.upstream import Answer, Upstream, upstream
from ragwatch.agent.view import View
from ragwatch.config.agent_values import AgentValues, from_environment
from ragwatch.conventions.decode import DecodeError
from ragwatch.conventions.decode_json import json_to_protobuf
from ragwatch.kpi.otlp import to_request

MAX_JOINED_BYTES = 2 << 20
IDLE_S = 0.1
FIRST_DELAY_S, MAX_DELAY_S = 0.5, 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS counters (metric TEXT, labels TEXT, value REAL, PRIMARY KEY (metric, labels)) WITHOUT ROWID;
"""
Piece = tuple[Row, bytes]


class Forward:
    """Sends rows upstream in order; retries for ever what may be tried again."""

    def __init__(self, settings: AgentValues, target: Upstream, stopping: threading.Event) -> None:
        self._settings = settings
        self._target = target
        self._stopping = stopping
        self._reader = InboxReader(settings.directory / "inbox.db")
        self._store = store.open_store(settings.directory / "forward.db")
        self._store.executescript(_SCHEMA)
        self._counts = Counters()
        self._counts.load(self._store)
        self._cursor, _ = store.read_cursor(self._store)
        self._failures = 0
        self._down = False
        self._problem = ""
        """Why the upstream did not take what it was sent last."""
        self._metrics_due = 0.0
        self._view = View(settings.directory)
        self._resource, self._start_ns = self._identity()

    def run(self) -> None:
        """Forward until told to stop."""
        while not self._stopping.is_set():
            if not self.step():
                self._stopping.wait(IDLE_S)
        self._store.close()
        self._reader.close()

    def step(self) -> bool:
        """Send one batch of rows, and the KPIs when they are due; whether there were rows."""
        rows = self._reader.after(self._cursor, max_bytes=MAX_JOINED_BYTES, max_rows=500)
        for signal, group in groupby(rows, key=lambda row: row.signal):
            run = list(group)
            if not self._deliver(SIGNALS[signal], [(row, body) for row in run if (body := self._body(row))]):
                return True
            self._advance(run[-1].id)
        if monotonic() >= self._metrics_due:
            self._send_kpis()
        return bool(rows)

    def _body(self, row: Row) -> bytes | None:
        """A row as protobuf, without ragwatch's own metrics; None where nothing is left or it cannot be read."""
        signal = SIGNALS[row.signal]
        try:
            body = json_to_protobuf(signal, row.body) if row.format == JSON else row.body  # type: ignore[arg-type]
            return without_own_metrics(body) if signal == "metrics" else body
        except (DecodeError, ProtobufError, ValueError) as error:
            self._set_aside(row, f"decode: {error}"[:200])
            return None

    def _deliver(self, signal: str, pieces: list[Piece]) -> bool:
        """Send these rows; False when told to stop before it succeeded."""
        if not pieces:
            return True
        answer = self._until_settled(signal, b"".join(body for _, body in pieces))
        if answer is None:
            return False
        if answer.delivered:
            self._counts.add("ragwatch.agent.forwarded", (self._target.name, "delivered"), len(pieces))
            return True
        if len(pieces) == 1:
            self._set_aside(pieces[0][0], "refused")
            self._counts.add("ragwatch.agent.forwarded", (self._target.name, "refused"))
            say("forward", f"{answer.problem}: a request is refused for good and set aside")
            return True
        half = len(pieces) // 2
        return self._deliver(signal, pieces[:half]) and self._deliver(signal, pieces[half:])

    def _until_settled(self, signal: str, body: bytes) -> Answer | None:
        """The answer once it is final; None when told to stop."""
        while not self._stopping.is_set():
            answer = self._target.send(signal, body)
            self._problem = answer.problem
            if answer.delivered or not answer.again:
                if self._down:
                    say("forward", f"{self._target.name} takes requests again")
                self._failures, self._down = 0, False
                return answer
            self._failures += 1
            self._counts.add("ragwatch.agent.forwarded", (self._target.name, "retried"))
            if not self._down:
                say("forward", f"{answer.problem}; everything is kept and tried again")
                self._down = True
            self._save_counts()
            limit = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(self._failures, 10))
            self._stopping.wait(max(answer.after_s or 0.0, random.uniform(0.05, limit)))  # noqa: S311
        return None

    def _advance(self, cursor: int) -> None:
        self._cursor = cursor
        connection = self._store
        connection.execute("BEGIN IMMEDIATE")
        store.write_cursor(connection, cursor, cursor + 1)
        store.write_meta(connection, "problem", self._problem)
        saved = self._counts.save(connection)
        connection.execute("COMMIT")
        self._counts.saved(saved)

    def _save_counts(self) -> None:
        self._advance(self._cursor)

    def _set_aside(self, row: Row, reason: str) -> None:
        self._counts.add("ragwatch.agent.dead_letters", (f"forward_{reason.split(':', 1)[0]}",))
        store.add_dead_letter(self._store, row.id, row.signal, reason, row.body)

    def _send_kpis(self) -> None:
        """The agent's KPIs as OTLP metrics; the next round brings newer ones, so one try is enough."""
        self._metrics_due = monotonic() + self._settings.metrics_interval_s
        state = self._view.shown()
        body = to_request(state, self._resource, start_ns=self._start_ns, now_ns=time_ns())
        answer = self._target.send("metrics", body)
        self._counts.add("ragwatch.agent.forwarded", (self._target.name, "kpis" if answer.delivered else "kpis_failed"))
        self._save_counts()

    def _identity(self) -> tuple[Resource, int]:
        """The agent's own resource and when it began to count: its counters outlive restarts, so these do too."""
        held = store.read_meta(self._store, "identity")
        if held is None:
            held = [str(uuid.uuid4()), time_ns()]
            store.write_meta(self._store, "identity", held)
        attributes = {
            semconv.SERVICE_NAME: "ragwatch-agent",
            semconv.SERVICE_VERSION: __version__,
            semconv.SERVICE_INSTANCE_ID: held[0],
        }
        return Resource(attributes), int(held[1])


def without_own_metrics(body: bytes) -> bytes | None:
    """A metrics request less ragwatch's own scope; None where nothing is left."""
    if semconv.SCOPE_NAME.encode() not in body:
        return body
    request = ExportMetricsServiceRequest.FromString(body)
    for resource in request.resource_metrics:
        kept = [scope for scope in resource.scope_metrics if scope.scope.name != semconv.SCOPE_NAME]
        if len(kept) != len(resource.scope_metrics):
            del resource.scope_metrics[:]
            resource.scope_metrics.extend(kept)
    whole = [resource for resource in request.resource_metrics if resource.scope_metrics]
    if not whole:
        return None
    del request.resource_metrics[:]
    request.resource_metrics.extend(whole)
    return request.SerializeToString()


def main() -> int:
    """Run the forwarding process until SIGTERM."""
    settings, _ = from_environment()
    stopping = stop_event()
    die_with_parent()
    while not inbox_exists(settings.directory / "inbox.db"):
        if stopping.wait(0.05):
            return 0
    try:
        Forward(settings, upstream(settings), stopping).run()
    except sqlite3.Error as error:
        say("forward", f"{settings.directory}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
