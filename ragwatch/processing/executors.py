"""Other places to run: any ``concurrent.futures.Executor``, and processes that are ended when they hang."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from time import time_ns
from typing import Any

from ragwatch.errors import ConfigError, RagwatchError
from ragwatch.processing.failure import Failure, failure_of, hang, named_failure
from ragwatch.processing.work import Done, attempt, attempts, ended


class Futures:
    """Documents on an executor that the app brings; its own limits hold there. ``batch`` documents travel together."""

    def __init__(self, executor: Executor, function: Callable[[Any], Any], *, batch: int, keep_value: bool) -> None:
        self._executor = executor
        self._function = function
        self._batch = batch
        self._keep_value = keep_value
        self._done: SimpleQueue[list[Done]] = SimpleQueue()
        self._parts: dict[Future[list[Done]], Sequence[tuple[int, Any]]] = {}
        self._unsent: list[int] = []
        self._withdrawn = False

    def submit(self, batch: Sequence[tuple[int, Any]]) -> None:
        """Hand documents to the executor; one that cannot travel there fails, and only it."""
        for start in range(0, len(batch), self._batch):
            try:
                self._send(list(batch[start : start + self._batch]))
            except RuntimeError as error:  # BrokenExecutor, or it was shut down
                self._unsent = [token for token, _ in batch[start:]]
                raise RagwatchError(
                    f"the executor is broken ({error}); what was in flight is resumed by the next run, each document "
                    "alone. isolation='process' ends only the document that killed its worker"
                ) from error

    def _send(self, part: list[tuple[int, Any]]) -> None:
        try:
            future = self._executor.submit(attempts, self._function, part, self._keep_value)
        except RuntimeError:
            raise
        except Exception as error:  # noqa: BLE001  (Dask's says at once what cannot be pickled)
            if len(part) > 1:
                for one in part:
                    self._send([one])
            else:
                now = time_ns()
                self._done.put([Done(part[0][0], failure_of(error), None, now, now)])
            return
        self._parts[future] = part
        future.add_done_callback(lambda future: self._ended(future, part))

    def withdraw(self) -> list[int]:
        """Take back what has not begun."""
        self._withdrawn = True
        back, self._unsent = self._unsent, []
        for future, part in list(self._parts.items()):
            if future.cancel():
                back += [token for token, _ in part]
        return back

    def _ended(self, future: Future[list[Done]], part: Sequence[tuple[int, Any]]) -> None:
        self._parts.pop(future, None)
        if future.cancelled() and self._withdrawn:
            return
        now = time_ns()
        try:
            self._done.put(future.result())
        except BaseException as error:  # noqa: BLE001  (the worker died, or the document could not travel)
            self._done.put([Done(token, _lost(error), None, now, now) for token, _ in part])

    def poll(self, timeout_s: float) -> list[Done]:
        """What has ended; waits at most so long for the first."""
        return [one for part in ended(self._done, timeout_s) for one in part]

    def next_timeout(self) -> float | None:
        """The executor has limits of its own."""
        return None

    def close(self) -> None:
        """The executor is the app's to end."""


def _lost(error: BaseException) -> Failure:
    """The failure of a batch that did not come back: its worker died (or Ctrl-C reached it), or it could not travel."""
    failure = failure_of(error)
    if any(word in failure.error_type for word in ("Worker", "Broken", "KeyboardInterrupt")):
        return failure._replace(transient=True, lost=True)
    return failure._replace(transient=True) if "Cancelled" in failure.error_type else failure


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
        import pickle

        try:
            pickle.dumps(function)
        except Exception as error:
            raise ConfigError(
                "function",
                f"cannot travel to another process ({error}): name a function that a module defines, no lambda or "
                "inner function",
                source="isolation='process'",
            ) from error
        self._function = function
        self._timeout = timeout
        self._keep_value = keep_value
        # spawned, not forked: this process has threads
        self._pool: Any = ProcessPool(
            max_workers=workers, context=multiprocessing.get_context("spawn"), initializer=_child
        )
        self._done: SimpleQueue[Done] = SimpleQueue()
        self._futures: dict[int, Any] = {}

    def submit(self, batch: Sequence[tuple[int, Any]]) -> None:
        """Queue documents for the processes."""
        for token, document in batch:
            future = self._pool.schedule(
                attempt, args=(self._function, document, token, self._keep_value), timeout=self._timeout
            )
            self._futures[token] = future
            future.add_done_callback(lambda future, token=token: self._ended(future, token))

    def withdraw(self) -> list[int]:
        """Take back what has not begun."""
        return [token for token, future in list(self._futures.items()) if not future.running() and future.cancel()]

    def _ended(self, future: Any, token: int) -> None:
        self._futures.pop(token, None)
        if future.cancelled():
            return
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
        return ended(self._done, timeout_s)

    def next_timeout(self) -> float | None:
        """The pool watches the time itself."""
        return None

    def close(self) -> None:
        """End the processes."""
        self._pool.stop()
        self._pool.join(timeout=10)


def _child() -> None:
    """In a parser's process: the coordinator alone ends it, and its death ends this process, whatever hangs here."""
    import multiprocessing
    import signal
    import threading

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches every process
    parent = multiprocessing.parent_process()

    def end_with_it() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_it, name="ragwatch-parent", daemon=True).start()
