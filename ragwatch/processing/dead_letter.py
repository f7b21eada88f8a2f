"""Dead letters: one JSON line for each document that was given up, without its content.

A parser's message may quote the document, so it stands there only where ``RAGWATCH_CONTENT`` allows text.
"""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ragwatch.config.otel_env import read_settings
from ragwatch.error_class import error_class
from ragwatch.processing.failure import HANG
from ragwatch.processing.ledger import Ledger, Row

BATCH = 500


def write_letters(ledger: Ledger, path: str | os.PathLike[str]) -> int:
    """Append the letters that are due; each is marked in the ledger once it is on disk, so none is lost to a crash."""
    written = 0
    with_messages = read_settings().content != "off"
    part = ledger.letters(BATCH)
    if not part:
        return 0
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as raw, io.TextIOWrapper(raw, encoding="utf-8") as out:
        if raw.tell() and _last_byte(raw) != b"\n":
            out.write("\n")  # a crash cut the last letter short: it comes again, on a line of its own
        while part:
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
            part = ledger.letters(BATCH)
    return written


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _without_message(row: Row) -> str | None:
    """The reason up to the name of the exception; what ragwatch itself says is whole."""
    if row.reason is None or row.error_type is None or row.fingerprint in {None, HANG}:
        return row.reason
    before, found, _ = row.reason.partition(row.error_type)
    return before + found if found else row.error_type


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
