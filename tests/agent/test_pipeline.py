"""The pipeline in process: what is in the inbox is in the KPIs exactly once, restarts included."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from benchmarks.workload import Requests
from ragwatch.agent import pipeline as process
from ragwatch.agent import store
from ragwatch.agent.asked import Search
from ragwatch.agent.inbox import Inbox
from ragwatch.agent.pipeline import STARTS_BEFORE_SKIPPING, Pipeline
from ragwatch.agent.view import View
from ragwatch.config.agent_values import AgentValues
from ragwatch.conventions.wire_schema import message_class
from ragwatch.kpi.engine import Engine
from ragwatch.kpi.otlp import to_request
from tests.support.records import query
from tests.support.wait import wait_until

BAD = b"\xff\xff\xff"


class Files:
    """An inbox and pipelines over it."""

    def __init__(self, directory: Path) -> None:
        self.values = AgentValues(directory=directory, commit_interval_s=1e-9, linger_s=0.0, queries_kept=50)
        self.inbox = Inbox(directory / "inbox.db", max_bytes=1 << 30, max_pending_bytes=1 << 26)

    def put(self, *bodies: bytes, signal: int = 0) -> None:
        for body in bodies:
            self.inbox.put(signal, 0, "grpc", body).result(5)

    def pipeline(self, **changes: object) -> Pipeline:
        from dataclasses import replace

        return Pipeline(replace(self.values, **changes))  # type: ignore[arg-type]

    def count(self, name: str) -> float:
        cells = View(self.values.directory).kpis().series(name).values()
        return sum(cell if isinstance(cell, float) else cell.count for cell in cells)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def drain(pipeline: Pipeline) -> None:
    """Process everything, lingering queries included."""
    while pipeline.step():
        pass
    pipeline.step()
    pipeline.commit()


def stored(files: Files) -> list[dict[str, Any]]:
    return [json.loads(text) for text in View(files.values.directory).queries(Search(limit=1000)).texts]


def test_foreign_queries_are_counted_and_marked_ones_are_not(files: Files) -> None:
    foreign, marked = Requests(30, service="foreign"), Requests(30, service="marked", counted=True)
    files.put(foreign.make(1), foreign.make(2), marked.make(3))
    drain(files.pipeline())
    assert files.count("rag.query.duration") == 10
    assert files.count("rag.step.calls") == 50
    shown = stored(files)
    assert len(shown) == 15
    assert {query["service"] for query in shown} == {"foreign", "marked"}
    assert all(len(query["steps"]) == 5 for query in shown)


def test_a_query_cut_over_two_requests_is_one_query(files: Files) -> None:
    cut = Requests(8)
    files.put(cut.make(1))
    pipeline = files.pipeline(linger_s=100.0)
    pipeline.step()
    assert files.count("rag.query.duration") == 0
    drain(files.pipeline())
    assert files.count("rag.query.duration") == 1


@pytest.mark.parametrize("stop_after", range(6))
def test_a_restart_at_any_row_counts_each_query_once(files: Files, stop_after: int) -> None:
    requests = Requests(20)
    bodies = [requests.make(number) for number in range(5)]
    first = files.pipeline(linger_s=100.0)
    for body in bodies[:stop_after]:
        files.put(body)
        first.step()
    first.commit()
    files.put(*bodies[stop_after:])
    second = files.pipeline()
    drain(second)
    assert files.count("rag.query.duration") == 15
    assert files.count("ragwatch.agent.received") == 100


def test_what_was_not_committed_is_not_shown_and_not_lost(files: Files) -> None:
    requests = Requests(30)
    first = files.pipeline(commit_interval_s=1000.0)
    files.put(requests.make(1))
    first.step()
    assert files.count("rag.query.duration") == 0
    drain(files.pipeline())
    assert files.count("rag.query.duration") == 5


def test_a_root_that_never_comes_is_incomplete_and_no_success(files: Files) -> None:
    files.put(Requests(3).make(1))
    pipeline = files.pipeline(incomplete_after_s=1e-9)
    drain(pipeline)
    ((key, cell),) = View(files.values.directory).kpis().series("rag.query.duration").items()
    assert (key[2], cell.count) == ("incomplete", 1)
    assert View(files.values.directory).state().series("ragwatch.agent.incomplete") == {("no_root",): 1.0}


def test_a_malformed_row_is_set_aside_and_the_next_is_processed(files: Files) -> None:
    files.put(BAD, Requests(30).make(1))
    drain(files.pipeline())
    assert files.count("rag.query.duration") == 5
    state = View(files.values.directory).state()
    assert state.series("ragwatch.agent.decode_errors") == {("traces",): 1.0}
    connection = store.open_reader(files.values.directory / "pipeline.db")
    ((body,),) = connection.execute("SELECT body FROM dead_letters").fetchall()
    assert body == BAD


def test_a_row_that_kills_the_process_over_and_over_is_set_aside(files: Files) -> None:
    files.put(Requests(30).make(1))
    for _ in range(STARTS_BEFORE_SKIPPING - 1):
        files.pipeline()  # started, and gone before it committed anything
    drain(files.pipeline())
    assert View(files.values.directory).state().series("ragwatch.agent.dead_letters") == {("crash_loop",): 1.0}
    files.put(Requests(30).make(2))
    drain(files.pipeline())
    assert files.count("rag.query.duration") == 5


def test_an_agent_that_was_stopped_or_killed_while_idle_sets_nothing_aside(files: Files) -> None:
    for number in range(STARTS_BEFORE_SKIPPING + 1):
        pipeline = files.pipeline()
        if number % 2:
            pipeline.commit()
    stopped = Requests(30)
    for number in range(STARTS_BEFORE_SKIPPING + 1):
        files.put(stopped.make(number))
        files.pipeline().commit()  # stopped with work before it
    drain(files.pipeline())
    assert files.count("rag.query.duration") == 5 * (STARTS_BEFORE_SKIPPING + 1)
    assert not View(files.values.directory).state().series("ragwatch.agent.dead_letters")


def test_a_disk_that_does_not_take_the_results_costs_nothing(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files.put(Requests(30).make(1))
    opened, refusals, stopping = store.open_store, 2 * STARTS_BEFORE_SKIPPING, threading.Event()

    def small(path: Path) -> sqlite3.Connection:
        nonlocal refusals
        connection = opened(path)
        if refusals:
            refusals -= 1
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    monkeypatch.setattr(store, "open_store", small)
    monkeypatch.setattr(process, "MAX_PAUSE_S", 0.01)
    worker = threading.Thread(target=process.run, args=(files.values, stopping))
    worker.start()
    try:
        wait_until(lambda: files.count("rag.query.duration") == 5, 20)
    finally:
        stopping.set()
        worker.join()
    assert not refusals
    assert not View(files.values.directory).state().series("ragwatch.agent.dead_letters")
    assert "nothing is lost" in capsys.readouterr().err


def test_an_apps_own_kpis_are_the_newest_point_of_each_process(files: Files) -> None:
    resource = {"service.name": "app", "service.instance.id": "one"}
    engine = Engine()
    for number in range(3):
        engine.observe(query(service="app"))
        files.put(to_request(engine.state, Resource(resource), start_ns=5, now_ns=10 + number), signal=1)
    files.put(
        to_request(engine.state, Resource(resource | {"service.instance.id": "two"}), start_ns=5, now_ns=9), signal=1
    )
    drain(files.pipeline())
    assert files.count("rag.query.duration") == 6


def test_the_bound_on_waiting_spans_holds(files: Files) -> None:
    files.put(*(Requests(2).make(number) for number in range(20)))
    pipeline = files.pipeline(max_pending_spans=10, linger_s=1000.0)
    drain(pipeline)
    reasons = View(files.values.directory).state().series("ragwatch.agent.incomplete")
    assert reasons[("too_many_spans",)] >= 14


def test_only_the_last_queries_are_kept(files: Files) -> None:
    files.put(*(Requests(60).make(number) for number in range(10)))
    drain(files.pipeline())
    assert len(stored(files)) == 50


def test_where_more_come_than_are_kept_they_are_not_written_at_each_commit(files: Files) -> None:
    requests = Requests(60)
    pipeline = files.pipeline(queries_kept=5, commit_interval_s=1000)
    seen = []
    for number in range(2):
        files.put(requests.make(number))
        drain(pipeline)
        seen.append({query["trace_id"] for query in stored(files)})
    assert (len(seen[0]), seen[1]) == (5, seen[0]), "written at the first commit only"
    assert files.count("rag.query.duration") == 20, "counted at each"
    pipeline.commit(last=True)
    shown = {query["trace_id"] for query in stored(files)}
    assert len(shown) == 5
    assert not shown & seen[0]


def test_the_inbox_keeps_rows_that_hold_waiting_steps(files: Files) -> None:
    files.put(Requests(3).make(1), Requests(30).make(2))
    pipeline = files.pipeline(linger_s=0.0)
    while pipeline.step():
        pass
    wait_until(lambda: (pipeline.step(), files.count("rag.query.duration") == 5)[1], 5)
    connection = store.open_reader(files.values.directory / "pipeline.db")
    position, keep_from = store.read_cursor(connection)
    assert (position, keep_from) == (2, 1)


def test_a_marked_query_is_shown_like_one_that_the_agent_counts(files: Files) -> None:
    files.put(Requests(6, service="one").make(1), Requests(6, counted=True, service="two").make(2))
    drain(files.pipeline())
    one, two = sorted(stored(files), key=lambda query: str(query["service"]))
    same = [key for key in one if key not in {"trace_id", "span_id", "service", "counted", "steps"}]
    assert {key: one[key] for key in same} == {key: two[key] for key in same}
    own = ("trace_id", "span_id", "parent_id")
    assert [{key: step[key] for key in step if key not in own} for step in one["steps"]] == [
        {key: step[key] for key in step if key not in own} for step in two["steps"]
    ]
    assert files.count("rag.query.duration") == 1


def test_what_cannot_be_read_of_a_marked_step_is_left_out_and_counted(files: Files) -> None:
    request = message_class("Request").FromString(Requests(6, counted=True).make(1))
    spans = request.resource_spans[0].scope_spans[0].spans
    spans[2].attributes.append(b"\x0a\xff")  # no attribute
    files.put(request.SerializeToString())
    drain(files.pipeline())
    drain(files.pipeline())
    (query,) = stored(files)
    assert [step["step"] for step in query["steps"]] == ["cache", "embed", "retrieve", "rerank", "generate"]
    assert all(step["model"] == "gpt-4o-mini" for step in query["steps"])
    assert View(files.values.directory).state().series("ragwatch.agent.unreadable") == {("?",): 1.0}


def test_a_torn_span_of_a_marked_query_is_set_aside_and_ends_nothing(files: Files) -> None:
    request = message_class("UnreadRequest").FromString(Requests(6, counted=True).make(1))
    spans = request.resource_spans[0].scope_spans[0].spans
    for at in range(len(spans)):
        spans[at] += b"\x2a\x7f"  # a name that is longer than what is there
    files.put(request.SerializeToString(), Requests(6, service="good", counted=True).make(2))
    drain(files.pipeline())
    drain(files.pipeline())
    assert [query["service"] for query in stored(files)] == ["good"]
    assert View(files.values.directory).state().series("ragwatch.agent.dead_letters") == {("decode",): 1.0}
