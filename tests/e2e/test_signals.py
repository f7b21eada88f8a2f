"""SDK → agent → a real receiver, and SDK → that receiver: traces, logs and metrics arrive unchanged in meaning."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import Agent
from tests.support.collector import BUILD_TIMEOUT_S, Collector
from tests.support.procs import Process
from tests.support.sink import Sink
from tests.support.wait import wait_until

APP = """
import ragwatch
from opentelemetry import trace

ragwatch.init(service="e2e", environment="test")

@ragwatch.cache("answers")
def lookup(question): return None

@ragwatch.retrieve(source="kb", top_k=2)
def search(question): return [{"id": "doc-1", "score": 0.9}, {"id": "doc-2", "score": 0.5}]

@ragwatch.generate(model="m", provider="p")
def write(question, documents):
    with trace.get_tracer("other").start_as_current_span("inner") as span:
        span.add_event("thinking", {"tokens": 3})
    yield "it "
    yield "works"

@ragwatch.query
def answer(question):
    if question == "bad":
        raise TimeoutError("too slow")
    return lookup(question) or "".join(write(question, search(question)))

assert answer("does it work?") == "it works"
try:
    answer("bad")
except TimeoutError:
    pass
assert ragwatch.flush(20)
ragwatch.shutdown()
"""


def run_app(endpoint: str, **env: str) -> list[str]:
    """Run the app against an endpoint; its log lines."""
    with Process.python(
        "-c", APP, env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "RAGWATCH_RAISE": "1", **env}
    ) as process:
        assert process.wait(60) == 0, process.output
        return [line for line in process.stderr if line.startswith("{")]


def check_spans(spans: list[Any]) -> None:
    named = {span.name: span for span in spans}
    assert sorted(span.name for span in spans) == ["answers", "generate", "inner", "query", "query", "retrieve"]
    by_id = {span.span_id: span for span in spans}
    assert by_id[named["inner"].parent_span_id].name == "generate"
    assert by_id[named["generate"].parent_span_id].name == "query"
    assert [event.name for event in named["inner"].events] == ["thinking"]
    held = {item.key: item.value for item in named["retrieve"].attributes}
    assert [doc["id"] for doc in json.loads(held["gen_ai.retrieval.documents"].string_value)] == ["doc-1", "doc-2"]
    assert held["rag.step"].string_value == "retrieve"
    failed = [span for span in spans if span.status.code == 2]
    assert len(failed) == 1
    (event,) = failed[0].events
    assert {item.key: item.value.string_value for item in event.attributes}["exception.type"] == "TimeoutError"
    assert "too slow" not in str(spans), "an exception's message is content"


def check_logs(records: list[Any], lines: list[str]) -> None:
    assert sorted(record.body.string_value for record in records) == sorted(lines)
    for record in records:
        line = json.loads(record.body.string_value)
        assert record.trace_id.hex() == line["trace_id"]
        assert record.span_id.hex() == line["span_id"]


def points(metric: Any) -> list[Any]:
    return list(getattr(metric, metric.WhichOneof("data")).data_points)


def errors_of(metrics: dict[str, Any]) -> list[Any]:
    """The points of errors that happened: from the agent come also those that are known to be 0."""
    return (
        [point for point in points(metrics["rag.query.errors"]) if point.as_double]
        if "rag.query.errors" in metrics
        else []
    )


def check_metrics(metrics: dict[str, Any], service: str = "e2e") -> None:
    duration = [
        point
        for point in points(metrics["rag.query.duration"])
        if {item.key: item.value.string_value for item in point.attributes}["service"] == service
    ]
    assert sum(point.count for point in duration) == 2
    assert any(point.exemplars for point in duration)
    (errors,) = errors_of(metrics)
    attributes = {item.key: item.value.string_value for item in errors.attributes}
    assert attributes == {"service": "e2e", "environment": "test", "step": "query", "error_class": "timeout"}


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
def test_sdk_to_receiver(protocol: str) -> None:
    with Sink() as sink:
        endpoint = f"http://{sink.grpc_target}" if protocol == "grpc" else sink.http_url
        lines = run_app(endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        check_spans(sink.spans())
        check_logs(sink.log_records(), lines)
        check_metrics(sink.metrics())


def test_sdk_to_agent_to_receiver(tmp_path: Path) -> None:
    with Sink() as sink, Agent(tmp_path, "--upstream", sink.http_url, "--metrics-interval-s", "1") as agent:
        lines = run_app(agent.http_url)
        wait_until(lambda: len(sink.spans()) == 6 and len(sink.log_records()) == 2, 15)
        check_spans(sink.spans())
        check_logs(sink.log_records(), lines)
        agent.wait_metric("rag_query_duration_seconds_count", 2, service="e2e")
        assert agent.metric("rag_query_errors_total", step="query", error_class="timeout") == 1
        wait_until(lambda: errors_of(sink.metrics()), 25, what="the KPIs upstream")
        check_metrics(sink.metrics())


@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_through_a_real_collector(tmp_path: Path) -> None:
    (tmp_path / "collector").mkdir()
    with Sink() as sink, Collector(tmp_path / "collector", forward_to=sink.http_url) as collector:
        lines = run_app(collector.http_url)
        wait_until(lambda: len(sink.spans()) == 6 and len(sink.log_records()) == 2 and sink.metrics(), 20)
        check_spans(sink.spans())
        check_logs(sink.log_records(), lines)
        check_metrics(sink.metrics())
        sink.reset()
        with Agent(tmp_path / "agent", "--upstream", f"grpc://{collector.grpc_target}") as agent:
            lines = run_app(agent.http_url)
            wait_until(lambda: len(sink.spans()) == 6 and len(sink.log_records()) == 2, 20)
            check_spans(sink.spans())
            check_logs(sink.log_records(), lines)


def test_a_dead_receiver_is_said_once_and_the_app_goes_on() -> None:
    app = APP.replace("assert ragwatch.flush(20)", "assert not ragwatch.flush(1)")
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "RAGWATCH_SHUTDOWN_TIMEOUT": "0.5"}
    with Process.python("-c", app, env={"PATH": os.environ["PATH"], **nowhere}) as process:
        assert process.wait(30) == 0, process.output
        said = [line for line in process.stderr if "cannot be delivered" in line]
        assert len(said) == 1


OPEN = """
import ragwatch
ragwatch.init(service="ends", environment="test")
guard = ragwatch.CircuitBreaker("index")

@ragwatch.query
def answer(): return "yes"

answer()
guard.force_open()
assert ragwatch.flush(20)
print("open", flush=True)
input()
"""


def test_a_breaker_that_was_open_when_its_process_ended_is_open_no_more(tmp_path: Path) -> None:
    held = {"service": "ends", "breaker": "index", "state": "forced_open"}
    with Agent(tmp_path) as agent:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url, "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
        with Process.python("-c", OPEN, env=env) as app:
            app.wait_line("open")
            agent.wait_metric("rag_breaker_state", 1, **held)
            app.say("")
            assert app.wait(20) == 0, app.output
        agent.wait_metric("rag_breaker_state", 0, **held)
        assert agent.metric("rag_query_duration_seconds_count", service="ends") == 1
        with Process.python("-c", OPEN, env=env) as app:
            app.wait_line("open")
            agent.wait_metric("rag_breaker_state", 1, **held)
            wait_until(lambda: agent.metric("rag_query_duration_seconds_count", service="ends") == 2)
            app.kill()
        agent.wait_metric("rag_breaker_state", 0, timeout_s=40, **held)
        assert agent.metric("rag_query_duration_seconds_count", service="ends") == 2
