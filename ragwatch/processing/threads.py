"""Worker threads that can be given up: a call that hangs keeps its thread, and another thread takes its place."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic, time_ns
from typing import Any

from ragwatch.errors import RagwatchError
from ragwatch.processing.failure import failure_of, hang
from ragwatch.processing.work import Done, attempt, ended, is_async


class TooManyHang(RagwatchError):
    """As many calls hang as may be given up."""


class _Slot:
    """One thread and what it is at."""

    __slots__ = ("given_up", "lock", "started", "token")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.token: int | None = None
        self.started = 0.0
        self.given_up = False


class Threads:
    """``workers`` threads over one queue. ``timeout`` seconds a call; at most ``max_hanging`` hang at a time."""

    def __init__(
        self, function: Callable[[Any], Any], *, workers: int, timeout: float | None, max_hanging: int, keep_value: bool
    ) -> None:
        self._function = function
        self._timeout = timeout
        self._max_hanging = max_hanging
        self._keep_value = keep_value
        self._is_async = is_async(function)
        self._context = contextvars.copy_context()
        self._todo: SimpleQueue[tuple[int, Any] | None] = SimpleQueue()
        self._done: SimpleQueue[Done] = SimpleQueue()
        self._slots: list[_Slot] = []
        self._ready: deque[Done] = deque()
        self._lock = threading.Lock()
        self._hanging = 0
        for _ in range(workers):
            self._start()

    def submit(self, batch: Sequence[tuple[int, Any]]) -> None:
        """Queue documents."""
        for work in batch:
            self._todo.put(work)

    def withdraw(self) -> list[int]:
        """Take back what has not begun."""
        found = []
        with suppress(Empty):
            while (work := self._todo.get_nowait()) is not None:
                found.append(work[0])
        return found

    def poll(self, timeout_s: float) -> list[Done]:
        """What has ended; waits at most so long for the first."""
        if self._timeout is not None:
            self._give_up_on_the_late()
        found = list(self._ready)
        self._ready.clear()
        return found + ended(self._done, 0.0 if found else timeout_s)

    def next_timeout(self) -> float | None:
        """Seconds until a call that runs now is late."""
        if self._timeout is None:
            return None
        now = monotonic()
        left = [slot.started + self._timeout - now for slot in self._slots if slot.token is not None]
        return max(0.0, min(left)) if left else self._timeout  # what is queued may begin at any moment

    def close(self) -> None:
        """End the threads as they come free; those that hang are daemons and end with the process."""
        for _ in self._slots:
            self._todo.put(None)

    def _start(self) -> None:
        slot = _Slot()
        self._slots.append(slot)
        context = self._context.copy()
        threading.Thread(target=context.run, args=(self._run, slot), name="ragwatch-ingest", daemon=True).start()

    def _run(self, slot: _Slot) -> None:
        if self._is_async:
            import asyncio

            with asyncio.Runner() as runner:
                self._work(slot, lambda token, document: runner.run(self._awaited(token, document)))
        else:
            self._work(slot, lambda token, document: attempt(self._function, document, token, self._keep_value, True))

    def _work(self, slot: _Slot, run: Callable[[int, Any], Done]) -> None:
        while True:
            work = self._todo.get()
            if work is None:
                return
            slot.started = monotonic()
            slot.token = work[0]
            done = run(*work)
            with slot.lock:
                slot.token = None
                given_up = slot.given_up
            if given_up:
                with self._lock:
                    self._hanging -= 1
                return
            self._done.put(done)

    async def _awaited(self, token: int, document: Any) -> Done:
        import asyncio

        start_ns = time_ns()
        try:
            async with asyncio.timeout(self._timeout) as limit:
                value = await self._function(document)
        except BaseException as error:  # noqa: BLE001  (a document's failure is a value here)
            failure = hang(self._timeout or 0.0, "it was cancelled") if limit.expired() else failure_of(error)
            return Done(token, failure, None, start_ns, time_ns(), error)
        return Done(token, None, value if self._keep_value else None, start_ns, time_ns())

    def _give_up_on_the_late(self) -> None:
        now = monotonic()
        grace = 1.0 if self._is_async else 0.0  # async code is cancelled first
        for slot in list(self._slots):
            with slot.lock:
                token = slot.token
                if token is None or now - slot.started < (self._timeout or 0) + grace:
                    continue
                slot.given_up = True
            self._slots.remove(slot)
            with self._lock:
                self._hanging += 1
                hanging = self._hanging
            took_ns = int((now - slot.started) * 1e9)
            failure = hang(self._timeout or 0.0, "its thread hangs")
            self._ready.append(Done(token, failure, None, time_ns() - took_ns, time_ns()))
            if hanging > self._max_hanging:
                raise TooManyHang(
                    f"{hanging} calls hang, more than may be given up ({self._max_hanging}): "
                    "raise timeout=, or end them for sure with isolation='process'"
                )
            self._start()
