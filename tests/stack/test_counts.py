"""What an app did is what every end shows: the agent, the collector's file, its Prometheus exporter, Tempo and Loki."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.agent import Agent
from tests.support.collector import BUILD_TIMEOUT_S
from tests.support.procs import Process
from tests.support.production import ProductionCollector
from tests.support.sink import Sink
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(BUILD_TIMEOUT_S)]
QUERIES, ERRORS, HITS, EMPTY = 200, 20, 40, 16
SPANS = QUERIES + QUERIES + 2 * (QUERIES - HITS)  # a query and a lookup each; retrieve and generate where no hit was
EXPECTED = {
    ("rag_query_duration_seconds_count", ()): QUERIES,
    ("rag_query_errors_total", (("error_class", "timeout"), ("step", "generate"))): ERRORS,
    ("rag_cache_lookups_total", (("result", "hit"),)): HITS,
    ("rag_cache_lookups_total", (("result", "miss"),)): QUERIES - HITS,
    ("rag_retrieval_requests_total", (("result", "empty"),)): EMPTY,
    ("rag_step_calls_total", (("step", "generate"), ("outcome", "error"))): ERRORS,
}
APP = """
import ragwatch
ragwatch.init(service="counts", environment="test")

@ragwatch.cache("answers")
def lookup(n): return "known" if n % 5 == 0 else None

@ragwatch.retrieve(source="kb", top_k=1)
def search(n): return [] if n % 10 == 1 and n < 160 else [{"id": f"doc-{n}", "score": 0.5}]

@ragwatch.generate(model="m", provider="p")
def write(n, documents):
    if n % 10 == 2:
        raise TimeoutError("too slow for " + str(n))
    return "an answer"

@ragwatch.query
def answer(n): return lookup(n) or write(n, search(n))

for n in range(200):
    try:
        answer(n)
    except TimeoutError:
        pass
assert ragwatch.flush(20)
print(ragwatch.telemetry()["sent"])
ragwatch.shutdown()
"""


def run_app(endpoint: str) -> None:
    """Ask 200 questions."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "RAGWATCH_RAISE": "1", "RAGWATCH_LOG_FILE": "/dev/null"}
    with Process.python("-c", APP, env=env) as process:
        assert process.wait(60) == 0, process.output
        assert f"'traces': {SPANS}" in process.stdout[-1]


def seen(collector: ProductionCollector) -> dict[Any, float]:
    """The expected samples as the collector's Prometheus exporter has them."""
    samples = [item for item in collector.kpis() if item.labels.get("service") == "counts"]
    return {
        (name, labels): sum(item.value for item in samples if item.name == name and set(labels) <= item.labels.items())
        for name, labels in EXPECTED
    }


def settled(read: Callable[[], Any], expected: Any, what: str) -> None:
    """Wait until it reads so; what it reads at the end is in the message."""
    last: list[Any] = []

    def reached() -> bool:
        last[:] = [read()]
        return bool(last[0] == expected)

    try:
        wait_until(reached, 40)
    except AssertionError:
        raise AssertionError(f"{what}: {last[0]}, not {expected}") from None


def lines_of(path: Path) -> tuple[int, int]:
    """Spans and log records in the file of the collector's file exporter."""
    spans = records = 0
    for line in path.read_text().splitlines() if path.exists() else ():
        held = json.loads(line)
        spans += sum(len(s["spans"]) for group in held.get("resourceSpans", ()) for s in group["scopeSpans"])
        records += sum(len(s["logRecords"]) for group in held.get("resourceLogs", ()) for s in group["scopeLogs"])
    return spans, records


def test_sdk_to_agent_to_collector(tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    overlay = {
        "exporters": {"file": {"path": str(file), "flush_interval": "50ms"}},
        "service": {
            "pipelines": {
                "traces": {"exporters": ["otlp_grpc/tempo", "file"]},
                "logs": {"exporters": ["otlp_http/loki", "file"]},
            }
        },
    }
    with (
        Sink() as sink,
        ProductionCollector(tmp_path, sink, overlay=overlay, COLLECTOR_SAMPLE_PERCENT="100") as collector,
        Agent(
            tmp_path / "agent", "--upstream", f"grpc://{collector.grpc_target}", "--metrics-interval-s", "1"
        ) as agent,
    ):
        run_app(agent.http_url)
        for (name, labels), value in EXPECTED.items():
            agent.wait_metric(name, value, service="counts", **dict(labels))
        assert agent.metric("ragwatch_agent_received_total", signal="traces") == SPANS
        settled(lambda: seen(collector), EXPECTED, "the collector's Prometheus exporter")
        settled(lambda: (len(sink.spans()), len(sink.log_records())), (SPANS, QUERIES), "Tempo and Loki")
        settled(lambda: lines_of(file), (SPANS, QUERIES), "the collector's file")
        assert collector.own("otelcol_receiver_accepted_spans_total") == SPANS
        assert collector.own("otelcol_receiver_accepted_log_records_total") == QUERIES
        assert "too slow for" not in file.read_text(), "an exception's message is content"
        same_series(agent, collector)
        assert any(item.exemplar and "trace_id" in item.exemplar.labels for item in collector.kpis())


def kpi_series(samples: Iterable[Sample]) -> dict[Any, float]:
    """KPIs by name and labels, less what says where they came from; an empty label is none to Prometheus."""
    return {
        (item.name, *sorted((k, v) for k, v in item.labels.items() if v and k not in {"job", "instance"})): item.value
        for item in samples
        if item.name.startswith(("rag_", "gen_ai_"))
    }


def same_series(agent: Agent, collector: ProductionCollector) -> None:
    """KPIs have the same names, labels and values, whether the agent is scraped or the collector."""
    text = agent.get("/metrics")[2]
    scraped = kpi_series(item for family in text_string_to_metric_families(text) for item in family.samples)
    settled(lambda: sorted(kpi_series(collector.kpis()).keys() ^ scraped.keys()), [], "series of one end alone")
    assert kpi_series(collector.kpis()) == pytest.approx(scraped)
    assert {item.labels["job"] for item in collector.kpis() if item.name.startswith("rag_")} == {"ragwatch-agent"}


def test_sdk_to_collector_to_agent_counts_every_query_though_traces_are_sampled(tmp_path: Path) -> None:
    with Sink() as sink, Agent(tmp_path / "agent") as agent:
        overlay = {
            "exporters": {"otlp_http/agent": {"endpoint": agent.http_url}},
            "service": {
                "pipelines": {
                    "metrics": {"exporters": ["prometheus", "otlp_http/agent"]},
                    "traces": {"exporters": ["otlp_http/agent"]},
                    "logs": {"exporters": ["otlp_http/agent"]},
                }
            },
        }
        with ProductionCollector(tmp_path, sink, overlay=overlay, COLLECTOR_SAMPLE_PERCENT="0") as collector:
            run_app(collector.http_url)
            for (name, labels), value in EXPECTED.items():
                agent.wait_metric(name, value, 30, service="counts", **dict(labels))
            settled(lambda: seen(collector), EXPECTED, "the collector's Prometheus exporter")
            sampled = 4 * (EMPTY + ERRORS)  # a query, a lookup, a retrieval, an answer
            agent.wait_metric("ragwatch_agent_received_total", sampled, 30, signal="traces")
            assert agent.metric("rag_query_duration_seconds_count", service="counts") == QUERIES
            outcomes = [item["outcome"] for item in agent.json("/api/queries?limit=500")["queries"]]
            assert (outcomes.count("error"), outcomes.count("ok")) == (ERRORS, EMPTY)
