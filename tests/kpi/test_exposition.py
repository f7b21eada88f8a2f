"""What the engine knows, as Prometheus text and as OTLP metrics."""

from __future__ import annotations

import time

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.resources import Resource
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ragwatch.catalogue import METRICS, prometheus_name
from ragwatch.kpi import exposition, otlp, otlp_in
from ragwatch.kpi.engine import Engine
from ragwatch.kpi.state import State, Stream
from ragwatch.record import Document
from tests.support.records import query, step


@pytest.fixture
def state() -> State:
    engine = Engine()
    documents = (Document("a", 1, score=0.9), Document("b", 2, score=0.4))
    engine.observe(
        query(
            seconds=0.3,
            cache="miss",
            steps=(
                step("cache", cache_result="miss", cache="answers"),
                step("retrieve", documents=documents, document_count=2, data_source="kb"),
                step("generate", model="m", provider="p", input_tokens=120, output_tokens=17, cost_usd=0.001),
            ),
            critical_path=(("query", 0.1), ("generate", 0.2)),
        )
    )
    engine.observe(query(seconds=7, outcome="error", cause_step="generate", error_class="timeout"))
    engine.gauge("rag.breaker.state", {"service": "bot", "breaker": "db", "state": "open"}, 1)
    return engine.state


def everything() -> State:
    """A series of every metric that the catalogue declares."""
    full = State()
    for metric in METRICS.values():
        key = tuple(label.values[0] if label.values else "x" for label in metric.labels)
        if metric.kind == "histogram":
            full.histogram(metric.name, key).observe_traced(0.5, "ab" * 16, "cd" * 8, time.time())
        elif metric.kind == "counter":
            full.increment(metric.name, key, 3)
        else:
            full.set_gauge(metric.name, key, 1)
    return full


def test_text_has_every_metric_under_its_prometheus_name() -> None:
    families = {family.name for family in parse_text(exposition.render(everything()).decode())}
    expected = {prometheus_name(m.name, m.kind, m.unit).removesuffix("_total") for m in METRICS.values()}
    assert families == expected


def test_openmetrics_carries_trace_ids_as_exemplars(state: State) -> None:
    text = exposition.render(state, with_openmetrics=True).decode()
    samples = [sample for family in parse_openmetrics(text) for sample in family.samples]
    exemplars = [s.exemplar for s in samples if s.name == "rag_query_duration_seconds_bucket" and s.exemplar]
    assert len(exemplars) == 2
    assert {len(exemplar.labels["trace_id"]) for exemplar in exemplars} == {32}


def test_openmetrics_of_every_metric_parses() -> None:
    text = exposition.render(everything(), with_openmetrics=True).decode()
    assert len(list(parse_openmetrics(text))) == len(METRICS)


def test_text_has_no_exemplars(state: State) -> None:
    assert b"trace_id" not in exposition.render(state)


def test_buckets_are_cumulative_and_end_in_the_count(state: State) -> None:
    text = exposition.render(state).decode()
    family = next(f for f in parse_text(text) if f.name == "rag_query_duration_seconds")
    by_le = {
        sample.labels["le"]: sample.value
        for sample in family.samples
        if sample.name.endswith("_bucket") and sample.labels["outcome"] == "error"
    }
    assert by_le["5.0"] == 0
    assert by_le["10.0"] == by_le["+Inf"] == 1


def test_otlp_and_back_is_the_same_state() -> None:
    before = everything()
    resource = Resource({"service.name": "bot", "service.instance.id": "i-1"})
    body = otlp.to_request(before, resource, start_ns=10, now_ns=20)
    ((stream, after, at_ns),) = otlp_in.from_request(body)
    assert (stream, at_ns) == (Stream("i-1", 10, "bot"), 20)
    for metric, key, cell in before.cells():
        held = after.series(metric.name)[key]
        if metric.kind == "histogram":
            assert (held.counts, held.sum) == (cell.counts, cell.sum)
            assert [e[:3] for e in held.exemplars.values()] == [e[:3] for e in cell.exemplars.values()]
        else:
            assert held == cell


def test_otlp_is_cumulative_with_units_and_monotonic_sums(state: State) -> None:
    body = otlp.to_request(state, Resource({}), start_ns=10, now_ns=20)
    request = ExportMetricsServiceRequest.FromString(body)
    metrics = {m.name: m for m in request.resource_metrics[0].scope_metrics[0].metrics}
    duration, errors = metrics["rag.query.duration"], metrics["rag.query.errors"]
    assert duration.unit == "s"
    assert duration.histogram.aggregation_temporality == errors.sum.aggregation_temporality == 2
    assert errors.sum.is_monotonic
    assert metrics["rag.breaker.state"].WhichOneof("data") == "gauge"
    point = errors.sum.data_points[0]
    assert {a.key: a.value.string_value for a in point.attributes}["service"] == "bot"
    assert (point.start_time_unix_nano, point.time_unix_nano) == (10, 20)


def test_other_scopes_and_delta_points_are_left_out(state: State) -> None:
    request = ExportMetricsServiceRequest.FromString(otlp.to_request(state, Resource({}), start_ns=1, now_ns=2))
    foreign = ExportMetricsServiceRequest()
    foreign.CopyFrom(request)
    foreign.resource_metrics[0].scope_metrics[0].scope.name = "somebody.else"
    assert otlp_in.from_request(foreign.SerializeToString()) == []
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        if metric.WhichOneof("data") == "sum":
            metric.sum.aggregation_temporality = 1
    ((_, kept, _),) = otlp_in.from_request(request.SerializeToString())
    assert not kept.series("rag.query.errors")
    assert kept.series("rag.query.duration")


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5", True),
    ],
)
def test_accept_chooses_the_format(accept: str, openmetrics: bool) -> None:
    chosen, content_type = exposition.negotiate(accept)
    assert chosen is openmetrics
    assert ("openmetrics" in content_type) is openmetrics
