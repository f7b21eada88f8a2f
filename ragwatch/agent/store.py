"""``pipeline.db``: cursor, KPI state, streams, queries and dead letters of the pipeline, one transaction a commit.

What the web and the forwarder show is read from here, so it is the last committed truth: no counter falls when the
pipeline is killed, because what was not committed was never shown and is counted again from the inbox.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from time import time
from typing import Any

from ragwatch.agent import carried, judgement_rows, query_rows, streams
from ragwatch.kpi.state import State

MAX_DEAD_LETTERS = 1000
MAX_DEAD_LETTER_BYTES = 1 << 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER, keep_from INTEGER);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT, row_id INTEGER, signal INTEGER, reason TEXT, at REAL, body BLOB);
"""


def open_store(path: Path) -> sqlite3.Connection:
    """Open (and make) the file for writing."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA journal_size_limit={32 << 20}")
    connection.executescript(_SCHEMA + streams.SCHEMA + carried.SCHEMA)
    query_rows.prepare(connection)
    judgement_rows.prepare(connection)
    connection.execute("INSERT OR IGNORE INTO cursor VALUES (1, 0, 1)")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the file for reading; ``sqlite3.OperationalError`` while it does not exist."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=5, check_same_thread=False)


def read_cursor(connection: sqlite3.Connection) -> tuple[int, int]:
    """(last row that has been processed, lowest row that is still needed)."""
    found = connection.execute("SELECT position, keep_from FROM cursor").fetchone()
    return (int(found[0]), int(found[1])) if found else (0, 1)


def write_cursor(connection: sqlite3.Connection, position: int, keep_from: int) -> None:
    """Move the cursor, inside the caller's transaction."""
    connection.execute("UPDATE cursor SET position = ?, keep_from = ?", (position, keep_from))


def read_meta(connection: sqlite3.Connection, key: str) -> Any:
    """A value that was kept under a key: bytes as they are, anything else from JSON; None where there is none."""
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if found is None:
        return None
    return found[0] if isinstance(found[0], bytes) else json.loads(found[0])


def write_meta(connection: sqlite3.Connection, key: str, value: Any) -> None:
    """Keep a value under a key."""
    kept = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":"))
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, kept))


def add_dead_letter(connection: sqlite3.Connection, row_id: int, signal: int, reason: str, body: bytes) -> None:
    """Set a request aside; its body is kept up to a size, and the oldest letters go."""
    connection.execute(
        "INSERT INTO dead_letters (row_id, signal, reason, at, body) VALUES (?, ?, ?, ?, ?)",
        (row_id, signal, reason, time(), body[:MAX_DEAD_LETTER_BYTES]),
    )
    connection.execute(
        "DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - ?", (MAX_DEAD_LETTERS,)
    )


def read_state(connection: sqlite3.Connection) -> State:
    """The KPIs as committed: what the agent counted, what apps count now, and what ended processes had counted."""
    state = State()
    own = read_meta(connection, "engine")
    if own is not None:
        state.add(State.from_json(own))
    for retired, text in connection.execute("SELECT retired, state FROM streams"):
        held = State.from_json(json.loads(text))
        state.add(held.without_gauges() if retired else held)
    return state
