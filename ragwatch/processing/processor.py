"""``DocumentProcessor``: documents through a function, each on its own, resumable, with nothing lost.

One thread coordinates: it reads the input, leases in the ledger, hands out, records. Documents in flight are those that
are leased and not yet recorded: as many as keep the workers busy, at most ``max_in_flight``, so that a crash costs no
more than those once more.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Literal, cast

from ragwatch.errors import ConfigError
from ragwatch.processing.dead_letter import write_letters
from ragwatch.processing.executors import Futures, Processes
from ragwatch.processing.feed import Feed
from ragwatch.processing.item import Key
from ragwatch.processing.ledger import Ledger
from ragwatch.processing.result import DocResult, ProcessingResult
from ragwatch.processing.run import Run
from ragwatch.processing.tally import tally_of
from ragwatch.processing.telemetry import name_of, stepped
from ragwatch.processing.threads import Threads
from ragwatch.processing.workers import Workers
from ragwatch.resilience.breaker import CircuitBreaker
from ragwatch.resilience.retry_policy import RetryPolicy
from ragwatch.resilience.retryable import transient

_DEFAULT: Any = object()


class DocumentProcessor:
    """Puts documents (paths, URIs, mappings, any objects) through ``function``, ``workers`` at a time.

    Each document ends as *ok*, *failed* (tried again by a later run; ``retry_at`` says when), *deferred* (its
    dependency's breaker was open: no attempt was used up), *dead* (``max_attempts`` used, or the same failure twice)
    or *unchanged* (done before with the same content and ``version``). With ``ledger`` (a file) all of this survives
    ``kill -9``.

    ``breaker`` guards the dependency: only its faults feed it (time-outs, lost connections, 429, 5xx), unless you
    bring your own. While it is open the run waits, for ``breaker_wait`` seconds in all, then defers the rest. A
    ``CircuitOpen`` of the function's own defers the document too. ``retry`` is for faults that pass, within the run.

    A document of more than ``max_bytes`` is dead without being read. ``timeout`` is seconds a document. On threads a
    call that hangs keeps its thread and is given up, at most ``max_hanging`` times; with ``isolation="process"`` its
    process is ended. ``executor`` is any ``concurrent.futures.Executor``, such as Dask's or Ray's, where ``batch``
    documents travel together.

    >>> processor = DocumentProcessor(str.upper, pipeline="doctest")
    >>> processor.process(["a", "b", "a"]).success_count
    2
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        pipeline: str = "default",
        version: str = "1",
        workers: int | None = None,
        executor: Executor | None = None,
        isolation: Literal["thread", "process"] = "thread",
        batch: int = 1,
        breaker: CircuitBreaker | None = _DEFAULT,
        breaker_wait: float = 300.0,
        retry: RetryPolicy | None = _DEFAULT,
        ledger: str | os.PathLike[str] | None = None,
        dead_letter: str | os.PathLike[str] | None = None,
        key: Key | None = None,
        max_attempts: int = 5,
        max_bytes: int | None = None,
        timeout: float | None = 120.0,
        max_in_flight: int | None = None,
        max_hanging: int = 16,
        progress: Callable[[ProcessingResult], object] | None = None,
    ) -> None:
        self.workers = workers if workers is not None else min(32, (os.cpu_count() or 1) + 4)
        for name, value in (
            ("workers", self.workers),
            ("batch", batch),
            ("max_attempts", max_attempts),
            ("max_in_flight", max_in_flight),
        ):
            if value is not None and value < 1:
                raise ConfigError(name, f"{value!r} is less than 1", source="DocumentProcessor")
        if timeout is not None and not timeout > 0:
            raise ConfigError("timeout", f"{timeout!r} is not more than 0 seconds", source="DocumentProcessor")
        if isolation not in {"thread", "process"}:
            raise ConfigError("isolation", f"{isolation!r} is not thread or process", source="DocumentProcessor")
        self.function = function
        self.pipeline = pipeline
        self.version = version
        self.breaker = CircuitBreaker(f"ingest.{pipeline}", record=transient) if breaker is _DEFAULT else breaker
        self.retry = RetryPolicy(f"ingest.{pipeline}", max_retries=2) if retry is _DEFAULT else retry
        self.breaker_wait = breaker_wait
        self.max_attempts = max_attempts
        self.max_bytes = max_bytes
        self.max_in_flight = max_in_flight or max(256, 4 * self.workers, 4 * batch)
        self.key = key
        self.progress = progress
        self._executor = executor
        self._isolation = isolation
        self._batch = batch
        self._timeout = timeout
        self._max_hanging = max_hanging
        self._ledger_path = ledger
        self._dead_letter = dead_letter
        self._stop = threading.Event()
        self.last: ProcessingResult | None = None
        """The sums of the run that is going on, or of the last one."""

    def process(self, documents: Iterable[Any]) -> ProcessingResult:
        """Process all documents; their sums. The input is read as it is needed and never held as a whole."""
        self._stop.clear()
        return self._all(documents)

    def iter(self, documents: Iterable[Any]) -> Iterator[DocResult]:
        """Process all documents; each outcome with the function's value, once it is recorded."""
        self._stop.clear()
        return self._results(documents, ProcessingResult(), keep_value=True)

    async def aprocess(self, documents: Iterable[Any] | AsyncIterable[Any]) -> ProcessingResult:
        """The same beside an event loop; the input may be async. Cancelling it ends the run in good order first."""
        import asyncio

        self._stop.clear()
        feed = Feed(self.max_in_flight) if isinstance(documents, AsyncIterable) else None
        filling = None if feed is None else asyncio.ensure_future(feed.fill(cast("AsyncIterable[Any]", documents)))
        running = asyncio.ensure_future(asyncio.to_thread(self._all, cast("Iterable[Any]", feed or documents)))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait({running})
            raise
        finally:
            if filling is not None:
                filling.cancel()

    def _all(self, documents: Iterable[Any]) -> ProcessingResult:
        result = ProcessingResult()
        for _ in self._results(documents, result, keep_value=False):
            pass
        return result

    @property
    def is_local(self) -> bool:
        """Whether documents run on workers of its own, whose number is known."""
        return self._executor is None

    def stop(self) -> None:
        """End the run in good order, from any thread: nothing new begins, what runs is recorded."""
        self._stop.set()

    def retry_dead(self) -> ProcessingResult:
        """Give the dead, the failed and the deferred of the ledger all their attempts back, and process them again.

        For documents that are paths or URIs: the ledger keeps names, no content.
        """
        ledger = self._open()
        try:
            sources = ledger.revive()
        finally:
            ledger.close()
        return self.process(sources)

    def _open(self) -> Ledger:
        return Ledger(self._ledger_path, pipeline=self.pipeline, version=self.version)

    def _results(self, documents: Iterable[Any], result: ProcessingResult, *, keep_value: bool) -> Iterator[DocResult]:
        self.last = result
        started = time.monotonic()
        ledger = self._open()
        run = None
        try:
            run = Run(self, ledger, self._workers(keep_value), tally_of(self.pipeline), self._stop)
            for found in run.results(documents):
                result.add(found)
                result.processing_time = time.monotonic() - started
                if self.progress is not None:
                    self.progress(result)
                yield found
        finally:
            if run is not None:
                run.close()
            if self._dead_letter is not None:
                write_letters(ledger, self._dead_letter)
            ledger.close()
            result.processing_time = time.monotonic() - started

    def _workers(self, keep_value: bool) -> Workers:
        if self._executor is not None:
            return Futures(self._executor, self.function, batch=self._batch, keep_value=keep_value)
        if self._isolation == "process":
            return Processes(self.function, workers=self.workers, timeout=self._timeout, keep_value=keep_value)
        return Threads(
            stepped(self.function, self.pipeline, name_of),
            workers=self.workers,
            timeout=self._timeout,
            max_hanging=self._max_hanging,
            keep_value=keep_value,
        )
