"""Dead letters: one JSON line for each document that was given up, without its content.

A parser's message may quote the document, so it stands there only where ``RAGWATCH_CONTENT`` allows text.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from ragwatch.config.otel_env import read_settings
from ragwatch.error_class import error_class
from ragwatch.processing.failure import HANG
from ragwatch.processing.ledger import Ledger, Row

BATCH = 500


def write_letters(ledger: Ledger, path: str | os.PathLike[str]) -> int:
    """Append the letters that are due; each is marked in the ledger once it is on disk, so none is lost to a crash."""
    written = 0
    with_messages = read_settings().content != "off"
    rows = list(ledger.letters())
    if not rows:
        return 0
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            for row in part:
                letter = {
                    "pipeline": ledger.pipeline,
                    "source": row.source,
                    "digest": row.digest,
                    "reason": row.reason if with_messages else _without_message(row),
                    "error_class": error_class(row.error_type, row.reason) if row.error_type else None,
                    "error_type": row.error_type,
                    "fingerprint": row.fingerprint,
                    "trace_id": row.trace_id,
                    "attempts": row.attempts,
                    "first_at": _iso(row.first_at),
                    "last_at": _iso(row.updated_at),
                }
                out.write(json.dumps(letter, ensure_ascii=False) + "\n")
            out.flush()
            os.fsync(out.fileno())
            ledger.lettered([row.source for row in part])
            written += len(part)
    return written


def _without_message(row: Row) -> str | None:
    """The reason up to the name of the exception; what ragwatch itself says is whole."""
    if row.reason is None or row.error_type is None or row.fingerprint in {None, HANG}:
        return row.reason
    before, found, _ = row.reason.partition(f"{row.error_type}: ")
    return before + found.removesuffix(": ")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
