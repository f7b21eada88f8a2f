"""Questions from a pipe or the command line: one a line in, one JSON object a line out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from ragwatch.errors import RagwatchError
from ragwatch.explore.shell import Leave, Shell
from ragwatch.target.url import UrlError


def answer_lines(
    shell: Shell,
    lines: Iterable[str],
    *,
    out: Callable[[str], None],
    wrong: Callable[[str], None],
    words: Callable[[BaseException], str],
) -> int:
    """Carry every line out; 1 where a question failed or a command was wrong, else 0.

    ``out`` takes a JSON object a question, ``wrong`` what cannot be carried out; ``words`` says what an error means.
    """
    code, asked_any = 0, False
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
            asked_any = True
            failure = asked.answer.error
            if isinstance(failure, UrlError) and failure.status is None:  # no RAG app is there: nothing else will help
                wrong(str(failure))
                return 2
            out(json.dumps(asked.to_dict(), ensure_ascii=False, default=str))
            if failure is not None:
                wrong(f"{asked.question!r} failed: {' '.join(words(failure).split())[:200]}")
                code = 1
    if not asked_any and not code:
        wrong("no question came: one a line is wanted")
        return 2
    return code
