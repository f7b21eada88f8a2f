"""The ledger: every document's state in SQLite, so that a run that was killed goes on where it was.

One process writes it at a time (a lock beside the file says so). An attempt is counted when a document is *leased*, in
the transaction before it runs: one that kills its process is found leased by the next run, which makes it a suspect.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ragwatch.errors import RagwatchError
from ragwatch.processing.item import Item
from ragwatch.resilience.at_fork import renewed_after_fork

SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
  pipeline TEXT NOT NULL, source TEXT NOT NULL, digest TEXT NOT NULL, version TEXT NOT NULL,
  state TEXT NOT NULL, attempts INTEGER NOT NULL, suspect INTEGER NOT NULL DEFAULT 0, retry_at REAL,
  error_type TEXT, reason TEXT, fingerprint TEXT, trace_id TEXT, lettered INTEGER NOT NULL DEFAULT 0,
  first_at REAL NOT NULL, updated_at REAL NOT NULL,
  PRIMARY KEY (pipeline, source)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_state ON document (pipeline, state) WHERE state != 'ok';
CREATE INDEX IF NOT EXISTS by_dead ON document (pipeline, digest) WHERE state = 'dead';
"""
SETTLE = """
INSERT INTO document
  (pipeline, source, digest, version, state, attempts, retry_at, error_type, reason, fingerprint, trace_id, first_at,
   updated_at, suspect)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (pipeline, source) DO UPDATE SET
  digest = excluded.digest, version = excluded.version, state = excluded.state, attempts = excluded.attempts,
  retry_at = excluded.retry_at, error_type = excluded.error_type, reason = excluded.reason,
  fingerprint = excluded.fingerprint, trace_id = excluded.trace_id, suspect = excluded.suspect, lettered = 0,
  updated_at = excluded.updated_at
"""
LEASE = """
INSERT INTO document (pipeline, source, digest, version, state, attempts, first_at, updated_at)
VALUES (?,?,?,?,'leased',?,?,?) ON CONFLICT (pipeline, source) DO UPDATE SET
  suspect = CASE WHEN digest = excluded.digest AND version = excluded.version THEN suspect ELSE 0 END,
  fingerprint = CASE WHEN digest = excluded.digest AND version = excluded.version THEN fingerprint END,
  digest = excluded.digest, version = excluded.version, state = 'leased', attempts = excluded.attempts,
  updated_at = excluded.updated_at
"""
FORMAT = 1
"""What ``PRAGMA user_version`` says of files that this code reads and writes."""
_COLUMNS = (
    "source, digest, version, state, attempts, suspect, retry_at, error_type, reason, fingerprint, trace_id, first_at, "
    "updated_at"
)


class Row(NamedTuple):
    """A document as the ledger knows it; ``state`` is leased, ok, failed, deferred or dead; times are epoch seconds."""

    source: str
    digest: str
    version: str
    state: str
    attempts: int
    suspect: int
    retry_at: float | None
    error_type: str | None
    reason: str | None
    fingerprint: str | None
    trace_id: str | None
    first_at: float
    updated_at: float


class Settled(NamedTuple):
    """What is to be written of a document that has run, or that may not run now."""

    item: Item
    state: str
    attempts: int
    retry_at: float | None = None
    error_type: str | None = None
    reason: str | None = None
    fingerprint: str | None = None
    trace_id: str | None = None
    suspect: bool = False
    """A worker died of it or of one beside it: it runs alone from now on."""


class LedgerInUse(RagwatchError):
    """Another process works with this ledger."""


class LedgerUnusable(RagwatchError):
    """The file is no ledger, was written by a newer ragwatch, or cannot be written."""


class Ledger:
    """The ledger of a pipeline in a file, or in memory. A pipeline's ``version`` that changes makes all of it new."""

    def __init__(self, path: str | os.PathLike[str] | None, *, pipeline: str = "default", version: str = "1") -> None:
        self.path = None if path is None else Path(path)
        self.pipeline = pipeline
        self.version = version
        self._lock_file: int | None = None
        if self.path is not None:
            self._lock(self.path)
        try:
            self._db = sqlite3.connect(self.path or ":memory:", isolation_level=None, check_same_thread=False)
            written_by = self._db.execute("PRAGMA user_version").fetchone()[0]
            if written_by <= FORMAT:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(SCHEMA)
                self._db.execute(f"PRAGMA user_version={FORMAT}")
        except sqlite3.Error as error:
            self._unlock()
            raise LedgerUnusable(
                f"{self.path} cannot be used as a ledger: {error}; move it away or name another "
                "(a new ledger knows no document yet)"
            ) from error
        if written_by > FORMAT:
            self.close()
            raise LedgerUnusable(
                f"{self.path} was written by a newer ragwatch (format {written_by}, this one knows {FORMAT}): "
                "install that one, or name another ledger"
            )
        renewed_after_fork(self)

    def _lock(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            raise LedgerInUse(f"{self.path} is in use by another run; end that one first, or name another") from None
        except OSError as error:
            self._unlock()
            raise LedgerUnusable(f"{self.path} cannot be written: {error.strerror}; name another ledger") from error

    def _unlock(self) -> None:
        if self._lock_file is not None:
            with suppress(OSError):
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)
            os.close(self._lock_file)
            self._lock_file = None

    def after_fork(self) -> None:
        """In a forked child, such as a pool's worker that outlives this process: the lock is not its to hold."""
        if self._lock_file is not None:
            os.close(self._lock_file)  # no LOCK_UN: that would take the parent's lock
            self._lock_file = None

    def recover(self, max_attempts: int, now: float) -> None:
        """Make suspects of what was in flight at a crash; one that was, alone, for its last attempt is dead.

        One that was in flight beside others keeps at least one attempt: it has yet to be tried alone.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "UPDATE document SET state = 'dead', error_type = 'WorkerDied', updated_at = ?, "
                "reason = 'its process died each time' "
                "WHERE pipeline = ? AND state = 'leased' AND suspect = 1 AND attempts >= ?",
                (now, self.pipeline, max_attempts),
            )
            self._db.execute(
                "UPDATE document SET state = 'failed', suspect = 1, retry_at = NULL, error_type = 'WorkerDied', "
                "attempts = min(attempts, ?), "
                "reason = 'in flight when its process died' WHERE pipeline = ? AND state = 'leased'",
                (max_attempts - 1, self.pipeline),
            )

    def known(self, items: Sequence[Item]) -> dict[str, Row]:
        """What the ledger knows of these sources, in this version of the pipeline."""
        found: dict[str, Row] = {}
        for part in _parts([item.source for item in items]):
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM document WHERE pipeline = ? AND source IN ({_marks(part)})",  # noqa: S608
                (self.pipeline, *part),
            )
            found.update({row[0]: Row(*row) for row in rows})
        return found

    def poison(self, items: Sequence[Item]) -> dict[str, str]:
        """The dead sources by digest: the same content under another name need not fail or kill again.

        Only of those that died of their content: not of those whose dependency was away for all their attempts.
        """
        found: dict[str, str] = {}
        for part in _parts([item.digest for item in items]):
            rows = self._db.execute(
                "SELECT digest, source FROM document INDEXED BY by_dead "  # noqa: S608
                "WHERE pipeline = ? AND version = ? AND state = 'dead' "
                "AND (error_type = 'WorkerDied' OR reason LIKE 'poison,%') "
                f"AND digest IN ({_marks(part)})",
                (self.pipeline, self.version, *part),
            )
            found.update(dict(rows.fetchall()))
        return found

    def write(self, settled: Iterable[Settled], leased: Iterable[tuple[Item, int]], now: float) -> None:
        """Record what has ended and lease what begins, in one transaction."""
        try:
            self._write(settled, leased, now)
        except sqlite3.Error as error:
            raise LedgerUnusable(
                f"{self.path} cannot be written: {error}; what was in flight is resumed by the next run"
            ) from error

    def _write(self, settled: Iterable[Settled], leased: Iterable[tuple[Item, int]], now: float) -> None:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                SETTLE,
                [
                    (self.pipeline, done.item.source, done.item.digest, self.version, done.state, done.attempts,
                     done.retry_at, done.error_type, done.reason, done.fingerprint, done.trace_id, now, now,
                     done.suspect)
                    for done in settled
                ],
            )  # fmt: skip
            self._db.executemany(
                LEASE,
                [
                    (self.pipeline, item.source, item.digest, self.version, attempts, now, now)
                    for item, attempts in leased
                ],
            )

    def letters(self, limit: int) -> list[Row]:
        """So many of the dead whose letter was not written yet."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM document INDEXED BY by_state "  # noqa: S608
            "WHERE pipeline = ? AND state = 'dead' AND state != 'ok' AND lettered = 0 LIMIT ?",
            (self.pipeline, limit),
        ).fetchall()
        return [Row(*row) for row in rows]

    def lettered(self, sources: Sequence[str]) -> None:
        """Their letters are on disk."""
        with self._db:
            self._db.executemany(
                "UPDATE document SET lettered = 1 WHERE pipeline = ? AND source = ?",
                [(self.pipeline, source) for source in sources],
            )

    def revive(self) -> list[str]:
        """Give the dead and the failed all their attempts back; their sources."""
        rows = self._db.execute(
            "SELECT source FROM document WHERE pipeline = ? AND state IN ('dead', 'failed', 'deferred')",
            (self.pipeline,),
        ).fetchall()
        with self._db:
            self._db.execute(
                "UPDATE document SET state = 'failed', attempts = 0, retry_at = NULL, fingerprint = NULL, suspect = "
                "suspect OR (state = 'dead' AND error_type = 'WorkerDied') "
                "WHERE pipeline = ? AND state IN ('dead', 'failed', 'deferred')",
                (self.pipeline,),
            )
        return [row[0] for row in rows]

    def counts(self) -> dict[str, int]:
        """Documents by state."""
        rows = self._db.execute(
            "SELECT state, count(*) FROM document WHERE pipeline = ? GROUP BY state", (self.pipeline,)
        )
        return dict(rows.fetchall())

    def waiting(self) -> tuple[int, float | None]:
        """How many documents wait for another run or their turn, and since when the oldest does."""
        row = self._db.execute(
            "SELECT count(*), min(first_at) FROM document INDEXED BY by_state "
            "WHERE pipeline = ? AND state != 'ok' AND state != 'dead'",
            (self.pipeline,),
        ).fetchone()
        return int(row[0]), row[1]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
        self._unlock()


def _parts(values: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
