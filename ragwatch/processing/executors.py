"""Other places to run: any ``concurrent.futures.Executor``, and processes that are ended when they hang."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from queue import Empty, SimpleQueue
from time import time_ns
from typing import Any

from ragwatch.errors import RagwatchError
from ragwatch.processing.failure import Failure, failure_of, hang, named_failure
from ragwatch.processing.work import Done, attempt, attempts


class Futures:
    """Documents on an executor that the app brings; its own limits hold there. ``batch`` documents travel together."""

    def __init__(self, executor: Executor, function: Callable[[Any], Any], *, batch: int, keep_value: bool) -> None:
        self._executor = executor
        self._function = function
        self._batch = batch
        self._keep_value = keep_value
        self._done: SimpleQueue[list[Done]] = SimpleQueue()
        self.hanging = self.late = 0

    def submit(self, batch: Sequence[tuple[int, Any]]) -> None:
        """Hand documents to the executor."""
        for start in range(0, len(batch), self._batch):
            part = list(batch[start : start + self._batch])
            try:
                future = self._executor.submit(attempts, self._function, part, self._keep_value)
            except BrokenExecutor as error:
                raise RagwatchError(
                    f"the executor is broken ({error}); what was in flight is resumed by the next run. "
                    "isolation='process' ends only the document that killed its worker"
                ) from error
            future.add_done_callback(lambda future, part=part: self._ended(future, part))  # type: ignore[misc]

    def _ended(self, future: Future[list[Done]], part: list[tuple[int, Any]]) -> None:
        now = time_ns()
        try:
            self._done.put(future.result())
        except BaseException as error:  # noqa: BLE001  (the worker died, or the document could not travel)
            self._done.put([Done(token, _lost(error), None, now, now) for token, _ in part])

    def poll(self, timeout_s: float) -> list[Done]:
        """What has ended; waits at most so long for the first."""
        found: list[Done] = []
        try:
            found += self._done.get(timeout=timeout_s)
            while True:
                found += self._done.get_nowait()
        except Empty:
            return found

    def next_timeout(self) -> float | None:
        """The executor has limits of its own."""
        return None

    def close(self) -> None:
        """The executor is the app's to end."""


def _lost(error: BaseException) -> Failure:
    failure = failure_of(error)
    return (
        failure._replace(transient=True)
        if "Worker" in failure.error_type or "Broken" in failure.error_type
        else failure
    )


class Processes:
    """A process for each running document's parser (pebble): one that hangs or dies is ended, and only it."""

    def __init__(
        self, function: Callable[[Any], Any], *, workers: int, timeout: float | None, keep_value: bool
    ) -> None:
        try:
            from pebble import ProcessPool
        except ImportError:
            raise RagwatchError("isolation='process' needs its extra: pip install 'ragwatch[isolation]'") from None
        import multiprocessing

        self._function = function
        self._timeout = timeout
        self._keep_value = keep_value
        # spawned, not forked: this process has threads
        self._pool: Any = ProcessPool(max_workers=workers, context=multiprocessing.get_context("spawn"))
        self._done: SimpleQueue[Done] = SimpleQueue()
        self.hanging = self.late = 0

    def submit(self, batch: Sequence[tuple[int, Any]]) -> None:
        """Queue documents for the processes."""
        for token, document in batch:
            future = self._pool.schedule(
                attempt, args=(self._function, document, token, self._keep_value), timeout=self._timeout
            )
            future.add_done_callback(lambda future, token=token: self._ended(future, token))

    def _ended(self, future: Any, token: int) -> None:
        now = time_ns()
        try:
            self._done.put(future.result())
        except TimeoutError:
            self._done.put(Done(token, hang(self._timeout or 0.0, "its process was ended"), None, now, now))
        except BaseException as error:  # noqa: BLE001  (ProcessExpired, or a document that cannot be pickled)
            failure = failure_of(error)
            if type(error).__name__ == "ProcessExpired":
                message = f"its process died with exit code {getattr(error, 'exitcode', None)}"
                failure = named_failure("WorkerDied", message, transient=False)
            self._done.put(Done(token, failure, None, now, now))

    def poll(self, timeout_s: float) -> list[Done]:
        """What has ended; waits at most so long for the first."""
        found: list[Done] = []
        try:
            found.append(self._done.get(timeout=timeout_s))
            while True:
                found.append(self._done.get_nowait())
        except Empty:
            return found

    def next_timeout(self) -> float | None:
        """The pool watches the time itself."""
        return None

    def close(self) -> None:
        """End the processes."""
        self._pool.stop()
        self._pool.join(timeout=10)
