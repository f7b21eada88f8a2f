"""Where ended spans and finished queries go: two bounded queues between the caller's threads and the worker.

A span that does not fit is dropped and counted. A query's KPI record is never dropped: when the worker cannot keep up
the caller folds it into the engine itself, under the lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragwatch import semconv
from ragwatch.assembly.complete import complete
from ragwatch.config.otel_env import SdkSettings
from ragwatch.conventions.own import pack_documents, step_name, to_step
from ragwatch.kpi.engine import Engine
from ragwatch.record import Label, QueryRecord, Step
from ragwatch.sdk.content import ContentPolicy
from ragwatch.sdk.guard import fault

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from ragwatch.sdk.foreign import Foreign
    from ragwatch.sdk.span import Span

MAX_FOREIGN = 1000
"""Spans of others that a query holds until it ends; further ones are the agent's to count."""


class Recorder:
    """Takes what ends on the caller's threads; hands it to the worker, which is woken once a batch."""

    def __init__(self, settings: SdkSettings, resource: Resource, *, counts: bool) -> None:
        self.settings = settings
        self.content = ContentPolicy(settings.content, settings.attribute_length_limit)
        self.attribute_limit = settings.attribute_count_limit
        self.event_limit = settings.event_count_limit
        self.link_limit = settings.link_count_limit
        self.counts = counts
        """Whether this process sends its own KPIs: its spans are then marked, and the agent does not count them."""
        self.max_queue = settings.max_queue_size
        self.batch = settings.max_export_batch_size
        self.wake_at = min(self.batch, self.max_queue // 2)
        self.exports_spans = settings.endpoints.get("traces") is not None
        self.on_ended: Callable[[Span], None] | None = None
        """Set where other span processors want the spans too."""
        self.on_record: Callable[[QueryRecord], None] | None = None
        """Set by a tool in this process that wants each query's record once it is counted."""
        self.wake: Callable[[], None] = _nothing
        self.app: dict[str, Any] | None = None
        """What the app says that it runs now, as attributes of its queries; replaced whole."""
        self.collect: Callable[[], None] = _nothing
        """Brings what others count (breakers, retries, limits) into the engine."""
        self.start(resource)

    def start(self, resource: Resource) -> None:
        """Begin with empty queues and numbers: at the start of the process, and again in a forked child."""
        self.resource = resource
        attributes = resource.attributes
        self.service = str(attributes.get(semconv.SERVICE_NAME) or "unknown_service")
        self.environment = str(
            attributes.get(semconv.DEPLOYMENT_ENVIRONMENT) or attributes.get(semconv.DEPLOYMENT_ENVIRONMENT_OLD) or ""
        )
        self.instance = str(attributes.get(semconv.SERVICE_INSTANCE_ID) or "")
        self.version = str(attributes.get(semconv.SERVICE_VERSION) or "") or None
        self.engine = Engine()
        self.lock = threading.Lock()
        self.spans: deque[Any] = deque()
        self.records: deque[Any] = deque()
        self.notices: deque[Any] = deque()
        self.judged: deque[Any] = deque()
        self.epoch = object()
        self.ended_spans = 0
        self.awake = False
        self._foreign: Foreign | None = None

    # -- the caller's side --------------------------------------------------------------------------------------------

    def ended(self, span: Span) -> None:
        """A span has ended: queue it, and what it means."""
        try:
            kind = span.step
            if kind is None and (semconv.STEP in span.attribute_map):
                kind = span.step = step_name(span.attribute_map)
            if kind is not None:
                query = span.query
                if query is not None and query is not span and not query.end_ns and query.epoch is self.epoch:
                    query.steps.append(span)
                elif span.epoch is self.epoch:
                    self.finished(span)
            elif span.query is not None and span.scope.name != semconv.SCOPE_NAME:  # a query within one says nothing
                self.take(span, span.query)
            if span.flags & 1 and self.exports_spans and span.epoch is self.epoch:
                self.export(span)
            if self.on_ended is not None and span.flags & 1:
                self.on_ended(span)
        except Exception as error:  # noqa: BLE001  (guests behave)
            fault("ended", error)

    def take(self, span: Any, query: Any) -> None:
        """A span of another instrumentor ended within a query of ours: the worker will see what it is."""
        if query.end_ns or query.epoch is not self.epoch or span.epoch is not self.epoch:
            return
        held = query.foreign
        if held is None:
            query.foreign = [span]
        elif len(held) < MAX_FOREIGN:
            held.append(span)
        else:
            return
        span.taken = True

    def export(self, span: Any) -> None:
        """Queue a span for export, or count it as lost."""
        spans = self.spans
        size = len(spans)
        self.ended_spans += 1
        if size >= self.max_queue:
            self.lose("traces", "queue_full")
            return
        spans.append(span)
        if (not size or size >= self.wake_at) and not self.awake:
            self.awake = size >= self.wake_at
            self.wake()

    def finished(self, root: Any) -> None:
        """Queue a finished query or a loose step for the KPIs; fold it here when the queue is full."""
        records = self.records
        size = len(records)
        if size >= self.max_queue:
            self.fold(root)
            return
        records.append(root)
        if (not size or size >= self.wake_at) and not self.awake:
            self.awake = size >= self.wake_at
            self.wake()

    def notice(self, notice: Any) -> None:
        """Queue something to be logged that is no query: a breaker's transition."""
        if len(self.notices) >= self.batch:
            self.lose("logs", "queue_full")
            return
        self.notices.append(notice)
        self.wake()

    def judge(self, judged: Any) -> None:
        """Queue a judgement, to be sent with the others of a round."""
        if len(self.judged) >= self.max_queue:
            self.lose("logs", "queue_full")
            return
        self.judged.append(judged)
        self.wake()

    def lose(self, signal: str, reason: str, amount: int = 1) -> None:
        """Count telemetry that is dropped."""
        with self.lock:
            labels = {"service": self.service, "environment": self.environment, "signal": signal, "reason": reason}
            self.engine.count("ragwatch.sdk.lost", labels, amount)

    # -- the worker's side --------------------------------------------------------------------------------------------

    def fold(self, root: Any) -> QueryRecord | None:
        """Count one finished query or loose step; the record of a query, for its log line."""
        if root.step == "query":
            record = self.record_of(root)
            with self.lock:
                self.engine.observe(record)
            if self.on_record is not None:
                self.on_record(record)
            return record
        step = self.step_of(root)
        with self.lock:
            self.engine.observe_step(step, self.service, self.environment)
        return None

    def drain(self) -> list[QueryRecord]:
        """Count everything that is queued; the records of the queries among it."""
        done: list[QueryRecord] = []
        records = self.records
        while records:
            try:
                root = records.popleft()
            except IndexError:  # another thread drains as well
                break
            try:
                record = self.fold(root)
            except Exception as error:  # noqa: BLE001
                fault("kpi", error)
                continue
            if record is not None:
                done.append(record)
        return done

    def record_of(self, root: Any) -> QueryRecord:
        """The query record of a root that has ended."""
        trace, above = f"{root.trace_id:032x}", f"{root.span_id:016x}"
        steps = [
            self.step_of(span, trace, above if span.parent_span_id == root.span_id else None)
            if span.trace_id == root.trace_id
            else self.step_of(span)
            for span in root.steps or ()
        ]
        record = self._with_foreign(root, self.step_of(root, trace), steps) if root.foreign else None
        if record is None:
            record = complete(
                self.step_of(root, trace),
                steps,
                service=self.service,
                environment=self.environment,
                instance=self.instance,
                version=self.version,
                counted=self.counts,
            )
        if root.labelled is not None:
            label = judge(root.labelled, record.steps)
            if label is not None:
                record = record._replace(label=label)
                root.attribute_map.update(label_attributes(label))
        return record

    def _with_foreign(self, root: Any, top: Step, steps: Sequence[Step]) -> QueryRecord | None:
        ours = [(root, top), *zip(root.steps or (), steps, strict=True)]
        record = self.foreign().query(root, ours, root.foreign)
        return None if record is None else record._replace(counted=self.counts)

    def foreign(self) -> Foreign:
        """What recognises other instrumentors' spans, loaded when there is one."""
        if self._foreign is None:
            from ragwatch.assembly.node import Origin
            from ragwatch.sdk.foreign import Foreign

            self._foreign = Foreign(Origin(self.service, self.environment, self.instance, self.version))
        return self._foreign

    def is_counted(self, span: Any) -> bool:
        """Whether the KPIs of this process hold a span of another's, so that the agent must not count it."""
        return bool(span.taken and self.foreign().node(span).is_step and self.counts)

    def step_of(self, span: Any, trace: str | None = None, above: str | None = None) -> Step:
        """The step that an ended span is; ``trace`` and ``above`` are its ids in hex where they are known."""
        attributes = self.content.attributes(span.attribute_map)
        if above is None and span.parent_span_id:
            above = f"{span.parent_span_id:016x}"
        return to_step(
            span.step,
            span.name,
            (trace or f"{span.trace_id:032x}", f"{span.span_id:016x}", above),
            (span.start_ns, span.end_ns),
            (span.status_number, span.status_message),
            attributes,
            span.event_list,
            span.document_list,
        )

    def exported_attributes(self, span: Any) -> Mapping[str, Any]:
        """The attributes of a span as they leave the process: with step, documents and mark, less content."""
        found = dict(self.content.exported(span.attribute_map))
        if span.step is not None:
            found[semconv.STEP] = span.step
            if self.counts:
                found[semconv.COUNTED] = True
            documents = span.document_list
            if documents is not None:
                found[semconv.DOCUMENTS] = pack_documents(documents)
                found.setdefault(semconv.DOCUMENT_COUNT, len(documents))
            operation = semconv.STEP_OPERATIONS.get(span.step)
            if operation is not None:
                found.setdefault(semconv.OPERATION, operation)
        elif self.is_counted(span):
            found[semconv.COUNTED] = True
        return found

    def readable(self, span: Any) -> Any:
        """The SDK's own ``ReadableSpan`` of a span, for processors that were not made by ragwatch."""
        from ragwatch.sdk.readable import to_readable

        return to_readable(span, self.exported_attributes(span), self.resource)


def judge(labelled: tuple[frozenset[str], int, str], steps: Sequence[Step]) -> Label | None:
    """How the documents that the query ended up with compare with those that answer it.

    The last rerank, else the last retrieval, that says which documents it found is judged; recall is the share of the
    relevant documents among the first k, the reciprocal rank looks at all that were returned.
    """
    wanted, k, source = labelled
    found = [step for step in steps if step.documents is not None and step.step in {"rerank", "retrieve"}]
    if not found:
        return None
    last = max(found, key=lambda step: (step.step == "rerank", step.start_ns))
    ids = [document.id for document in last.documents or ()]
    hits = len(wanted.intersection(identity for identity in ids[:k] if identity is not None))
    rank = next((place for place, identity in enumerate(ids, 1) if identity in wanted), 0)
    return Label(source, k, hits > 0, hits / len(wanted), 1 / rank if rank else 0.0)


def label_attributes(label: Label) -> dict[str, Any]:
    """A label as span attributes."""
    return {
        semconv.LABEL_SOURCE: label.source,
        semconv.LABEL_K: label.k,
        semconv.LABEL_HIT: label.hit,
        semconv.LABEL_RECALL: label.recall,
        semconv.LABEL_RECIPROCAL_RANK: label.reciprocal_rank,
    }


def _nothing() -> None:
    """The worker has not started."""
