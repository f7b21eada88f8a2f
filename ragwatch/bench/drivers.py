"""What carries jobs out: threads for plain functions, an event loop for coroutines.

``shoot`` carries one job out; ``follow`` says what its user does next: a pause in seconds and another job, or None
(every job of an open loop). No more than ``limit`` are carried out at once; further ones wait, and their wait counts.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Protocol

from ragwatch.bench.shot import Job

Follow = Callable[[Job], tuple[float, Job] | None]


class Driver(Protocol):
    """Carries jobs out."""

    def submit(self, job: Job) -> None:
        """Take a job; never waits."""

    def unfinished(self) -> int:
        """Jobs that were taken and have not ended."""

    def abandon(self) -> int:
        """Drop the jobs that have not begun; how many."""

    def close(self) -> None:
        """Take no more; what runs is left to end."""


class Threads:
    """A pool of daemon threads that grows as it is needed: one that hangs in the app does not hold the exit."""

    def __init__(self, shoot: Callable[[Job], None], follow: Follow, limit: int) -> None:
        self._shoot, self._follow, self._limit = shoot, follow, limit
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._taken = 0
        self._ended = 0

    def submit(self, job: Job) -> None:
        """Take a job; a thread is added where none is free."""
        with self._lock:
            self._taken += 1
            grows = self._taken - self._ended > self._threads and self._threads < self._limit
            self._threads += grows
        self._queue.put(job)
        if grows:
            threading.Thread(target=self._work, name=f"bench-{self._threads}", daemon=True).start()

    def unfinished(self) -> int:
        """Jobs that were taken and have not ended."""
        return self._taken - self._ended

    def abandon(self) -> int:
        """Drop the jobs that wait for a thread."""
        dropped = 0
        while True:
            try:
                self._queue.get_nowait()
            except Empty:
                break
            dropped += 1
        with self._lock:
            self._ended += dropped
        return dropped

    def close(self) -> None:
        """End the threads as they come free."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _work(self) -> None:
        job: Job | None
        while True:
            job = self._queue.get()
            if job is None:
                return
            while job is not None:
                self._shoot(job)
                found = self._follow(job)
                job = None
                if found is not None:
                    pause_s, job = found
                    if pause_s > 0:
                        sleep(pause_s)
            with self._lock:
                self._ended += 1


class Loop:
    """An event loop on a thread of its own."""

    def __init__(self, shoot: Callable[[Job], Awaitable[None]], follow: Follow, limit: int) -> None:
        self._shoot, self._follow = shoot, follow
        self._loop = asyncio.new_event_loop()
        self._room = asyncio.Semaphore(limit)
        self._jobs: deque[Job] = deque()
        self._is_called = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        self._taken = 0
        self._ended = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name="bench-loop", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._taken += 1
        self._jobs.append(job)
        if not self._is_called:  # waking a loop that is awake would cost its thread, and this one, a turn each
            self._is_called = True
            self._loop.call_soon_threadsafe(self._take)

    def unfinished(self) -> int:
        """Jobs that were taken and have not ended."""
        return self._taken - self._ended

    def abandon(self) -> int:
        """Drop the jobs that wait for room."""

        async def drop() -> int:
            for task in (found := list(self._waiting)):
                task.cancel()
            await asyncio.gather(*found, return_exceptions=True)
            return len(found)

        try:
            return asyncio.run_coroutine_threadsafe(drop(), self._loop).result(10)
        except TimeoutError:  # the app holds the loop
            return 0

    def close(self) -> None:
        """Cancel what still runs, and end the loop."""

        async def cancel() -> None:
            for task in (found := list(self._tasks)):
                task.cancel()
            await asyncio.gather(*found, return_exceptions=True)
            await self._loop.shutdown_asyncgens()

        future = asyncio.run_coroutine_threadsafe(cancel(), self._loop)
        until = monotonic() + 5
        while not future.done() and monotonic() < until:
            sleep(0.01)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1)

    def _take(self) -> None:
        self._is_called = False
        while self._jobs:
            task = self._loop.create_task(self._run(self._jobs.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._ended += 1

    async def _run(self, job: Job) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._waiting.add(task)
        try:
            await self._room.acquire()
        finally:
            self._waiting.discard(task)
        try:
            found: tuple[float, Job] | None = (0.0, job)
            while found is not None:
                await self._shoot(found[1])
                found = self._follow(found[1])
                if found is not None:
                    await asyncio.sleep(found[0])  # 0 too: an app that never waits must not keep the others out
        finally:
            self._room.release()
