"""Questions from a pipe or the command line: one a line in, one JSON object a line out.

Nobody knows which question is the last before the pipe ends, and whoever waits for an answer must not wait for that. So
each object has the answer and, as its ``summary``, the totals up to it: the last line is the summary of all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ragwatch.errors import RagwatchError
from ragwatch.explore.asked import Asked
from ragwatch.explore.shell import Leave, Shell
from ragwatch.target.url import UrlError


class Totals:
    """Of the questions so far; what no step knows (tokens, cost) is None."""

    def __init__(self) -> None:
        self.questions = 0
        self._failed = self._empty = 0
        self._seconds = self._longest_s = 0.0
        self._cache: Counter[str] = Counter()
        self._sums: dict[str, float | None] = dict.fromkeys(("input_tokens", "output_tokens", "cost_usd"))

    def add(self, asked: Asked) -> None:
        """Count one."""
        self.questions += 1
        self._failed += asked.answer.error is not None
        self._empty += asked.shows_documents and not asked.documents
        self._seconds += asked.answer.seconds
        self._longest_s = max(self._longest_s, asked.answer.seconds)
        if asked.cache is not None:
            self._cache[asked.cache] += 1
        for name, held in self._sums.items():
            more = asked.total(name)
            if more is not None:
                self._sums[name] = (held or 0) + more

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "questions": self.questions,
            "failed": self._failed,
            "without_documents": self._empty,
            "latency_s": {"mean": self._seconds / max(1, self.questions), "max": self._longest_s},
            "cache": dict(self._cache),
            **self._sums,
        }


def answer_lines(
    shell: Shell,
    lines: Iterable[str],
    *,
    out: Callable[[str], None],
    wrong: Callable[[str], None],
    words: Callable[[BaseException], str],
) -> int:
    """Carry every line out; 1 where a question failed or a command was wrong, else 0.

    ``out`` takes a JSON object an answer: ``Asked.to_dict`` with ``Totals.to_dict`` as its ``summary`` and, after
    ``/again`` and ``/compare``, what differs as its ``difference``. ``wrong`` takes what cannot be carried out;
    ``words`` says what an error means.
    """
    code, totals = 0, Totals()
    for line in lines:
        try:
            asked = shell.line(line)
        except RagwatchError as error:
            wrong(str(error))
            code = 1
            continue
        except Leave:
            break
        if asked is not None:
            failure = asked.answer.error
            if isinstance(failure, UrlError) and failure.status is None:  # no RAG app is there: nothing else will help
                wrong(str(failure))
                return 2
            totals.add(asked)
            line_out = {**asked.to_dict(), "summary": totals.to_dict()}
            if shell.differs is not None:
                line_out["difference"] = shell.differs.to_dict()
            out(json.dumps(line_out, ensure_ascii=False, default=str))
            if failure is not None:
                wrong(f"{asked.question!r} failed: {' '.join(words(failure).split())[:200]}")
                code = 1
    if not totals.questions and not code:
        wrong("no question came: one a line is wanted")
        return 2
    return code
