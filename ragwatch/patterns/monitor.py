"""``ProductionRAGMonitor``: one call a query, where there is nothing to decorate, on the same KPI engine as all."""

from __future__ import annotations

import math
import threading
from time import time, time_ns
from typing import Any, SupportsFloat

from opentelemetry import context as otel_context

from ragwatch import semconv
from ragwatch.config.otel_env import SdkSettings, read_settings
from ragwatch.kpi.engine import Engine
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.record import QueryRecord
from ragwatch.sdk.guard import fault, say_once
from ragwatch.sdk.resilience import current_step
from ragwatch.sdk.runtime import Active

QUERY_CHARACTERS = 100


class ProductionRAGMonitor:
    """Counts the queries that it is told of, in an engine of its own; ``metrics`` are its KPIs.

    After ``ragwatch.init`` each is also a query of the process: traced, logged, exported. Within a ``ragwatch.query``
    it adds what it knows to that query, which the process then counts once. Without ``init`` it writes the JSON line
    itself (``RAGWATCH_LOG_QUERIES=false`` switches it off). The query's text is cut to 100 characters, and is left out
    altogether unless ``RAGWATCH_CONTENT`` allows it. May be used by several threads; its memory does not grow.

    >>> monitor = ProductionRAGMonitor(log_queries=False)
    >>> monitor.track_query("how do I copy a file?", response_time=0.25, success=True, cache_hit=False)
    >>> monitor.metrics.query_count, monitor.metrics.error_rate, monitor.metrics.cache_hit_rate
    (1, 0.0, 0.0)
    """

    def __init__(self, *, service: str | None = None, log_queries: bool | None = None) -> None:
        settings = read_settings()
        self._service = service or settings.service or "rag"
        self._settings = settings
        self._log_queries = settings.log_queries if log_queries is None else log_queries
        self._engine = Engine()
        self._lock = threading.Lock()
        self._log: Any = None

    def track_query(self, query: str, response_time: float, success: bool, cache_hit: bool | None = None) -> None:
        """Count one query that has ended: its text, its seconds, whether it was answered, whether a cache answered it.

        ``cache_hit=None`` says that no cache was asked. Never raises: a time that is no number is said once, and that
        query is not counted.
        """
        try:
            seconds = _seconds(response_time)
            if seconds is None:
                say_once("monitor", "ragwatch: response_time=%r is no number of seconds; not counted", response_time)
                return
            self._track(str(query), seconds, bool(success), cache_hit)
        except Exception as error:  # noqa: BLE001  (guests behave)
            fault("track_query", error)

    @property
    def metrics(self) -> RAGMetrics:
        """The KPIs of all queries that this monitor was told of; unknown is None."""
        with self._lock:
            return RAGMetrics.of(self._engine.state.copy(), throughput=self._engine.rate.per_second(time()))

    def _track(self, query: str, seconds: float, success: bool, cache_hit: bool | None) -> None:
        end_ns = time_ns()
        start_ns = end_ns - int(seconds * 1e9)
        record = QueryRecord(
            "",
            "",
            self._service,
            self._settings.environment or "",
            start_ns,
            end_ns,
            outcome="ok" if success else "error",
            cause_step=None if success else "query",
            error_class=None if success else "other",
            cache="none" if cache_hit is None else "hit" if cache_hit else "miss",
            critical_path=(("query", seconds),),
            question=_allowed(query, self._settings),
            question_length=len(query),
        )
        with self._lock:
            self._engine.observe(record)
        step = current_step()
        around = step.query if step is not None else None
        if around is not None and not around.end_ns:
            _annotate(around, success, cache_hit)
        elif Active.runtime is not None:
            self._report(query, start_ns, success, cache_hit)
        elif self._log_queries:
            self._write(record)

    @staticmethod
    def _report(query: str, start_ns: int, success: bool, cache_hit: bool | None) -> None:
        """A query of the process: a span that began when the query did."""
        runtime = Active.runtime
        if runtime is None:
            return
        step, _ = runtime.begin("query", "query", {}, otel_context.get_current(), start_ns)
        step.question(query[:QUERY_CHARACTERS])
        step.set(semconv.QUESTION_LENGTH, len(query))
        _annotate(step, success, cache_hit)
        step.end()

    def _write(self, record: QueryRecord) -> None:
        from ragwatch.sdk.logs import QueryLog

        with self._lock:
            if self._log is None:
                self._log = QueryLog(self._settings.log_file)
            self._log.write([record])


def _seconds(value: object) -> float | None:
    """Seconds, never below 0; None for what is no time."""
    if not isinstance(value, SupportsFloat):
        return None
    seconds = float(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _annotate(query: Any, success: bool, cache_hit: bool | None) -> None:
    if cache_hit is not None:
        query.hit(cache_hit)
    if not success:
        query.set(semconv.OUTCOME, "error")


def _allowed(query: str, settings: SdkSettings) -> str | None:
    """The text as it may stand in the log."""
    return query[:QUERY_CHARACTERS] if settings.content != "off" else None
