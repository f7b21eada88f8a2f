"""What a few spans that wait would hold in the inbox: their requests are cut down to them and carried in pipeline.db.

The inbox keeps every row from the lowest that somebody needs. A step whose query never ends may wait for minutes, and
at full load minutes are gigabytes: without this the inbox would be full of what everybody has done with.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ragwatch.agent.inbox import JSON, InboxReader, Row

MAX_SHARE = 0.25
"""Of the inbox' bound: how much of it rows that only wait may take before they are carried."""
STEP_BYTES = 32 << 20
"""Read again for it between two commits at most."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS carried (
  row_id INTEGER PRIMARY KEY, signal INTEGER NOT NULL, format INTEGER NOT NULL, transport INTEGER NOT NULL,
  received_ns INTEGER NOT NULL, body BLOB NOT NULL);
"""


class Carried:
    """The rows that are carried. Its writes belong to the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids = {row_id for (row_id,) in connection.execute("SELECT row_id FROM carried")}

    def rows(self) -> list[Row]:
        """All of them, in order."""
        found = self._connection.execute(
            "SELECT row_id, signal, format, transport, received_ns, body FROM carried ORDER BY row_id"
        )
        return [Row(*values) for values in found]

    def lowest(self, rows: set[int]) -> int | None:
        """The lowest of these rows that is needed in the inbox; what is carried is not."""
        return min(rows - self._ids, default=None)

    def take(self, rows: set[int], keep: set[bytes], cursor: int, reader: InboxReader) -> None:
        """Carry the older half of the rows that hold waiting spans (``keep``: trace and span ids, 24 bytes)."""
        from ragwatch.conventions.cut import cut_json, cut_protobuf  # who only reads the store does without protobuf

        lowest = self.lowest(rows)
        if lowest is None:
            return
        until = (lowest + cursor) // 2
        todo = sorted(row_id for row_id in rows - self._ids if row_id <= until)
        size = 0
        for row in _read(todo, reader):
            cut = (cut_json if row.format == JSON else cut_protobuf)(row.body, keep)
            self._connection.execute(
                "INSERT OR REPLACE INTO carried VALUES (?, ?, ?, ?, ?, ?)",
                (row.id, row.signal, row.format, row.transport, row.received_ns, cut),
            )
            self._ids.add(row.id)
            size += len(row.body)
            if size >= STEP_BYTES:
                break

    def drop(self, rows: set[int]) -> None:
        """Forget what holds no waiting span any more; ``rows`` still do."""
        done = self._ids - rows
        if done:
            self._connection.executemany("DELETE FROM carried WHERE row_id = ?", [(row_id,) for row_id in done])
            self._ids -= done


def _read(ids: list[int], reader: InboxReader) -> Iterable[Row]:
    for row_id in ids:
        yield from reader.after(row_id - 1, max_bytes=1, max_rows=1, until=row_id)
