"""What every process of the agent does: watch its parent, end on SIGTERM, say what is wrong."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

ORPHANED = 3
"""Exit code of a child whose supervisor has gone."""


def stop_event() -> threading.Event:
    """An event that SIGTERM or SIGINT sets."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return stopping


def die_with_parent() -> None:
    """End at once when the supervisor is gone: our standard input is its pipe, and a pipe ends with its writer.

    A child that lived on would hold the ports against the next start. Nothing is lost: what was acked is on disk.
    """

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def say(role: str, message: str) -> None:
    """One line to standard error."""
    print(f"ragwatch agent {role}: {message}", file=sys.stderr, flush=True)  # noqa: T201
