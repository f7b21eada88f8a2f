"""Judgements in ``pipeline.db``: each counted once, and found again with the query that it is about.

They come before or after their query, from anywhere, so the two meet when somebody asks, and not when they are written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from time import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragwatch.conventions.evaluation import Judgement

MAX_JUDGEMENTS = 500_000
_COLUMNS = ("about TEXT", "target TEXT", "source TEXT", "verdict TEXT", "name TEXT", "judge TEXT", "score REAL")
_SHOWN = "target, source, verdict, name, judge, score, at"


def prepare(connection: sqlite3.Connection) -> None:
    """Make the table; one that an earlier ragwatch wrote gets the columns that it lacks, and keeps its keys."""
    connection.execute("CREATE TABLE IF NOT EXISTS judgements (key BLOB PRIMARY KEY, at REAL) WITHOUT ROWID")
    known = {row[1] for row in connection.execute("PRAGMA table_info(judgements)")}
    for column in _COLUMNS:
        if column.split()[0] not in known:
            connection.execute(f"ALTER TABLE judgements ADD COLUMN {column}")
    connection.execute("CREATE INDEX IF NOT EXISTS judgements_by_age ON judgements (at)")
    connection.execute("CREATE INDEX IF NOT EXISTS judgements_by_query ON judgements (about)")
    connection.execute("CREATE INDEX IF NOT EXISTS judgements_bad ON judgements (at, about) WHERE verdict = 'bad'")


def is_judged(connection: sqlite3.Connection, key: bytes) -> bool:
    """Whether a judgement with that key was counted before."""
    return connection.execute("SELECT 1 FROM judgements WHERE key = ?", (key,)).fetchone() is not None


def add_judgements(connection: sqlite3.Connection, found: Iterable[Judgement]) -> None:
    """Remember judgements, inside the caller's transaction; the oldest over the bound are forgotten."""
    now = time()
    connection.executemany(
        "INSERT OR IGNORE INTO judgements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(j.key, now, j.about, j.target, j.source, j.verdict, j.name, j.judge, j.score) for j in found],
    )
    (count,) = connection.execute("SELECT count(*) FROM judgements").fetchone()
    if count > MAX_JUDGEMENTS:
        connection.execute(
            "DELETE FROM judgements WHERE key IN (SELECT key FROM judgements ORDER BY at LIMIT ?)",
            (count - MAX_JUDGEMENTS * 9 // 10,),
        )


def restore(connection: sqlite3.Connection, about: str, found: Iterable[Mapping[str, Any]]) -> None:
    """Keep judgements as ``judgements_of`` gave them, inside the caller's transaction."""
    names = _SHOWN.split(", ")
    connection.executemany(
        f"INSERT OR IGNORE INTO judgements (key, about, {_SHOWN}) VALUES (?, ?, {', '.join('?' * len(names))})",  # noqa: S608
        [
            (f"{about}\0{number}".encode(), about, *(judgement.get(name) for name in names))
            for number, judgement in enumerate(found)
        ],
    )


def judged_bad(connection: sqlite3.Connection, since_s: float) -> set[str]:
    """What judgements since then found bad: trace ids, and response ids where no trace is known."""
    found = connection.execute(
        "SELECT about FROM judgements WHERE verdict = 'bad' AND at >= ? AND about IS NOT NULL", (since_s,)
    )
    return {about for (about,) in found}


def judgements_of(connection: sqlite3.Connection, abouts: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Every judgement of these traces or responses, the oldest first, as plain values; unknown is left out."""
    out: dict[str, list[dict[str, Any]]] = {}
    names = _SHOWN.split(", ")
    for about in dict.fromkeys(abouts):
        rows = connection.execute(f"SELECT {_SHOWN} FROM judgements WHERE about = ? ORDER BY at", (about,)).fetchall()  # noqa: S608
        if rows:
            out[about] = [
                {key: value for key, value in zip(names, row, strict=True) if value is not None and value != ""}
                for row in rows
            ]
    return out
