"""Dead letters: one JSON line for each document that was given up, without its content."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from ragwatch.processing.ledger import Ledger

BATCH = 500


def write_letters(ledger: Ledger, path: str | os.PathLike[str]) -> int:
    """Append the letters that are due; each is marked in the ledger once it is on disk, so none is lost to a crash."""
    written = 0
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
                    "reason": row.reason,
                    "error_type": row.error_type,
                    "fingerprint": row.fingerprint,
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


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
