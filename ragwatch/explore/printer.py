"""Text on its way to the terminal: written by a thread of its own, so that a slow terminal is no part of a query."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Printer:
    """``write`` never waits; ``flush`` waits until all is out.

    >>> out = []
    >>> printer = Printer(out.append)
    >>> printer.write("a"); printer.write("b"); printer.flush()
    >>> "".join(out)
    'ab'
    """

    def __init__(self, out: Callable[[str], None]) -> None:
        self._out = out
        self._queue: SimpleQueue[str | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> None:
        """Hand text over."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="explore-printer", daemon=True)
            self._thread.start()
        self._queue.put(text)

    def flush(self) -> None:
        """Wait until what was handed over is written."""
        if self._thread is None:
            return
        done = threading.Event()
        self._queue.put(done)
        done.wait()

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                self._out(item)
