"""Children that always end."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.procs import Process
from tests.support.wait import wait_until


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_child_is_read_and_ends_with_its_code() -> None:
    with Process.python("-c", "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)") as child:
        assert child.wait_line("t.o") == "two"
        assert child.wait() == 3
        assert (child.stdout, child.stderr) == (["one"], ["two"])


def test_its_group_is_gone_afterwards() -> None:
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('pid', inner.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with Process.python("-c", code) as child:
        inner = int(child.wait_line("^pid ").split()[1])
        assert not gone(inner)
    assert child.returncode == -signal.SIGTERM
    wait_until(lambda: gone(inner) or b"State:\tZ" in _status(inner))


def _status(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b"State:\tZ"


def test_a_line_that_never_comes_fails_at_once() -> None:
    with Process.python("-c", "print('bye')") as child, pytest.raises(AssertionError, match="bye"):
        child.wait_line("hello", timeout_s=60)


def test_kill_is_kill() -> None:
    with Process.python("-c", "print('up', flush=True); input()") as child:
        child.wait_line("up")
        assert child.kill() == -signal.SIGKILL


def test_wait_until_says_what_it_saw() -> None:
    with pytest.raises(AssertionError, match=r"within 0.01 s: the thing; last seen: 0"):
        wait_until(lambda: 0, 0.01, what="the thing")
