"""Stored queries are found by whatever is asked of them, whole and in order, in files of any age."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.queries import judgement, make
from ragwatch.agent import judgement_rows, query_rows, search, store
from ragwatch.agent.asked import Search
from ragwatch.agent.search import OldFile, TooLong, find, of_trace, page_json
from ragwatch.conventions.evaluation import Judgement
from ragwatch.record import Document, Label, QueryRecord
from tests.support.records import query, step

END_S = 1_700_000_000


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    return store.open_store(tmp_path / "pipeline.db")


def add(connection: sqlite3.Connection, *records: QueryRecord, kept: int = 10_000) -> None:
    connection.execute("BEGIN IMMEDIATE")
    query_rows.add_queries(connection, records, kept)
    connection.execute("COMMIT")


def judge(connection: sqlite3.Connection, about: str, verdict: str = "bad") -> None:
    key = f"{about}{verdict}".encode()
    found = Judgement(key, "bot", "prod", "answer", "feedback", verdict, about, "answer", "", 0.1)
    judgement_rows.add_judgements(connection, [found])


def found(connection: sqlite3.Connection, **asked: Any) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = json.loads(page_json(find(connection, Search(**asked))))["queries"]
    return held


def every_page(connection: sqlite3.Connection, **asked: Any) -> list[str]:
    traces: list[str] = []
    after = None
    while True:
        page = find(connection, Search(after=after, **asked))
        traces += [json.loads(text)["trace_id"] for text in page.texts]
        after = page.next
        if after is None:
            return traces


def served(record: QueryRecord, document: str) -> bool:
    return any(one.id == document for held in record.steps for one in held.documents or ())


ASKED: tuple[tuple[dict[str, Any], Callable[[QueryRecord, set[str]], bool]], ...] = (
    ({}, lambda _r, _bad: True),
    ({"since_s": END_S - 400}, lambda r, _bad: r.end_ns >= (END_S - 400) * 10**9),
    ({"outcome": "error"}, lambda r, _bad: r.outcome == "error"),
    ({"outcome": "ok"}, lambda r, _bad: r.outcome == "ok"),
    ({"error_class": "auth"}, lambda r, _bad: r.error_class == "auth"),
    ({"empty": True}, lambda r, _bad: query_rows.found_nothing(r)),
    ({"step": "retrieve"}, lambda r, _bad: query_rows.blamed(r) == "retrieve"),
    ({"service": "bot-1"}, lambda r, _bad: r.service == "bot-1"),
    ({"slower_than_s": 2.0}, lambda r, _bad: r.duration_s > 2),
    ({"document": "doc-17"}, lambda r, _bad: served(r, "doc-17")),
    ({"bad": True}, lambda r, bad: r.trace_id in bad or (r.label is not None and not r.label.hit)),
    (
        {"bad": True, "document": "doc-0", "since_s": END_S - 5000},
        lambda r, bad: (
            (r.trace_id in bad or r.label is not None) and served(r, "doc-0") and r.end_ns >= (END_S - 5000) * 10**9
        ),
    ),
    (
        {"outcome": "error", "step": "generate", "slower_than_s": 1.0, "service": "bot-2"},
        lambda r, _bad: (
            (r.outcome, query_rows.blamed(r), r.service) == ("error", "generate", "bot-2") and r.duration_s > 1
        ),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[sqlite3.Connection, list[QueryRecord], set[str]]:
    """3,000 queries in batches of every size, some out of order, every tenth judged."""
    chance = random.Random(3)
    connection = store.open_store(tmp_path_factory.mktemp("many") / "pipeline.db")
    ends = [(END_S - 6000 + 2 * n + chance.choice((0, 0, 0, -300))) * 10**9 for n in range(3000)]
    records = [make(chance, end) for end in ends]
    bad: set[str] = set()
    at = 0
    while at < len(records):
        batch = records[at : at + chance.choice((1, 7, 100, 600))]
        add(connection, *batch)
        at += len(batch)
    for number, record in enumerate(records[::10]):
        held = judgement(record, number)
        judgement_rows.add_judgements(connection, [held])
        if held.verdict == "bad":
            bad.add(record.trace_id)
    return connection, records, bad


@pytest.mark.parametrize("few", [search.FEW, 10])
@pytest.mark.parametrize(
    ("asked", "expected"), ASKED, ids=lambda value: "+".join(value) if isinstance(value, dict) else ""
)
def test_every_page_together_is_what_was_asked_for_in_order(
    many: tuple[sqlite3.Connection, list[QueryRecord], set[str]],
    asked: dict[str, Any],
    expected: Callable[[QueryRecord, set[str]], bool],
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "FEW", few)  # the other way through the indexes
    connection, records, bad = many
    numbered = [(number, record) for number, record in enumerate(records) if expected(record, bad)]
    newest = [record.trace_id for _, record in sorted(numbered, key=lambda one: (one[1].end_ns, one[0]), reverse=True)]
    lengths = {number: record.end_ns - record.start_ns for number, record in numbered}
    slowest = [
        record.trace_id for _, record in sorted(numbered, key=lambda one: (lengths[one[0]], one[0]), reverse=True)
    ]
    assert newest, "the case asks for nothing"
    assert every_page(connection, limit=97, **asked) == newest
    assert every_page(connection, limit=97, order="slowest", **asked) == slowest


def test_a_judgement_is_found_with_its_query_whichever_came_first(connection: sqlite3.Connection) -> None:
    before, after, answered = query(), query(), query(steps=(step("generate", response_id="chatcmpl-7"),))
    judge(connection, before.trace_id)
    add(connection, before, after, answered, query())
    judge(connection, after.trace_id)
    judge(connection, "chatcmpl-7")
    judge(connection, after.trace_id, "good")
    held = {one["trace_id"]: one["judgements"] for one in found(connection, bad=True)}
    assert held.keys() == {before.trace_id, after.trace_id, answered.trace_id}
    assert [one["verdict"] for one in held[after.trace_id]] == ["bad", "good"]
    assert held[before.trace_id][0].items() >= {"target": "answer", "source": "feedback", "score": 0.1}.items()


def test_a_label_that_was_missed_is_a_bad_judgement(connection: sqlite3.Connection) -> None:
    missed = query(label=Label("label", 5, False, 0.0, 0.0))
    add(connection, missed, query(label=Label("label", 5, True, 1.0, 1.0)))
    assert [one["trace_id"] for one in found(connection, bad=True)] == [missed.trace_id]


def test_a_trace_is_found_by_the_beginning_of_its_id(connection: sqlite3.Connection) -> None:
    one, other = query(trace_id="abcdef01" + "7" * 24), query(trace_id="abcdef02" + "7" * 24)
    add(connection, one, other)
    for beginning, expected in (("abcdef01", [one]), ("ABCDEF0", [one, other]), (one.trace_id, [one]), ("bcde", [])):
        held = of_trace(connection, beginning).texts
        assert [QueryRecord.from_json(text) for text in held] == expected, beginning


def test_the_oldest_are_forgotten_everywhere(connection: sqlite3.Connection) -> None:
    for at in range(0, 1000, 100):
        documents = (Document(f"doc-{at}", 1),)
        add(connection, *(query(steps=(step(documents=documents),)) for _ in range(100)), kept=250)
    assert len(found(connection, limit=1000)) == 250
    assert found(connection, document="doc-100") == []
    assert len(found(connection, document="doc-800", limit=1000)) == 100
    for table in ("queries", "records"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (250,)
    assert connection.execute("SELECT min(last_id) > 750 FROM lookup").fetchone() == (1,)


def test_a_lowered_bound_takes_effect_over_some_commits(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_rows, "MAX_FORGOTTEN", 100)
    add(connection, *(query() for _ in range(300)))
    sizes = []
    for _ in range(4):
        add(connection, query(), kept=50)
        sizes.append(len(found(connection, limit=1000)))
    assert sizes == [201, 102, 50, 50]


def test_a_file_of_an_earlier_ragwatch_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.db"
    earlier = sqlite3.connect(path)
    earlier.executescript(
        "CREATE TABLE queries (id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT, outcome TEXT, service TEXT,"
        " start_ns INTEGER, record TEXT); CREATE INDEX queries_by_trace ON queries (trace_id);"
        "CREATE TABLE judgements (key BLOB PRIMARY KEY, at REAL) WITHOUT ROWID;"
    )
    records = [query(outcome="error", cause_step="retrieve"), query()]
    for number, record in enumerate(records, 40):
        values = (number, record.trace_id, record.outcome, record.service, record.start_ns, record.to_json())
        earlier.execute("INSERT INTO queries VALUES (?, ?, ?, ?, ?, ?)", values)
    earlier.execute("INSERT INTO judgements VALUES (x'01', 5.0)")
    earlier.commit()
    reader = store.open_reader(path)
    with pytest.raises(OldFile, match="start `ragwatch agent`"):
        find(reader, Search())
    for _ in range(2):
        now = store.open_store(path)
        assert [one["trace_id"] for one in found(now)] == [record.trace_id for record in reversed(records)]
        assert [one["trace_id"] for one in found(now, step="retrieve")] == [records[0].trace_id]
        assert judgement_rows.is_judged(now, b"\x01")
    assert found(now, bad=True) == []
    add(now, query())
    assert len(found(now)) == 3


def test_a_time_that_no_clock_shows_is_stored_all_the_same(connection: sqlite3.Connection) -> None:
    odd = query()._replace(start_ns=1, end_ns=2**64 - 1)
    add(connection, odd, query()._replace(start_ns=2**64 - 1, end_ns=0), query())
    assert found(connection)[0]["trace_id"] == odd.trace_id
    assert found(connection, order="slowest")[0]["end_ns"] == 2**64 - 1


def test_a_file_of_a_later_ragwatch_is_left_alone(tmp_path: Path) -> None:
    connection = store.open_store(tmp_path / "pipeline.db")
    connection.execute("PRAGMA user_version = 99")
    with pytest.raises(sqlite3.DatabaseError, match="later ragwatch"):
        store.open_store(tmp_path / "pipeline.db")
    with pytest.raises(OldFile, match="later ragwatch"):
        find(connection, Search())


def test_a_search_that_takes_too_long_is_broken_off(
    many: tuple[sqlite3.Connection, list[QueryRecord], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MAX_SEARCH_S", -1.0)
    monkeypatch.setattr(search, "CHECK_EVERY", 10)
    with pytest.raises(TooLong, match="since"):
        find(many[0], Search(slower_than_s=0.0001, outcome="ok", step="cache"))
