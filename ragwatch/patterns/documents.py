"""``CircuitBreakerDocumentProcessor``: a batch of documents behind a circuit breaker, under its well-known signature.

Thin over ``DocumentProcessor``, with other defaults: documents run one by one, every exception feeds the breaker, an
open breaker is not waited for. What it held up is marked ``Circuit breaker open`` and runs with the next call.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from ragwatch.processing.processor import DocumentProcessor
from ragwatch.processing.result import ProcessingResult
from ragwatch.resilience.breaker import CircuitBreaker


@dataclass
class BatchResult(ProcessingResult):
    """The sums of one batch; ``failure_count`` includes the ``deferred_count`` that an open breaker held up.

    The batch is a list that the caller holds, so all its failed documents are named.
    """

    _max_details: ClassVar[int] = sys.maxsize

    @property
    def total(self) -> int:
        """The documents of the batch, those that an earlier one had left behind included."""
        return self.success_count + self.failure_count + self.skipped_count


class CircuitBreakerDocumentProcessor:
    """Processes documents one after the other until ``failure_threshold`` failures in a row say that it is no use.

    Then the breaker is open for ``reset_timeout`` seconds: what is left of the batch is not tried, stands in
    ``failed_documents`` with the detail ``Circuit breaker open``, and runs first when the next batch comes. After that
    time one document probes; its success closes the breaker.

    Override ``_process_single_document`` (a function or a coroutine function) with what a document needs. ``workers``
    lets several run at once, ``ledger`` (a file) lets a batch that was killed go on and skips unchanged documents,
    ``breaker`` replaces the one that the first two arguments describe. May be used by several threads.

    >>> class Loader(CircuitBreakerDocumentProcessor):
    ...     def _process_single_document(self, doc_path):
    ...         if "bad" in doc_path: raise ValueError("cannot parse")
    >>> result = Loader(failure_threshold=2).process_documents_with_resilience(["a", "bad-1", "bad-2", "b"])
    >>> result.success_count, result.failure_count, result.error_details["b"]
    (1, 3, 'Circuit breaker open')
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        reset_timeout: int = 60,
        *,
        workers: int = 1,
        timeout: float | None = None,
        ledger: str | os.PathLike[str] | None = None,
        pipeline: str = "documents",
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.failure_threshold = failure_threshold
        self.reset_timeout = reset_timeout
        self.breaker = breaker or CircuitBreaker(
            f"ingest.{pipeline}", failure_threshold=failure_threshold, reset_timeout=reset_timeout
        )
        self._processor = DocumentProcessor(
            self._run,
            pipeline=pipeline,
            workers=workers,
            max_in_flight=workers,
            breaker=self.breaker,
            breaker_wait=0.0,
            retry=None,
            timeout=timeout,
            ledger=ledger,
            key=None if ledger is not None else _key,
        )
        self._lock = threading.Lock()
        self._one_run = threading.Lock()
        self._deferred: dict[str, None] = {}

    @property
    def deferred_documents(self) -> list[str]:
        """What an open breaker held up so far, in its order; the next batch begins with it."""
        with self._lock:
            return list(self._deferred)

    def process_documents_with_resilience(self, documents: Iterable[str]) -> ProcessingResult:
        """Process a batch; what an earlier batch left behind an open breaker comes first.

        ``failure_count`` is the documents that failed or were held up: ``success_count + failure_count`` is the batch,
        and, with a ``ledger``, ``skipped_count`` of unchanged documents. Raises nothing that a document raised.
        """
        with self._lock:
            waiting, self._deferred = self._deferred, {}
        result = BatchResult()
        left = dict(waiting)
        try:
            with self._one_run:
                started = time.monotonic()
                for found in self._processor.iter(_numbered((*waiting, *_others(documents, waiting)))):
                    name = found.source.partition("\0")[0]
                    result.add(found._replace(source=name))
                    if found.outcome == "deferred":
                        left[name] = None
                    else:
                        left.pop(name, None)
                result.processing_time = time.monotonic() - started
        finally:
            with self._lock:
                self._deferred = {**left, **self._deferred}
        result.failure_count += result.deferred_count
        return result

    def _process_single_document(self, doc_path: str) -> Any:
        """What a document needs: here, that it can be read. Override this."""
        return Path(doc_path).read_bytes()

    def _run(self, numbered: _Numbered) -> Any:
        found = self._process_single_document(numbered.path)
        if inspect.isawaitable(found):
            import asyncio

            async def wait() -> Any:
                return await found

            return asyncio.run(wait())
        return found


class _Numbered(str):
    """A document's path; ``source`` tells a second mention of it apart, which is processed like the first."""

    __slots__ = ("path", "source")
    path: str
    source: str

    def __new__(cls, path: str, source: str) -> Self:
        """The path itself, as a string, with both names."""
        found = super().__new__(cls, path)
        found.path, found.source = path, source
        return found


def _numbered(documents: Iterable[str]) -> Iterator[_Numbered]:
    seen: dict[str, int] = {}
    for document in documents:
        path = str(document)
        times = seen[path] = seen.get(path, 0) + 1
        yield _Numbered(path, path if times == 1 else f"{path}\0{times}")


def _others(documents: Iterable[str], waiting: dict[str, None]) -> Iterator[str]:
    """The documents without the first mention of those that come first anyway."""
    rest = set(waiting)
    for document in documents:
        if str(document) in rest:
            rest.discard(str(document))
        else:
            yield document


def _key(document: _Numbered) -> tuple[str, str]:
    return document.source, document.source
