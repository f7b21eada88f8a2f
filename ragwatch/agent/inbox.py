"""The inbox: raw requests on disk, written by the receiver alone; an ack means that it is on disk.

SQLite in WAL mode with ``synchronous=FULL``, one writer thread, group commit: what has queued while the last commit
ran goes into the next one, so that an fsync is shared by all who wait. Consumers keep their cursors in files of their
own and the writer deletes what lies below the lowest. Full means a retryable refusal, never loss.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from hashlib import blake2b
from pathlib import Path
from time import monotonic, time_ns
from typing import NamedTuple

from ragwatch.agent.counters import Counters
from ragwatch.catalogue import METRICS
from ragwatch.errors import InboxFull

SIGNALS = ("traces", "metrics", "logs")
TRANSPORTS = ("grpc", "http")
PROTOBUF, JSON = 0, 1
PAGE_BYTES = 16384
MAX_DIGESTS = 200_000
COMMIT_BYTES = 16 << 20
TRIM_ROWS = 2000
TRIM_INTERVAL_S = 0.5
VACUUM_PAGES = 4096
"""Free pages that are kept for reuse; more go back to the file system."""
_COMMITS = METRICS["ragwatch.agent.commit.duration"].buckets

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
  id INTEGER PRIMARY KEY AUTOINCREMENT, signal INTEGER NOT NULL, format INTEGER NOT NULL,
  transport INTEGER NOT NULL, received_ns INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS digests (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counters (metric TEXT, labels TEXT, value REAL, PRIMARY KEY (metric, labels)) WITHOUT ROWID;
"""


class Row(NamedTuple):
    """One request in the inbox; ``signal``, ``format`` and ``transport`` are numbers of this module."""

    id: int
    signal: int
    format: int
    transport: int
    received_ns: int
    body: bytes


class _Waiting(NamedTuple):
    signal: int
    format: int
    transport: str
    body: bytes
    done: Future[None]


class Inbox:
    """The writing side. ``put`` may be called from any thread; its future ends when the request is on disk."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        max_pending_bytes: int,
        low_water: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_pending = max_pending_bytes
        self._low_water = low_water
        self._waiting: list[_Waiting] = []
        self._pending_bytes = 0
        self._counters = Counters()
        self._ready = threading.Condition()
        self._stopping = False
        self._digests: dict[bytes, None] = {}
        self.disk_bytes = 0
        self._thread = threading.Thread(target=self._run, name="inbox-writer", daemon=True)
        self._opened: Future[None] = Future()
        self._thread.start()
        self._opened.result()

    def put(self, signal: int, format_: int, transport: str, body: bytes) -> Future[None]:
        """Queue a request; the future ends when it is on disk, or raises. ``InboxFull`` when there is no room."""
        size = len(body)
        with self._ready:
            if self._stopping:
                raise self._refuse(transport, "shutdown")
            if self._pending_bytes + size > self._max_pending and self._waiting:
                raise self._refuse(transport, "memory_full")
            if self.disk_bytes + self._pending_bytes + size > self._max_bytes:
                raise self._refuse(transport, "inbox_full")
            waiting = _Waiting(signal, format_, transport, body, Future())
            self._waiting.append(waiting)
            self._pending_bytes += size
            self._ready.notify()
        return waiting.done

    def refused(self, transport: str, reason: str) -> None:
        """Count a request that was turned away before it came here."""
        with self._ready:
            self._counters.add("ragwatch.agent.refused", (transport, reason))

    def close(self) -> None:
        """Write what waits and close the file."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        self._thread.join()

    def _refuse(self, transport: str, reason: str) -> InboxFull:
        self._counters.add("ragwatch.agent.refused", (transport, reason))
        return InboxFull(reason)

    # -- the writer thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            connection = self._open()
        except BaseException as error:  # noqa: BLE001  (whoever made the inbox gets it)
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        trim_at = 0.0
        while True:
            with self._ready:
                if not self._waiting and not self._stopping:
                    self._ready.wait(TRIM_INTERVAL_S)
                batch, size = self._take()
                stopping = self._stopping and not batch
            if batch or self._counters.changed:
                self._commit(connection, batch, size)
            if monotonic() >= trim_at:
                trim_at = monotonic() + TRIM_INTERVAL_S
                self._trim(connection)
            if stopping:
                connection.close()
                return

    def _take(self) -> tuple[list[_Waiting], int]:
        size = taken = 0
        for waiting in self._waiting:
            size += len(waiting.body)
            taken += 1
            if size >= COMMIT_BYTES:
                break
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch, size

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=1000")
        connection.execute(f"PRAGMA journal_size_limit={64 << 20}")
        connection.executescript(_SCHEMA)
        self._counters.load(connection)
        for (digest,) in connection.execute("SELECT digest FROM digests ORDER BY id"):
            self._digests[digest] = None
        self._measure(connection)
        return connection

    def _commit(self, connection: sqlite3.Connection, batch: list[_Waiting], size: int) -> None:
        started = monotonic()
        now = time_ns()
        rows: list[tuple[int, int, int, int, bytes]] = []
        counts = self._counters
        repeated = 0
        fresh: dict[bytes, None] = {}
        for waiting in batch:
            if waiting.signal == 0:
                digest = blake2b(waiting.body, digest_size=8).digest()
                if digest in self._digests or digest in fresh:
                    repeated += 1
                    continue
                fresh[digest] = None
            rows.append((waiting.signal, waiting.format, TRANSPORTS.index(waiting.transport), now, waiting.body))
        if repeated:
            counts.add("ragwatch.agent.duplicates", ("request",), repeated)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO rows (signal, format, transport, received_ns, body) VALUES (?, ?, ?, ?, ?)", rows
            )
            connection.executemany("INSERT INTO digests (digest) VALUES (?)", [(digest,) for digest in fresh])
            saved = counts.save(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if repeated:
                counts.add("ragwatch.agent.duplicates", ("request",), -repeated)
            self._failed(connection, batch, size, error)
            return
        counts.saved(saved)
        self._digests.update(fresh)
        counts.observe("ragwatch.agent.commit.duration", ("inbox",), _COMMITS, monotonic() - started)
        with self._ready:
            self._pending_bytes -= size
            self.disk_bytes += size
        for waiting in batch:
            waiting.done.set_result(None)

    def _failed(self, connection: sqlite3.Connection, batch: list[_Waiting], size: int, error: sqlite3.Error) -> None:
        """The disk said no (it is full, or broken): nothing was written, everybody may try again."""
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        with self._ready:
            self._pending_bytes -= size
            for waiting in batch:
                self._counters.add("ragwatch.agent.refused", (waiting.transport, "disk"))
        for waiting in batch:
            waiting.done.set_exception(InboxFull(f"the disk does not take it ({error})", retry_after_s=5.0))

    def _trim(self, connection: sqlite3.Connection) -> None:
        """Delete what every consumer has done with, old digests, and give a lot of free space back."""
        try:
            low = self._low_water()
            if low is not None:
                connection.execute(
                    "DELETE FROM rows WHERE id IN (SELECT id FROM rows WHERE id < ? ORDER BY id LIMIT ?)",
                    (low, TRIM_ROWS),
                )
            if len(self._digests) > MAX_DIGESTS:
                excess = list(self._digests)[: len(self._digests) - MAX_DIGESTS * 9 // 10]
                for digest in excess:
                    del self._digests[digest]
                connection.execute(
                    "DELETE FROM digests WHERE id <= (SELECT max(id) FROM digests) - ?", (len(self._digests),)
                )
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            if free > VACUUM_PAGES:
                connection.execute(f"PRAGMA incremental_vacuum({free - VACUUM_PAGES})").fetchall()
            self._measure(connection)
        except sqlite3.Error:
            self._counters.add("ragwatch.agent.refused", ("grpc", "trim_failed"))

    def _measure(self, connection: sqlite3.Connection) -> None:
        used = _used_bytes(connection)
        with self._ready:
            self.disk_bytes = used


def _used_bytes(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    used: int = (pages - free) * PAGE_BYTES
    return used


class InboxReader:
    """The reading side, of any process: rows in order, and how many wait."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=10)

    def after(self, cursor: int, *, max_bytes: int, max_rows: int, until: int | None = None) -> list[Row]:
        """Rows above the cursor in order, read out before they are processed so that the WAL can be checkpointed."""
        rows: list[Row] = []
        size = 0
        found: Iterable[tuple[int, int, int, int, int, bytes]] = self._connection.execute(
            "SELECT id, signal, format, transport, received_ns, body FROM rows "
            "WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (cursor, (1 << 62) if until is None else until, max_rows),
        )
        for values in found:
            rows.append(Row(*values))
            size += len(values[5])
            if size >= max_bytes:
                break
        if isinstance(found, sqlite3.Cursor):
            found.close()
        return rows

    def last_id(self) -> int:
        """The newest row's id; 0 in an empty inbox that never had one."""
        found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()
        return int(found[0]) if found else 0

    def depth(self, cursor: int) -> tuple[int, int | None]:
        """How many rows lie above the cursor, and when the oldest of them was received."""
        count, oldest = self._connection.execute(
            "SELECT count(*), min(received_ns) FROM rows WHERE id > ?", (cursor,)
        ).fetchone()
        return int(count), oldest

    def size(self) -> tuple[int, int]:
        """Rows in the inbox, and bytes of its file in use."""
        (count,) = self._connection.execute("SELECT count(*) FROM rows").fetchone()
        return int(count), self.used_bytes()

    def used_bytes(self) -> int:
        """Bytes of the file in use."""
        return _used_bytes(self._connection)

    def counters(self) -> Counters:
        """The receiver's own counts, as committed."""
        counts = Counters()
        counts.load(self._connection)
        return counts

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def inbox_exists(path: Path) -> bool:
    """Whether the receiver has made the inbox, tables included."""
    try:
        reader = InboxReader(path)
    except sqlite3.Error:
        return False
    try:
        reader.last_id()
        reader.size()
    except sqlite3.Error:
        return False
    finally:
        reader.close()
    return True
