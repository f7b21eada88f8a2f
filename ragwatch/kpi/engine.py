"""The KPI engine: takes query records and loose steps, keeps the catalogue's counters and histograms, O(1) memory.

It is the same in the app's process and in the agent. It is not thread-safe: its owner holds the lock. A query of five
steps costs about 15 µs (``benchmarks/engine.py``): a label key is a tuple of strings, a cell is one dict look-up away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ragwatch import catalogue
from ragwatch.catalogue import METRICS, Metric, metric
from ragwatch.errors import CatalogueError
from ragwatch.kpi.bounds import LabelBounds
from ragwatch.kpi.model_call import ModelCalls
from ragwatch.kpi.rate import RateWindow
from ragwatch.kpi.retrievals import Retrievals
from ragwatch.kpi.state import Histogram, Key, State
from ragwatch.record import QueryRecord, Step
from ragwatch.resilience.tallies import Series
from ragwatch.semconv import ANSWERED

_CALL: Final = slice(Step._fields.index("operation"), Step._fields.index("cache_result") + 1)


class Engine:
    """Counts queries and steps into a ``State``.

    >>> engine = Engine()
    >>> engine.observe(QueryRecord("ab" * 16, "cd" * 8, "bot", "prod", 0, 2_000_000_000))
    >>> engine.state.series("rag.query.duration")[("bot", "prod", "ok", "none")].sum
    2.0
    """

    def __init__(self) -> None:
        self.state = State()
        self.rate = RateWindow()
        self._tallied: set[Key] = set()
        """Pipelines whose documents somebody else counts: a step there is an attempt."""
        self._begin()

    def _begin(self) -> None:
        """Know nothing of the state's labels and cells."""
        self.bounds = LabelBounds(self.state)
        self._calls = ModelCalls(self.state, self.bounds)
        self._retrievals = Retrievals(self.state, self.bounds)
        self._step_cells: dict[Key, tuple[Histogram, dict[Key, Any]]] = {}
        """Durations and calls of a step, by the key of both; label bounds keep them few."""

    # -- what happened ------------------------------------------------------------------------------------------------

    def observe(self, record: QueryRecord) -> None:
        """Count one query and its steps. A query is counted once: the caller sees to that."""
        admit = self.bounds.admit
        service = admit(catalogue.SERVICE, record.service)
        environment = admit(catalogue.ENVIRONMENT, record.environment)
        duration_s = record.duration_s
        self._histogram("rag.query.duration", (service, environment, record.outcome, record.cache)).observe_traced(
            duration_s, record.trace_id, record.span_id, record.end_ns / 1e9
        )
        if record.outcome == "error":
            cause = (service, environment, record.cause_step or "query", record.error_class or "other")
            self.state.increment("rag.query.errors", cause)
        band = "under_1s" if duration_s < 1 else "1_to_5s" if duration_s <= 5 else "over_5s"
        if record.critical_path:
            owned: dict[Key, Any] = self.state.metrics.setdefault("rag.query.critical_path", {})
            for step_name, seconds in record.critical_path:
                key = (service, environment, step_name, band)
                owned[key] = owned.get(key, 0.0) + seconds
        self.rate.note(record.end_ns / 1e9)
        self._steps(record, service, environment)
        if record.label is not None:
            self._label(record, service, environment)

    def observe_step(self, step: Step, service: str, environment: str) -> None:
        """Count one step that belongs to no query (an ingestion, a warm-up, a late arrival)."""
        admit = self.bounds.admit
        self._step(step, step.trace_id, admit(catalogue.SERVICE, service), admit(catalogue.ENVIRONMENT, environment))

    def count(self, name: str, labels: dict[str, str], amount: float = 1.0) -> None:
        """Add to any counter of the catalogue; ``CatalogueError`` for a name or label that it does not declare."""
        self.state.increment(name, self._key(metric(name), labels), amount)

    def gauge(self, name: str, labels: dict[str, str], value: float) -> None:
        """Set any gauge of the catalogue; ``CatalogueError`` for a name or label that it does not declare."""
        self.state.set_gauge(name, self._key(metric(name), labels), value)

    def record(self, name: str, labels: dict[str, str], value: float) -> None:
        """Put a value into any histogram of the catalogue; ``CatalogueError`` for what it does not declare."""
        self._histogram(name, self._key(metric(name), labels)).observe(value)

    def set_totals(self, totals: Mapping[Series, float], service: str, environment: str) -> None:
        """Set counters and gauges that somebody else counts: (metric, label values after service and environment).

        A gauge that is not among them any more becomes 0, so that the state that was left is seen to be left.
        """
        admit = self.bounds.admit
        place = (admit(catalogue.SERVICE, service), admit(catalogue.ENVIRONMENT, environment))
        found: dict[str, dict[Key, float]] = {}
        for (name, values), value in totals.items():
            labels = METRICS[name].labels[len(place) :]
            key = (*place, *(admit(label, given) for label, given in zip(labels, values, strict=True)))
            cells = found.setdefault(name, {})
            cells[key] = cells.get(key, 0.0) + value
        for name, cells in found.items():
            held = self.state.metrics.setdefault(name, {})
            if name == "rag.ingest.documents":
                self._tally_pipelines(held, cells)
            if METRICS[name].kind == "gauge":
                held.update(dict.fromkeys(held, 0.0))
            held.update(cells)

    def _tally_pipelines(self, held: dict[Key, Any], cells: dict[Key, float]) -> None:
        """From now on these pipelines' documents are counted as ``cells`` says; attempts that were are taken back."""
        fresh = {key[:3] for key in cells} - self._tallied
        if fresh:
            self._tallied |= fresh
            for key in [key for key in held if key[:3] in fresh]:
                del held[key]

    # -- what is known ------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """The whole state as plain JSON values."""
        return self.state.to_json()

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Start again from a snapshot; what was counted so far is forgotten."""
        self.state.metrics.clear()
        self._begin()
        self.merge(snapshot)

    def merge(self, snapshot: dict[str, Any]) -> None:
        """Add another engine's snapshot, under this engine's label bounds."""
        self.bounds.add(self.state, State.from_json(snapshot))

    def subtract(self, snapshot: dict[str, Any]) -> None:
        """Take away a snapshot that was merged before."""
        other = State()
        self.bounds.add(other, State.from_json(snapshot))
        self.state.subtract(other)

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _histogram(self, name: str, key: Key) -> Histogram:
        try:
            return self.state.metrics[name][key]  # type: ignore[return-value]
        except KeyError:
            return self.state.histogram(name, key)

    def _key(self, declared: Metric, labels: dict[str, str]) -> Key:
        unknown = sorted(labels.keys() - set(declared.label_names))
        if unknown:
            raise CatalogueError(f"{declared.name} has no label {unknown[0]!r}; it has {declared.label_names}")
        admit = self.bounds.admit
        return tuple(admit(label, labels.get(label.name)) for label in declared.labels)

    def _steps(self, record: QueryRecord, service: str, environment: str) -> None:
        seen_documents = False
        answered = False
        looked_up = record.cache == "none"
        trace_id = record.trace_id
        for step in record.steps:
            kind = step.step
            self._step(step, trace_id, service, environment)
            if kind == "generate":
                answered = answered or step.outcome in ANSWERED
            elif kind == "retrieve" or kind == "rerank":  # noqa: PLR1714  (twice as fast as building a set)
                seen_documents = seen_documents or bool(step.document_count)
            elif kind == "cache":
                looked_up = True
        if not looked_up:  # only the query itself says what its cache did
            self.state.increment("rag.cache.lookups", (service, environment, "cache", record.cache))
        if answered:
            grounding = "with_context" if seen_documents else "without_context"
            self.state.increment("rag.answers", (service, environment, grounding))

    def _step(self, step: Step, trace_id: str, service: str, environment: str) -> None:
        kind, _, span_id, _, start_ns, end_ns, _, outcome = step[:8]
        key = (service, environment, kind, outcome)
        duration_s = (end_ns - start_ns) / 1e9 if end_ns > start_ns else 0.0
        held = self._step_cells.get(key)
        if held is None:
            held = self._new_step_cells(key)
        durations, calls = held
        end_s = end_ns / 1e9
        durations.observe_traced(duration_s, trace_id, span_id, end_s)
        calls[key] += 1.0
        if step.attempts is not None and step.attempts > 1:
            self.state.increment("rag.step.retries", (service, environment, kind), step.attempts - 1.0)
        if kind == "retrieve":
            self._retrievals.count(step, service, environment)
        elif kind == "generate" or kind == "embed":  # noqa: PLR1714
            self._model_call(step, service, environment, duration_s, trace_id, end_s)
        elif kind == "cache":
            if step.cache_result is not None:
                cache = self.bounds.admit(catalogue.CACHE, step.cache or "cache")
                self.state.increment("rag.cache.lookups", (service, environment, cache, step.cache_result))
        elif kind == "ingest":
            pipeline = self.bounds.admit(catalogue.PIPELINE, step.name)
            outcome = "ok" if step.outcome in ANSWERED else "deferred" if step.outcome == "rejected" else "failed"
            ingested = (service, environment, pipeline, outcome)
            if ingested[:3] not in self._tallied:
                self.state.increment("rag.ingest.documents", ingested, float(step.document_count or 1))
            self._histogram("rag.ingest.duration", ingested).observe(duration_s)

    def _new_step_cells(self, key: Key) -> tuple[Histogram, dict[Key, Any]]:
        self.state.increment("rag.step.calls", key, 0.0)
        held = self.state.histogram("rag.step.duration", key), self.state.metrics["rag.step.calls"]
        self._step_cells[key] = held
        return held

    def _model_call(
        self, step: Step, service: str, environment: str, duration_s: float, trace_id: str, end_s: float
    ) -> None:
        fields: Any = step[_CALL]  # one look instead of ten
        (
            operation, model, response_model, _, provider, given, written, _, _, cost_usd, first_chunk_s,
            _, _, _, _, cache_result,
        ) = fields  # fmt: skip
        asked = (service, environment, step[0], operation, model, response_model, provider, step[8])
        call = self._calls.of(asked)
        call.duration.observe_traced(duration_s, trace_id, step[2], end_s)
        if first_chunk_s is not None:
            call.first_chunk(first_chunk_s)
        if cache_result == "hit":  # a replayed answer carries the usage of a call that was not made
            return
        usage = call.tokens(given, written)
        if step[7] in ANSWERED:
            call.answered(cost_usd, usage=usage)

    def _label(self, record: QueryRecord, service: str, environment: str) -> None:
        label = record.label
        if label is None or record.outcome not in ANSWERED:
            return
        increment = self.state.increment
        verdict = "good" if label.hit else "bad"
        increment("rag.judgements", (service, environment, "retrieval", label.source, verdict, record.cache))
        key = (service, environment, label.source, self.bounds.admit(catalogue.K, str(label.k)))
        increment("rag.labelled.queries", key)
        increment("rag.labelled.hits", key, float(label.hit))
        increment("rag.labelled.recall", key, label.recall)
        increment("rag.labelled.recall.squares", key, label.recall**2)
        increment("rag.labelled.reciprocal_rank", key, label.reciprocal_rank)
        increment("rag.labelled.reciprocal_rank.squares", key, label.reciprocal_rank**2)
