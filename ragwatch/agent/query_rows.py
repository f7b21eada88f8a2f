"""The queries in ``pipeline.db``: written, forgotten, and found again by what an on-call asks for.

``queries`` is narrow and indexed by time within each thing that one filters by; ``records`` holds the whole of each.
An index whose keys come in random order (trace ids, document ids) would write a page a key: 1,000,000 kept queries made
that the dearest part of a commit. ``lookup`` is instead a few bytes a query, appended, and read through when asked
(``agent.search``): 80 MB for 1,000,000 queries of five documents.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import log2

from ragwatch.record import QueryRecord
from ragwatch.semconv import ANSWERED

VERSION = 2
"""``PRAGMA user_version`` of the file; 0 is what ragwatch wrote before queries could be searched."""
MAX_FORGOTTEN = 20_000
"""Queries that one commit deletes at the most: a bound that was lowered takes effect over a few commits."""
LOOKUP_QUERIES = 256
"""A segment of ``lookup`` is filled up to this many queries before the next is begun; rewriting it costs 16 KiB."""
TRACE_BYTES, TERM_BYTES, ENTRY_BYTES = 16, 8, 12
LATEST_NS = (1 << 63) - 1
"""The year 2262: OTLP's times are longer by a bit than SQLite's numbers."""

TABLES = """
CREATE TABLE IF NOT EXISTS queries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, end_ns INTEGER, duration_ns INTEGER, speed INTEGER, service TEXT, step TEXT,
  outcome TEXT, error_class TEXT, empty INTEGER, missed INTEGER);
CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY, record TEXT);
CREATE TABLE IF NOT EXISTS lookup (
  first_id INTEGER PRIMARY KEY, last_id INTEGER, newest_ns INTEGER, traces BLOB, terms BLOB);
CREATE INDEX IF NOT EXISTS queries_by_time ON queries (end_ns);
CREATE INDEX IF NOT EXISTS queries_by_service ON queries (service, end_ns);
CREATE INDEX IF NOT EXISTS queries_by_step ON queries (step, end_ns);
CREATE INDEX IF NOT EXISTS queries_by_speed ON queries (speed, end_ns, duration_ns);
CREATE INDEX IF NOT EXISTS queries_not_ok ON queries (outcome, end_ns) WHERE outcome <> 'ok';
CREATE INDEX IF NOT EXISTS queries_failed ON queries (error_class, end_ns) WHERE error_class IS NOT NULL;
CREATE INDEX IF NOT EXISTS queries_empty ON queries (end_ns) WHERE empty = 1;
CREATE INDEX IF NOT EXISTS queries_missed ON queries (end_ns) WHERE missed = 1;
"""


def speed(duration_ns: int) -> int:
    """Sixteenths of an octave: durations that differ by 4 % share one, so that new rows go to a few pages of an index.

    >>> speed(1_000_000_000), speed(1_010_000_000), speed(2_000_000_000) - speed(1_000_000_000), speed(0)
    (478, 478, 16, 0)
    """
    return int(log2(duration_ns) * 16) if duration_ns > 0 else 0


def blamed(record: QueryRecord) -> str:
    """The step to look at: the cause of a failure, what was turned away or degraded, else the longest wait.

    >>> blamed(QueryRecord("a", "b", "bot", "", 0, 9, critical_path=(("query", 0.4), ("generate", 0.5))))
    'generate'
    """
    if record.cause_step is not None:
        return record.cause_step
    if record.outcome in {"rejected", "degraded"}:
        for step in record.steps:
            if step.outcome == record.outcome:
                return step.step
    longest, most = "query", 0.0
    for step_name, seconds in record.critical_path:
        if seconds > most:
            longest, most = step_name, seconds
    return longest


def found_nothing(record: QueryRecord) -> bool:
    """Whether a retrieval of it worked and brought no document."""
    return any(
        step.step == "retrieve" and step.document_count == 0 and step.outcome in ANSWERED for step in record.steps
    )


@lru_cache(maxsize=16_384)
def term(kind: str, name: str) -> bytes:
    """What stands for a document's or a response's id in ``lookup``.

    Of 5,000,000 others one is taken for it in 10^12 searches.

    >>> term("document", "doc-17").hex()
    '2fbfb3ea971daa45'
    """
    return hashlib.blake2b(f"{kind}\0{name}".encode("utf-8", "replace"), digest_size=TERM_BYTES).digest()


def trace_key(trace_id: str) -> bytes:
    """A trace id as bytes; zeros for what is none."""
    try:
        return bytes.fromhex(trace_id[: 2 * TRACE_BYTES]).ljust(TRACE_BYTES, b"\0")
    except ValueError:
        return bytes(TRACE_BYTES)


def add_queries(connection: sqlite3.Connection, records: Iterable[QueryRecord], kept: int) -> None:
    """Add queries, and forget the oldest beyond ``kept``, inside the caller's transaction."""
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'queries'").fetchone()
    rows, texts, traces, terms = [], [], [], []
    newest = 0
    for number, record in enumerate(records, last + 1):
        end_ns = min(record.end_ns, LATEST_NS)
        duration_ns = max(0, end_ns - record.start_ns)
        newest = max(newest, end_ns)
        missed = record.label is not None and not record.label.hit and record.outcome in ANSWERED
        rows.append((
            number, end_ns, duration_ns, speed(duration_ns), record.service, blamed(record), record.outcome,
            record.error_class, found_nothing(record), missed,
        ))  # fmt: skip
        texts.append((number, record.to_json()))
        traces.append(trace_key(record.trace_id))
        terms.append(_terms(record))
    if rows:
        connection.executemany("INSERT INTO queries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.executemany("INSERT INTO records VALUES (?, ?)", texts)
        _extend_lookup(connection, last + 1, newest, traces, terms)
        _forget(connection, last + len(rows) - kept)


def _terms(record: QueryRecord) -> set[bytes]:
    found = set()
    for step in record.steps:
        if step.documents:
            for document in step.documents:
                if document.id is not None:
                    found.add(term("document", document.id))
        if step.response_id is not None:
            found.add(term("response", step.response_id))
    return found


def _extend_lookup(
    connection: sqlite3.Connection, first_id: int, newest: int, traces: Sequence[bytes], terms: Sequence[set[bytes]]
) -> None:
    held = connection.execute(
        "SELECT first_id, last_id, newest_ns FROM lookup ORDER BY first_id DESC LIMIT 1"
    ).fetchone()
    grows = held is not None and held[1] == first_id - 1 and held[1] - held[0] + len(traces) < LOOKUP_QUERIES
    start = held[0] if grows else first_id
    entries = [
        digest + (first_id - start + place).to_bytes(4, "little")
        for place, found in enumerate(terms)
        for digest in found
    ]
    last_id, body, more = first_id + len(traces) - 1, b"".join(traces), b"".join(entries)
    if grows:
        connection.execute(
            "UPDATE lookup SET last_id = ?, newest_ns = ?, traces = CAST(traces || ? AS BLOB), "
            "terms = CAST(terms || ? AS BLOB) WHERE first_id = ?",
            (last_id, max(newest, held[2]), body, more, start),
        )
    else:
        connection.execute("INSERT INTO lookup VALUES (?, ?, ?, ?, ?)", (start, last_id, newest, body, more))


def _forget(connection: sqlite3.Connection, through: int) -> None:
    """Delete the queries up to that id, the oldest first, so many at a time."""
    (oldest,) = connection.execute("SELECT min(id) FROM queries").fetchone()
    if oldest is None or oldest > through:
        return
    through = min(through, oldest + MAX_FORGOTTEN - 1)
    for table in ("queries", "records"):
        connection.execute(f"DELETE FROM {table} WHERE id <= ?", (through,))  # noqa: S608  (our own names)
    connection.execute("DELETE FROM lookup WHERE last_id <= ?", (through,))


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables; queries of a file that an earlier ragwatch wrote are taken over.

    ``sqlite3.DatabaseError`` for a file of a later one.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise sqlite3.DatabaseError(f"written by a later ragwatch (its version {version}, ours {VERSION})")
    columns = {row[1] for row in connection.execute("PRAGMA table_info(queries)")}
    connection.execute("BEGIN IMMEDIATE")
    if "record" in columns:
        connection.execute("ALTER TABLE queries RENAME TO earlier_queries")
    for statement in TABLES.split(";\n"):
        connection.execute(statement)
    if "record" in columns:
        held = connection.execute("SELECT record FROM earlier_queries ORDER BY id").fetchall()
        add_queries(connection, (QueryRecord.from_json(text) for (text,) in held), len(held))
        connection.execute("DROP TABLE earlier_queries")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
