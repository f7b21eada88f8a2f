"""The inbox: an ack means on disk; full means later; nothing is counted twice."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ragwatch.agent.inbox import Inbox, InboxReader
from ragwatch.errors import InboxFull
from tests.support.wait import wait_until

MIB = 1 << 20


def open_inbox(path: Path, **options: object) -> Inbox:
    values = {"max_bytes": 64 * MIB, "max_pending_bytes": 8 * MIB, **options}
    return Inbox(path / "inbox.db", **values)  # type: ignore[arg-type]


def test_an_acked_request_is_on_disk(tmp_path: Path) -> None:
    inbox = open_inbox(tmp_path)
    inbox.put(0, 0, "grpc", b"body").result(5)
    reader = InboxReader(tmp_path / "inbox.db")
    (row,) = reader.after(0, max_bytes=1, max_rows=10)
    assert (row.signal, row.format, row.transport, row.body) == (0, 0, 0, b"body")
    inbox.close()


def test_many_writers_all_get_in_once_and_in_order(tmp_path: Path) -> None:
    inbox = open_inbox(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: inbox.put(2, 0, "grpc", b"%d" % number).result(10), range(500)))
    reader = InboxReader(tmp_path / "inbox.db")
    rows = reader.after(0, max_bytes=MIB, max_rows=1000)
    assert sorted(int(row.body) for row in rows) == list(range(500))
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    inbox.close()


def test_full_is_a_retryable_refusal_and_room_comes_back(tmp_path: Path) -> None:
    low: list[int | None] = [None]
    inbox = open_inbox(tmp_path, max_bytes=2 * MIB, low_water=lambda: low[0])

    def fill() -> None:
        for number in range(100):
            inbox.put(2, 0, "http", bytes([number]) * 100_000).result(5)

    with pytest.raises(InboxFull, match="inbox_full"):
        fill()
    low[0] = 1000

    def fits() -> bool:
        try:
            inbox.put(2, 0, "http", b"again").result(5)
        except InboxFull:
            return False
        return True

    wait_until(fits, 5)
    inbox.close()
    counts = InboxReader(tmp_path / "inbox.db").counters().state()
    assert counts.series("ragwatch.agent.refused")[("http", "inbox_full")] >= 1


def test_a_disk_that_is_full_is_a_retryable_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, connections = Inbox._open, []

    def limited(inbox: Inbox) -> sqlite3.Connection:
        connection = opened(inbox)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 1}")  # SQLite's own "database or disk is full"
        connections.append(connection)
        return connection

    monkeypatch.setattr(Inbox, "_open", limited)
    inbox = open_inbox(tmp_path)
    with pytest.raises(InboxFull, match="full") as refused:
        inbox.put(0, 0, "grpc", b"x" * MIB).result(5)
    assert refused.value.retry_after_s > 0
    assert inbox._pending_bytes == 0
    connections[0].execute("PRAGMA max_page_count=1000000")
    inbox.put(0, 0, "grpc", b"x" * MIB).result(5)
    inbox.close()
    reader = InboxReader(tmp_path / "inbox.db")
    assert len(reader.after(0, max_bytes=10 * MIB, max_rows=10)) == 1
    assert reader.counters().state().series("ragwatch.agent.refused") == {("grpc", "disk"): 1.0}


def test_a_consumer_that_has_not_begun_holds_everything(tmp_path: Path) -> None:
    inbox = open_inbox(tmp_path, low_water=lambda: None)
    inbox.put(0, 0, "grpc", b"kept").result(5)
    inbox.close()
    inbox = open_inbox(tmp_path, low_water=lambda: None)
    inbox.put(0, 0, "grpc", b"too").result(5)
    inbox.close()
    assert len(InboxReader(tmp_path / "inbox.db").after(0, max_bytes=MIB, max_rows=9)) == 2


def test_ids_are_not_used_again_after_rows_are_deleted(tmp_path: Path) -> None:
    low: list[int | None] = [None]
    inbox = open_inbox(tmp_path, low_water=lambda: low[0])
    inbox.put(1, 0, "grpc", b"first").result(5)
    low[0] = 100
    reader = InboxReader(tmp_path / "inbox.db")
    wait_until(lambda: reader.size()[0] == 0, 5)
    inbox.put(1, 0, "grpc", b"second").result(5)
    (row,) = reader.after(1, max_bytes=MIB, max_rows=9)
    assert row.id == 2
    inbox.close()


def test_a_resent_trace_request_is_known_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        inbox = open_inbox(tmp_path)
        inbox.put(0, 0, "grpc", b"the very same").result(5)
        inbox.close()
    reader = InboxReader(tmp_path / "inbox.db")
    assert reader.size()[0] == 1
    assert reader.counters().state().series("ragwatch.agent.duplicates") == {("request",): 1.0}


def test_equal_logs_are_no_duplicates(tmp_path: Path) -> None:
    inbox = open_inbox(tmp_path)
    for _ in range(2):
        inbox.put(2, 0, "grpc", b"heartbeat").result(5)
    inbox.close()
    assert InboxReader(tmp_path / "inbox.db").size()[0] == 2


def test_a_directory_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "inbox.db").write_bytes(b"not a database, whatever the name says" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        open_inbox(tmp_path)


def test_reading_respects_its_bound(tmp_path: Path) -> None:
    inbox = open_inbox(tmp_path)
    for number in range(10):
        inbox.put(2, 0, "grpc", bytes([number]) * 1000).result(5)
    reader = InboxReader(tmp_path / "inbox.db")
    assert len(reader.after(0, max_bytes=2500, max_rows=100)) == 3
    assert len(reader.after(0, max_bytes=MIB, max_rows=4)) == 4
    assert [row.id for row in reader.after(7, max_bytes=MIB, max_rows=100)] == [8, 9, 10]
    assert reader.depth(7)[0] == 3
    inbox.close()
