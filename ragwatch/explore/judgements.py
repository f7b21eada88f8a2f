"""Judgements on answers: lines of a golden file that grows, and, where telemetry is sent, what the agent counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ragwatch
from ragwatch.errors import RagwatchError
from ragwatch.explore.asked import Asked
from ragwatch.sdk.setup import running


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
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        raise RagwatchError(f"{path} cannot be written: {error.strerror}; name another with --golden") from None
