"""A few spans that wait pin no inbox: they are carried, and survive restarts as if they had stayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.workload import Requests
from ragwatch.agent import store
from ragwatch.agent.asked import Search
from ragwatch.agent.inbox import Inbox
from ragwatch.agent.pipeline import Pipeline
from ragwatch.agent.view import View
from ragwatch.config.agent_values import AgentValues
from ragwatch.conventions.cut import cut_json, cut_protobuf
from ragwatch.conventions.decode import RawSpan, decode_traces
from ragwatch.conventions.decode_json import decode_traces_json
from tests.support.captures import GIVEN, joined, requests_of
from tests.support.wait import wait_until

BOUND = 1 << 20
OWN = Requests(6).make(1000)
FOREIGN = joined(requests_of(GIVEN / "openinference-llama-index.otlp.jsonl"))


def spans_of(body: bytes) -> list[RawSpan]:
    decoded = decode_traces_json(body) if body[:1] == b"{" else decode_traces(body)
    return [span for group in decoded for _, spans in group.scopes for span in spans]


def cut(body: bytes, keep: set[bytes]) -> bytes:
    return (cut_json if body[:1] == b"{" else cut_protobuf)(body, keep)


def key(span: RawSpan) -> bytes:
    return span.trace_id + span.span_id


@pytest.mark.parametrize("body", [OWN, FOREIGN], ids=["protobuf", "json"])
def test_a_cut_request_holds_the_kept_spans_as_they_came(body: bytes) -> None:
    spans = spans_of(body)
    for start in range(3):
        kept = spans[start::3]
        assert spans_of(cut(body, {key(span) for span in kept})) == kept
    assert spans_of(cut(body, set())) == []


def store_low(directory: Path) -> int | None:
    if not (directory / "pipeline.db").exists():
        return None
    connection = store.open_reader(directory / "pipeline.db")
    try:
        return store.read_cursor(connection)[1]
    finally:
        connection.close()


def drain(pipeline: Pipeline) -> None:
    while pipeline.step():
        pass
    pipeline.step()
    pipeline.commit()


@pytest.mark.parametrize("body", [OWN, FOREIGN], ids=["protobuf", "json"])
def test_what_waits_is_carried_over_restarts_while_the_inbox_goes_on(body: bytes, tmp_path: Path) -> None:
    values = AgentValues(
        directory=tmp_path, commit_interval_s=1e-9, linger_s=0.0, foreign_linger_s=0.0, max_inbox_bytes=BOUND
    )
    inbox = Inbox(
        tmp_path / "inbox.db", max_bytes=BOUND, max_pending_bytes=BOUND, low_water=lambda: store_low(tmp_path)
    )
    format_ = int(body[:1] == b"{")
    tops = {key(span) for span in spans_of(body) if not span.parent_id}
    below = {key(span) for span in spans_of(body)} - tops
    inbox.put(0, format_, "grpc", cut(body, below)).result(5)
    pipeline = Pipeline(values)
    others = Requests(300, counted=True)
    for number in range(30):  # twice and a half what the inbox holds
        request = others.make(number)
        wait_until(lambda: inbox.disk_bytes + len(request) < BOUND, 20)
        inbox.put(0, 0, "grpc", request).result(5)
        drain(pipeline)
    low = store_low(tmp_path)
    assert low is not None
    assert low > 15
    assert carried(tmp_path) == [1]
    again = Pipeline(values)
    inbox.put(0, format_, "grpc", cut(body, tops)).result(5)
    drain(again)
    wait_until(lambda: (again.step(), again.commit(), carried(tmp_path) == [])[2], 10)

    (tmp_path / "whole").mkdir()
    at_once = AgentValues(directory=tmp_path / "whole", commit_interval_s=1e-9, linger_s=0.0, foreign_linger_s=0.0)
    whole = Inbox(at_once.directory / "inbox.db", max_bytes=1 << 30, max_pending_bytes=1 << 26)
    whole.put(0, format_, "grpc", body).result(5)
    usual = Pipeline(at_once)
    drain(usual)
    assert queries(tmp_path) == queries(at_once.directory) != []
    for name in ("rag.query.duration", "rag.step.calls"):
        assert counted(tmp_path, name) == counted(at_once.directory, name)
    inbox.close()
    whole.close()


def carried(directory: Path) -> list[int]:
    connection = store.open_reader(directory / "pipeline.db")
    try:
        return [row_id for (row_id,) in connection.execute("SELECT row_id FROM carried")]
    finally:
        connection.close()


def queries(directory: Path) -> list[str]:
    found = [json.loads(text) for text in View(directory).queries(Search(limit=1000)).texts]
    return sorted(json.dumps(query, sort_keys=True) for query in found if not query["counted"])


def counted(directory: Path, name: str) -> float:
    cells = View(directory).kpis().series(name).values()
    return sum(cell if isinstance(cell, float) else cell.count for cell in cells)
