"""The thread that hands questions over is woken before others, where the process may say so (Linux, CAP_SYS_NICE)."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Self


class Priority:
    """Realtime priority of the calling thread, within a ``with``; threads that it starts have the usual one.

    It sleeps but for some microseconds a question, so that it takes nothing away. Where it is behind and does not
    sleep any more it would keep the app from the core: ``hold(False)`` until it has caught up. Where it is not allowed
    nothing happens.
    """

    def __init__(self) -> None:
        self._held = False
        self._may = sys.platform == "linux"

    def hold(self, first: bool) -> None:
        """Be woken first, or as every other thread."""
        if sys.platform != "linux" or first is self._held or not self._may:
            return
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK if first else os.SCHED_OTHER
        try:
            os.sched_setscheduler(threading.get_native_id(), policy, os.sched_param(int(first)))
            self._held = first
        except OSError:
            self._may = False

    def __enter__(self) -> Self:
        if sys.platform == "linux":
            with suppress(OSError):  # whoever set a policy of his own keeps it
                self._may = os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER
        self.hold(True)
        return self

    def __exit__(self, *_: object) -> None:
        self.hold(False)
