"""What the demo says about input that it cannot use."""

from __future__ import annotations

from pathlib import Path


class DemoInputError(ValueError):
    """A document, golden file or directory that cannot be used; names file, line and what to do.

    >>> str(DemoInputError("docs.jsonl", "not JSON", line=7, advice="one JSON object a line"))
    'docs.jsonl, line 7: not JSON; one JSON object a line'
    """

    def __init__(self, path: Path | str, problem: str, *, line: int | None = None, advice: str = "") -> None:
        self.path = Path(path)
        self.line = line
        self.problem = problem
        self.advice = advice
        where = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{where}: {problem}" + (f"; {advice}" if advice else ""))
