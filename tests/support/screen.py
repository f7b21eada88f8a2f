"""A command in a real terminal, and what its screen shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

import pexpect
import pyte

from tests.support.paths import ROOT
from tests.support.wait import wait_until


class Screen:
    """``python …`` on a pseudo-terminal of a size; a context manager that ends it."""

    def __init__(self, *args: str, columns: int = 80, rows: int = 24, env: Mapping[str, str] | None = None) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        full = {**kept, "TERM": "xterm-256color", **(env or {})}
        self.process = pexpect.spawn(sys.executable, list(args), dimensions=(rows, columns), env=full, cwd=str(ROOT))

    @property
    def lines(self) -> list[str]:
        """The lines that the screen shows now, without what is blank at their ends."""
        with suppress(pexpect.TIMEOUT, pexpect.EOF):
            while True:
                found = self.process.read_nonblocking(65536, timeout=0.05)
                self.raw += found
                self._stream.feed(found)
        return [line.rstrip() for line in self._screen.display]

    def wait(self, *words: str, timeout_s: float = 20.0) -> list[str]:
        """The lines of the screen as soon as it shows every one of the words."""

        def there() -> list[str] | None:
            lines = self.lines
            return lines if all(any(word in line for line in lines) for word in words) else None

        try:
            found = wait_until(there, timeout_s)
        except AssertionError:
            raise AssertionError(f"{words} are not on the screen:\n" + "\n".join(self.lines)) from None
        assert found is not None
        return found

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal another size."""
        self._screen.resize(rows, columns)
        self.process.setwinsize(rows, columns)

    def press(self, keys: str) -> None:
        """Type."""
        self.process.send(keys)

    def ended(self, timeout_s: float = 10.0) -> int | None:
        """Its exit code, once it has ended."""
        wait_until(lambda: (self.lines, not self.process.isalive())[1], timeout_s, what="the command to end")
        code: int | None = self.process.exitstatus
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.close(force=True)
