"""Everything reaches the upstream, once, in order, and survives what upstreams do."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.resources import Resource

from benchmarks.workload import Requests
from ragwatch.agent.forward import without_own_metrics
from ragwatch.kpi.engine import Engine
from ragwatch.kpi.otlp import to_request
from tests.agent.test_receiver import as_json, post, traces
from tests.support.agent import Agent
from tests.support.records import query
from tests.support.sink import BAD_REQUEST, UNAVAILABLE, Sink
from tests.support.wait import wait_until

REQUESTS = Requests(30, service="fwd")


def ids(sink: Sink) -> list[bytes]:
    return [bytes(span.span_id) for span in sink.spans()]


def test_everything_arrives_once_over_http_and_grpc(tmp_path: Path) -> None:
    for scheme in ("http", "grpc"):
        with Sink() as sink:
            upstream = sink.http_url if scheme == "http" else f"grpc://{sink.grpc_target}"
            with Agent(tmp_path / scheme, "--upstream", upstream) as agent:
                for number in range(20):
                    assert post(agent, "/v1/traces", REQUESTS.make(number))[0] == 200
                assert post(agent, "/v1/traces", as_json(traces(99)), "application/json")[0] == 200
                wait_until(lambda sink=sink: len(ids(sink)) >= 601, 15)  # type: ignore[misc]
                assert len(set(ids(sink))) == len(ids(sink)) == 601
                assert sink.counts()["traces"]["requests"] < 21, "small requests are joined"
                wait_until(lambda sink=sink: "rag.query.duration" in sink.metrics(), 20)  # type: ignore[misc]
                assert agent.metric("ragwatch_build_info") == 1
                assert agent.metric("ragwatch_build_info", agent="") == 0, "which agent it is, by whichever way"


def test_an_upstream_that_is_down_gets_everything_when_it_is_up(tmp_path: Path) -> None:
    with Sink() as sink, Agent(tmp_path, "--upstream", sink.http_url) as agent:
        sink.answer(UNAVAILABLE)
        for number in range(5):
            post(agent, "/v1/traces", REQUESTS.make(number))
        wait_until(lambda: sink.counts()["traces"]["attempts"] >= 1, 10)
        agent.kill("forward")
        agent.kill("pipeline")
        sink.reset()
        wait_until(lambda: len(set(ids(sink))) == 150, 20)
        agent.wait_metric("ragwatch_agent_lag", 0, consumer="forward")


def test_a_request_that_is_refused_for_good_is_set_aside_alone(tmp_path: Path) -> None:
    with Sink() as sink, Agent(tmp_path, "--upstream", sink.http_url) as agent:
        sink.answer(BAD_REQUEST)
        post(agent, "/v1/traces", REQUESTS.make(1))
        agent.wait_metric("ragwatch_agent_dead_letters_total", 1, reason="forward_refused")
        sink.reset()
        post(agent, "/v1/traces", REQUESTS.make(2))
        wait_until(lambda: len(ids(sink)) == 30, 10)
        assert agent.metric("ragwatch_agent_forwarded_total", result="refused") == 1


def test_apps_own_metrics_are_left_out_and_others_stay() -> None:
    engine = Engine()
    engine.observe(query())
    own = to_request(engine.state, Resource({"service.name": "app"}), start_ns=1, now_ns=2)
    assert without_own_metrics(own) is None
    request = ExportMetricsServiceRequest.FromString(own)
    foreign = request.resource_metrics[0].scope_metrics.add()
    foreign.scope.name = "my.app"
    foreign.metrics.add(name="my.metric")
    kept = ExportMetricsServiceRequest.FromString(without_own_metrics(request.SerializeToString()) or b"")
    assert [scope.scope.name for scope in kept.resource_metrics[0].scope_metrics] == ["my.app"]
