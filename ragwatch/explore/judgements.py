"""Judgements on answers: lines of a golden file that grows, and, where telemetry is sent, what the agent counts."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from io import FileIO
from pathlib import Path
from typing import Any

import ragwatch
from ragwatch.demo.jsonl import is_cut_off
from ragwatch.errors import RagwatchError
from ragwatch.explore.asked import Asked
from ragwatch.sdk.setup import running

CHUNK = 4096


def relevant(asked: Asked, ids: list[str], path: Path) -> None:
    """These documents answer the question: a line that ``bench --questions`` and ``demo --golden`` read."""
    _append(path, {"question": asked.question, "relevant": ids, "trace_id": asked.answer.trace_id})
    if asked.answer.trace_id and _is_sent():
        ragwatch.relevance(asked.answer.trace_id, good=True)


def bad(asked: Asked, path: Path) -> None:
    """The answer is wrong; which documents would be right is not known yet."""
    ids = [document.id for document in asked.documents]
    line = {"question": asked.question, "judgement": "bad", "documents_found": ids, "trace_id": asked.answer.trace_id}
    _append(path, line)
    if asked.answer.trace_id and _is_sent():
        ragwatch.feedback(asked.answer.trace_id, good=False)


def _is_sent() -> bool:
    process = running()
    return process is not None and process[0].settings.endpoints.get("logs") is not None


def _append(path: Path, line: dict[str, Any]) -> None:
    """Add a line, in one piece and onto the disk; what a crash left of the one before is taken away.

    Sessions that write at once take turns. Lines are never rewritten: of several on one question the readers take the
    last.
    """
    text = json.dumps(line, ensure_ascii=False).encode() + b"\n"
    try:
        with path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            begun = _tail(file, end)
            if begun and is_cut_off(begun.decode("utf-8", "replace")):
                end -= len(begun)
                file.truncate(end)
            elif begun:
                text = b"\n" + text
            try:
                _write(file, text)
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise RagwatchError(f"{path} cannot be written: {error.strerror}; name another with --golden") from None


def _write(file: FileIO, text: bytes) -> None:
    if file.write(text) != len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())


def _tail(file: FileIO, end: int) -> bytes:
    """What stands behind the last line's end."""
    found = b""
    at = end
    while at > 0 and b"\n" not in found:
        step = min(CHUNK, at)
        at = file.seek(at - step)
        found = file.read(step) + found
    return found.rpartition(b"\n")[2]
