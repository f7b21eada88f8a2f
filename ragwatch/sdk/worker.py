"""The worker thread: KPIs, log lines, encoding. Encoded requests go to the sender; it never waits for a receiver."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from time import monotonic, thread_time, time_ns
from typing import Any

from ragwatch import semconv
from ragwatch.config.otel_env import Endpoint, Signal
from ragwatch.conventions.own import pack_documents
from ragwatch.kpi.zeros import LOSSES
from ragwatch.record import QueryRecord
from ragwatch.sdk.export import load
from ragwatch.sdk.guard import fault
from ragwatch.sdk.otel_private import without_instrumentation
from ragwatch.sdk.recorder import Recorder
from ragwatch.sdk.sender import Batch, Senders
from ragwatch.sdk.wire import REMOTE, REMOTE_KNOWN, CountedSteps, ScopeKey, TraceEncoder


class Worker:
    """Drains the recorder's queues, at an interval or when a batch is full."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.settings = recorder.settings
        longest_s = recorder.settings.export_timeout_s or float("inf")
        endpoints: dict[Signal, Endpoint] = {
            signal: replace(endpoint, timeout_s=min(endpoint.timeout_s, longest_s))  # type: ignore[misc]
            for signal, endpoint in recorder.settings.endpoints.items()
            if endpoint is not None
        }
        self._signals = frozenset(endpoints)
        self._load({endpoint.protocol for endpoint in endpoints.values()})
        self.sender = Senders(endpoints, recorder.lose)
        self._encoder = TraceEncoder(recorder.resource.attributes, recorder.resource.schema_url)
        self._counted = CountedSteps()
        self._scopes: dict[Any, ScopeKey] = {}
        self._query_log: Any = None
        self._event = threading.Event()
        self._cycle_lock = threading.Lock()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._start_ns = time_ns()
        self._metrics_due = monotonic() + self.settings.metrics_interval_s
        self._counted_at = 0.0
        recorder.wake = self.wake

    def wake(self) -> None:
        """Called by the app's threads when there is work; starts the thread at the first call."""
        if self._thread is None and not self._stopping:
            with self._cycle_lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="ragwatch-worker", daemon=True)
                    self._thread.start()
        if self.recorder.awake:
            self._event.set()

    def flush(self, timeout_s: float) -> bool:
        """Handle and deliver everything that has ended by now; False when time ran out."""
        until = monotonic() + timeout_s
        with without_instrumentation():
            self.cycle()
            self.export_metrics()
        return self.sender.flush(max(0.0, until - monotonic()))

    def stop(self, timeout_s: float) -> None:
        """Handle everything, deliver what can be delivered in that time, and end."""
        self._stopping = True
        self._event.set()
        with without_instrumentation():
            self.cycle()
            self.export_metrics(last=True)
        self.sender.stop(timeout_s)

    def quiet(self) -> None:
        """Write no log line to standard error, where a tool draws; a file, and a receiver, get them all the same."""
        if self.settings.log_queries and self.settings.log_file is None:
            from ragwatch.sdk.logs import QueryLog

            with self._cycle_lock:
                self._query_log = QueryLog(os.devnull)

    def drain(self) -> None:
        """Bring the KPIs up to date on the calling thread, with their log lines."""
        with self._cycle_lock:
            self._records()

    def cycle(self) -> None:
        """One round: KPIs and log lines, then spans."""
        with self._cycle_lock:
            self.recorder.awake = False
            self._records()
            self._spans()
            self._judgements()

    def export_metrics(self, *, last: bool = False) -> None:
        """Hand the KPIs to the sender as cumulative OTLP metrics; the last of a process have no gauges.

        What a breaker's state was when the process ended is nobody's state: an alert on it would outlive its cause.
        """
        if "metrics" not in self._signals:
            return
        from ragwatch.kpi.otlp import to_request

        recorder = self.recorder
        self._metrics_due = monotonic() + self.settings.metrics_interval_s
        self._overhead("send", self.sender.take_cpu_s())
        recorder.collect()
        with recorder.lock:
            if not recorder.engine.state.metrics:
                return
            place = (recorder.service, recorder.environment)
            recorder.engine.state.set_gauge(semconv.EXPORT_INTERVAL, place, self.settings.metrics_interval_s)
            state = recorder.engine.state.without_gauges() if last else recorder.engine.state
            points = sum(len(cells) for cells in state.metrics.values())
            body = to_request(state, recorder.resource, start_ns=self._start_ns, now_ns=time_ns())
        self.sender.put(Batch("metrics", body, points))

    def _load(self, protocols: set[str]) -> None:
        """Import here what the threads will need (``export.load`` says why)."""
        try:
            import ragwatch.sdk.foreign

            for protocol in protocols:
                load(protocol)
            if "metrics" in self._signals:
                import ragwatch.kpi.otlp
            if self.settings.log_queries:
                import ragwatch.sdk.logs  # noqa: F401
        except ImportError as error:
            fault("import", error)

    def _begin(self) -> None:
        """Say that nothing is lost or counted yet: to Prometheus a counter's first value is no increase."""
        recorder = self.recorder
        with recorder.lock:
            for signal in self._signals:
                for reason in LOSSES:
                    key = (recorder.service, recorder.environment, signal, reason)
                    recorder.engine.state.increment("ragwatch.sdk.lost", key, 0.0)
        self.export_metrics()

    def _run(self) -> None:
        with without_instrumentation():
            try:
                self._begin()
            except Exception as error:  # noqa: BLE001
                fault("worker", error)
            while not self._stopping:
                self._event.wait(self.settings.schedule_delay_s)
                self._event.clear()
                try:
                    self.cycle()
                    if monotonic() >= self._metrics_due:
                        self.export_metrics()
                except Exception as error:  # noqa: BLE001
                    fault("worker", error)

    def _records(self) -> None:
        started = thread_time()
        records = self.recorder.drain()
        counted = thread_time()
        self._overhead("kpi", counted - started)
        notices = self._notices()
        if records or notices:
            self._log(records, notices)
            self._overhead("log", thread_time() - counted)

    def _notices(self) -> list[Any]:
        notices = self.recorder.notices
        return [notices.popleft() for _ in range(len(notices))]

    def _log(self, records: list[QueryRecord], notices: list[Any]) -> None:
        if not self.settings.log_queries:
            return
        from ragwatch.sdk import logs

        if self._query_log is None:
            self._query_log = logs.QueryLog(self.settings.log_file)
        entries = self._query_log.write(records, notices)
        if "logs" in self._signals:
            self.sender.put(Batch("logs", logs.to_request(entries, self.recorder.resource), len(entries)))

    def _judgements(self) -> None:
        """Send what was judged since the last round, in one request."""
        held = self.recorder.judged
        found = [held.popleft() for _ in range(len(held))]
        if found:
            from ragwatch.sdk.judgements import to_request

            self.sender.put(Batch("logs", to_request(found, self.recorder.resource), len(found)))

    def _spans(self) -> None:
        spans = self.recorder.spans
        if not spans or "traces" not in self._signals:
            return
        started = thread_time()
        while spans:
            groups: dict[ScopeKey, list[bytes]] = {}
            taken = 0
            for _ in range(min(len(spans), self.settings.max_export_batch_size)):
                span = spans.popleft()
                try:
                    encoded = self._encode(span)
                except Exception as error:  # noqa: BLE001  (one bad span must not take its batch along)
                    self.recorder.lose("traces", "encode_failed")
                    fault("encode", error)
                    continue
                groups.setdefault(self._scope(span.scope), []).append(encoded)
                taken += 1
            if taken:
                self.sender.put(Batch("traces", self._encoder.request(groups.items()), taken))
        self._overhead("encode", thread_time() - started)

    def _encode(self, span: Any) -> bytes:
        step = span.step
        is_counted = step is None and span.taken and self.recorder.is_counted(span)
        content = self.recorder.content
        attributes: Any = content.exported(span.attribute_map)
        span.attribute_map = attributes
        changes = content.mode != "full" or content.length_limit is not None
        if span.event_list and changes:
            span.event_list = [
                (name, time_ns, content.exported(found) if found else found, dropped)
                for name, time_ns, found, dropped in span.event_list
            ]
        if span.link_list and changes:
            span.link_list = [
                (*link[:3], content.exported(link[3]) if link[3] else link[3], *link[4:]) for link in span.link_list
            ]
        if is_counted:
            attributes[semconv.COUNTED] = True
        first = b""
        if step is not None:
            if self.recorder.counts:
                attributes.pop(semconv.STEP, None)
                first = self._counted[step]
            else:
                attributes[semconv.STEP] = step
            documents = span.document_list
            if documents is not None:
                attributes[semconv.DOCUMENTS] = pack_documents(documents)
                attributes.setdefault(semconv.DOCUMENT_COUNT, len(documents))
            operation = semconv.STEP_OPERATIONS.get(step)
            if operation is not None and semconv.OPERATION not in attributes:
                attributes[semconv.OPERATION] = operation
        if span.parent_span_id:
            span.flags |= REMOTE_KNOWN | (REMOTE if getattr(span, "parent_remote", False) else 0)
        return self._encoder.span(span, first)

    def _scope(self, scope: Any) -> ScopeKey:
        held = self._scopes.get(scope)
        if held is None:
            attributes = tuple((scope.attributes or {}).items())
            held = ScopeKey(scope.name, scope.version or "", scope.schema_url or "", attributes)
            if len(self._scopes) < 1000:
                self._scopes[scope] = held
        return held

    def _overhead(self, part: str, seconds: float) -> None:
        if seconds > 0:
            recorder = self.recorder
            with recorder.lock:
                key = (recorder.service, recorder.environment, part)
                recorder.engine.state.increment("ragwatch.sdk.overhead", key, seconds)
