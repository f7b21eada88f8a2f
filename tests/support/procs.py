"""Real processes for tests: started, read, and gone at the end, whatever happens."""

from __future__ import annotations

import atexit
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.support.paths import ROOT
from tests.support.wait import wait_until

_alive: set[int] = set()  # process groups that we started


class Process:
    """A child in a process group of its own; a context manager that ends the whole group by its id.

    ``stdout`` and ``stderr`` hold the lines so far. Its stdin is a pipe that closes when we are gone.
    """

    def __init__(
        self, args: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self._popen = subprocess.Popen(
            [str(arg) for arg in args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd or ROOT,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        _alive.add(self.pid)
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._readers = [
            threading.Thread(target=_read, args=(stream, lines), daemon=True)
            for stream, lines in ((self._popen.stdout, self.stdout), (self._popen.stderr, self.stderr))
        ]
        for reader in self._readers:
            reader.start()

    @classmethod
    def python(cls, *args: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Self:
        """The interpreter of the tests with these arguments."""
        return cls([sys.executable, *args], env=env, cwd=cwd)

    @property
    def returncode(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._popen.poll()

    def wait_line(self, pattern: str, timeout_s: float = 20.0) -> str:
        """The first line on either stream that matches; fails at once when the process ends without."""

        def found() -> str | None:
            ended = self.returncode is not None
            if ended:
                self._finish_reading()
            for line in [*self.stdout, *self.stderr]:
                if re.search(pattern, line):
                    return line
            if ended:
                raise AssertionError(f"it ended with {self.returncode} before {pattern!r}:\n{self.output}")
            return None

        try:
            line = wait_until(found, timeout_s, what=f"a line that matches {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None
        assert line is not None
        return line

    def wait(self, timeout_s: float = 20.0) -> int:
        """Its exit code once it has ended by itself, with all of its output read."""
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {timeout_s:g} s:\n{self.output}") from None
        self._finish_reading()
        return code

    def say(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n".encode())
        self._popen.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self, timeout_s: float = 20.0) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self) -> int:
        """SIGKILL to the process alone, as ``kill -9`` does, and its exit code."""
        self.signal(signal.SIGKILL)
        return self.wait()

    @property
    def output(self) -> str:
        """All that it said, for messages."""
        return "\n".join([*self.stdout, *self.stderr])

    def close(self) -> None:
        """End the whole group, gently first."""
        if self._popen.stdin:
            with suppress(OSError):
                self._popen.stdin.close()
        if self.returncode is None:
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(5)
        _kill_group(self.pid)
        self._popen.wait(10)
        self._finish_reading()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _finish_reading(self) -> None:
        for reader in self._readers:
            reader.join(5)


def _read(stream: IO[bytes] | None, lines: list[str]) -> None:
    assert stream is not None
    with stream:
        for line in stream:  # one by one: others look at the list meanwhile
            lines.append(line.decode(errors="replace").rstrip("\n"))  # noqa: PERF401


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    _alive.discard(group)


@atexit.register
def _kill_what_is_left() -> None:
    for group in list(_alive):
        _kill_group(group)
