"""The prompt: history, completion of commands, Ctrl-C ends the query, Ctrl-D leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from ragwatch.errors import RagwatchError
from ragwatch.explore.shell import COMMANDS, Leave, Shell
from ragwatch.explore.view import Line


class Commands(Completer):
    """Completes what begins with a slash."""

    def get_completions(self, document: Document, _complete_event: CompleteEvent) -> Iterable[Completion]:
        """The commands that begin as what stands before the cursor."""
        typed = document.text_before_cursor
        if not typed.startswith("/") or " " in typed:
            return
        for name, command in COMMANDS.items():
            if name.startswith(typed):
                shown = f"{name} {command.takes}".rstrip()
                yield Completion(name, start_position=-len(typed), display=shown, display_meta=command.does)


def history_file() -> Path:
    """``$XDG_STATE_HOME/ragwatch/explore_history``, or below ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "ragwatch" / "explore_history"


def converse(shell: Shell, show: Callable[[Iterable[Line]], None], *, history: Path | None) -> int:
    """Read lines until Ctrl-D or ``/quit``; 0."""
    session: PromptSession[str] = PromptSession(history=_history(history), completer=Commands())
    while True:
        try:
            text = session.prompt("› ")
        except EOFError:
            return 0
        except KeyboardInterrupt:
            continue
        try:
            shell.line(text)
        except KeyboardInterrupt:
            show([Line("cancelled", "yellow")])
        except RagwatchError as error:
            show([Line(str(error), "red")])
        except Leave:
            return 0


def _history(path: Path | None) -> History:
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
