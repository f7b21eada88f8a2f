"""The engine counts what happened, once, in memory that does not grow."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwatch.catalogue import METRICS
from ragwatch.errors import CatalogueError
from ragwatch.kpi.engine import Engine
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.kpi.state import State
from ragwatch.record import Document, Label, QueryRecord, Step
from ragwatch.semconv import CACHE_RESULTS, ERROR_CLASSES, OUTCOMES, STEPS
from tests.support.records import query, step

OUTCOME = st.sampled_from(OUTCOMES)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    kind = draw(st.sampled_from(STEPS[1:]))
    outcome = draw(OUTCOME)
    count = draw(st.none() | st.integers(0, 5))
    documents = None if count is None else tuple(Document(f"d{i}", i + 1, score=i / 7) for i in range(count))
    return step(
        kind,
        start_s=draw(st.floats(0, 10)),
        seconds=draw(st.floats(0, 200)),
        outcome=outcome,
        error_class=draw(st.sampled_from(ERROR_CLASSES)) if outcome == "error" else None,
        cache_result=draw(st.sampled_from(CACHE_RESULTS)) if kind == "cache" else None,
        model=draw(st.none() | st.sampled_from(["m1", "m2"])),
        input_tokens=draw(st.none() | st.integers(0, 10_000)),
        cost_usd=draw(st.none() | st.floats(0, 1)),
        documents=documents,
        document_count=count,
    )


@st.composite
def queries(draw: st.DrawFn) -> QueryRecord:
    outcome = draw(OUTCOME)
    return query(
        seconds=draw(st.floats(0, 100)),
        outcome=outcome,
        cause_step=draw(st.sampled_from(STEPS)) if outcome == "error" else None,
        error_class=draw(st.sampled_from(ERROR_CLASSES)) if outcome == "error" else None,
        cache=draw(st.sampled_from(["hit", "miss", "none"])),
        steps=tuple(draw(st.lists(steps(), max_size=4))),
        label=draw(st.none() | st.just(Label("label", 5, True, 0.5, 1.0))),
        service=draw(st.sampled_from(["a", "b"])),
    )


def engine_of(records: list[QueryRecord]) -> Engine:
    engine = Engine()
    for record in records:
        engine.observe(record)
    return engine


def close(one: State, other: State) -> bool:
    """Whether two states hold the same series, up to the rounding of sums and to which exemplar a bucket shows."""
    return alike(json.loads(json.dumps(one.to_json())), json.loads(json.dumps(other.to_json())))


def alike(one: object, other: object) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-6)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(key == "x" or alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other


@settings(max_examples=60, deadline=None)
@given(st.lists(queries(), max_size=12))
def test_counts_match_a_naive_count(records: list[QueryRecord]) -> None:
    metrics = RAGMetrics.of(engine_of(records).state)
    answered = [record for record in records if record.outcome in {"ok", "degraded", "error"}]
    failed = [record for record in records if record.outcome == "error"]
    looked_up = [s.cache_result for r in records for s in r.steps if s.cache_result in {"hit", "miss"}]
    looked_up += [r.cache for r in records if r.cache != "none" and not any(s.step == "cache" for s in r.steps)]
    assert metrics.query_count == len(records)
    assert metrics.error_rate == (pytest.approx(len(failed) / len(answered)) if answered else None)
    assert sum(metrics.errors.values()) == len(failed)
    hits = looked_up.count("hit")
    assert metrics.cache_hit_rate == (pytest.approx(hits / len(looked_up)) if looked_up else None)
    if answered:
        assert metrics.avg_response_time == pytest.approx(sum(r.duration_s for r in answered) / len(answered))


@settings(max_examples=40, deadline=None)
@given(st.lists(queries(), max_size=10), st.integers(0, 10))
def test_merging_two_processes_is_counting_both(records: list[QueryRecord], cut: int) -> None:
    first, second = engine_of(records[:cut]), engine_of(records[cut:])
    first.merge(second.snapshot())
    assert close(first.state, engine_of(records).state)


@settings(max_examples=40, deadline=None)
@given(st.lists(queries(), max_size=10))
def test_a_snapshot_restores_the_same_state(records: list[QueryRecord]) -> None:
    engine = engine_of(records)
    snapshot = json.loads(json.dumps(engine.snapshot()))
    other = Engine()
    other.observe(query())
    other.restore(snapshot)
    assert other.snapshot() == engine.snapshot()


@settings(max_examples=30, deadline=None)
@given(st.lists(queries(), max_size=8), st.lists(queries(), max_size=8))
def test_subtracting_what_was_merged_leaves_the_rest(mine: list[QueryRecord], theirs: list[QueryRecord]) -> None:
    engine, other = engine_of(mine), engine_of(theirs)
    engine.merge(other.snapshot())
    engine.subtract(other.snapshot())
    before, after = RAGMetrics.of(engine_of(mine).state), RAGMetrics.of(engine.state)
    assert (after.query_count, after.n) == (before.query_count, before.n)


def test_critical_path_adds_up_to_the_time_of_queries() -> None:
    engine = engine_of([query(seconds=2.0, critical_path=(("query", 0.5), ("retrieve", 1.5)))])
    assert sum(engine.state.series("rag.query.critical_path").values()) == pytest.approx(2.0)


def test_an_error_counts_once_with_its_cause() -> None:
    failing = step("retrieve", outcome="error", error_class="timeout")
    engine = engine_of([query(outcome="error", cause_step="retrieve", error_class="timeout", steps=(failing,))])
    assert engine.state.series("rag.query.errors") == {("bot", "prod", "retrieve", "timeout"): 1.0}


def test_an_error_has_no_empty_retrieval() -> None:
    engine = engine_of([query(steps=(step("retrieve", outcome="error"), step("retrieve", document_count=0)))])
    results = {key[3]: count for key, count in engine.state.series("rag.retrieval.requests").items()}
    assert results == {"error": 1.0, "empty": 1.0}


def test_an_answer_without_documents_has_no_context() -> None:
    grounded = query(steps=(step("retrieve", document_count=3), step("generate")))
    bare = query(steps=(step("retrieve", document_count=0), step("generate")))
    cached = query(steps=(step("cache", cache_result="hit"),))
    answers = engine_of([grounded, bare, cached]).state.series("rag.answers")
    assert {key[2]: count for key, count in answers.items()} == {"with_context": 1.0, "without_context": 1.0}


def test_unknown_is_none_and_never_zero() -> None:
    metrics = RAGMetrics.of(State())
    figures = (metrics.avg_response_time, metrics.error_rate, metrics.cache_hit_rate, metrics.retrieval_accuracy)
    assert figures == (None, None, None, None)
    assert (metrics.p95, metrics.empty_retrieval_rate, metrics.cost_usd, metrics.throughput) == (None, None, None, None)
    assert metrics.query_count == 0


def test_a_cost_that_nobody_said_is_marked_and_not_zero() -> None:
    unknown = engine_of([query(steps=(step("generate", model="m"),))])
    assert RAGMetrics.of(unknown.state).cost_usd is None
    assert [key[-1] for key in unknown.state.series("rag.cost")] == ["false"]
    known = engine_of([query(steps=(step("generate", model="m", cost_usd=0.5), step("generate", model="m")))])
    assert RAGMetrics.of(known.state).cost_usd == 0.5


def test_label_values_over_the_bound_become_other_and_are_counted() -> None:
    engine = Engine()
    for number in range(150):
        engine.observe_step(step("generate", model=f"model-{number}"), "bot", "prod")
    position = METRICS["rag.usage.calls"].label_names.index("model")
    models = {key[position] for key in engine.state.series("rag.usage.calls")}
    assert len(models) == 101
    assert "other" in models
    assert engine.state.series("ragwatch.agent.label_overflow")[("gen_ai.request.model",)] == 50


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(CatalogueError, match="has no label 'colour'"):
        Engine().count("rag.answers", {"colour": "red"})


def test_memory_does_not_grow_with_the_number_of_queries() -> None:
    engine = Engine()
    record = query(steps=(step("cache", cache_result="miss"), step("retrieve", document_count=3), step("generate")))
    for _ in range(500):
        engine.observe(record)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(5000):
        engine.observe(record)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000, grown


def test_services_are_kept_apart() -> None:
    engine = engine_of([query(service="a"), query(service="b", outcome="error")])
    assert RAGMetrics.of(engine.state, service="a").error_rate == 0
    assert RAGMetrics.of(engine.state, service="b").error_rate == 1


def test_where_a_processor_counts_its_documents_a_step_is_an_attempt_and_no_document() -> None:
    engine = Engine()
    attempt = step("ingest", outcome="error")._replace(name="nightly")
    engine.observe_step(attempt, "bot", "prod")
    totals = {("rag.ingest.documents", ("nightly", "ok")): 1.0}
    engine.set_totals(totals, "bot", "prod")
    engine.observe_step(attempt, "bot", "prod")
    engine.set_totals(totals, "bot", "prod")
    assert engine.state.series("rag.ingest.documents") == {("bot", "prod", "nightly", "ok"): 1.0}
    assert engine.state.series("rag.ingest.duration")[("bot", "prod", "nightly", "failed")].count == 2
