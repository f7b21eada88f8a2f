"""The thread that hands questions over is preferred by the system, where that may be had; the app's threads are not.

Linux gives each thread a nice value of its own, and a negative one to root (or ``CAP_SYS_NICE``) alone: anybody else's
bench goes on as it is. On cores that others keep busy the schedule error halves (docs/design.md has the figures).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import get_native_id

NICE = -15


def nice() -> int | None:
    """The nice value of the calling thread; None where threads have none of their own."""
    return os.getpriority(os.PRIO_PROCESS, get_native_id()) if sys.platform == "linux" else None


def settle(value: int | None) -> None:
    """Give the calling thread a nice value; nothing happens where that is not allowed."""
    if value is not None and sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), value)


@contextmanager
def urgent() -> Iterator[None]:
    """Prefer the calling thread within the block. Threads that it begins there inherit that: they ``settle``."""
    before = nice()
    settle(None if before is None else min(before, NICE))
    try:
        yield
    finally:
        settle(before)
