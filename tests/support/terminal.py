"""A real terminal: a child on a pty, and what its screen shows."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import monotonic
from typing import Self

import pexpect
import pyte

from tests.support.paths import ROOT


class Terminal:
    """A Python child in a terminal of ``rows`` and ``columns``; a context manager that ends it by its pid."""

    def __init__(self, *args: str | Path, cwd: Path, rows: int = 60, columns: int = 110) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": str(columns)}
        env.pop("NO_COLOR", None)
        self._child = pexpect.spawn(
            sys.executable, [str(arg) for arg in args], cwd=str(cwd), env=env, dimensions=(rows, columns), timeout=20
        )
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""

    def type(self, text: str) -> None:
        """Type a line."""
        self._child.send(text + "\r")

    def press(self, keys: str) -> None:
        """Press keys: ``\\x03`` is Ctrl-C, ``\\x04`` Ctrl-D."""
        self._child.send(keys)

    def lines(self) -> list[str]:
        """The screen's lines, less what is blank at their end."""
        self._read(0.05)
        return [line.rstrip() for line in self._screen.display]

    def shows(self, *texts: str, within_s: float = 20.0) -> str:
        """The screen once all texts are on it."""
        until = monotonic() + within_s
        while monotonic() < until:
            self._read(0.1)
            screen = "\n".join(line.rstrip() for line in self._screen.display)
            if all(text in screen for text in texts):
                return screen
        missing = [text for text in texts if text not in "\n".join(self._screen.display)]
        raise AssertionError(f"{missing} did not come; the screen:\n" + "\n".join(self.lines()))

    def wait(self) -> int:
        """Its exit code."""
        self._child.expect(pexpect.EOF)
        self._feed(self._child.before or b"")
        self._child.close()
        return int(self._child.exitstatus if self._child.exitstatus is not None else -self._child.signalstatus)

    def _read(self, timeout_s: float) -> None:
        try:
            self._feed(self._child.read_nonblocking(65536, timeout_s))
        except (pexpect.TIMEOUT, pexpect.EOF):
            return

    def _feed(self, data: bytes) -> None:
        self.raw += data
        self._stream.feed(data)
        for _ in range(data.count(b"\x1b[6n")):  # where is the cursor?
            self._child.send(f"\x1b[{self._screen.cursor.y + 1};{self._screen.cursor.x + 1}R")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)
