"""What the agent shows on its web port."""

from __future__ import annotations

import json

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from benchmarks.workload import Requests
from ragwatch.agent.parameters import SEARCH, Parameter
from tests.agent.test_receiver import post
from tests.support.agent import Agent
from tests.support.promtool import promtool_check
from tests.support.wait import wait_until


@pytest.fixture(scope="module", autouse=True)
def some_queries(agent: Agent) -> None:
    assert post(agent, "/v1/traces", Requests(30, service="web").make(1))[0] == 200
    agent.wait_metric("rag_query_duration_seconds_count", 5, service="web")


def test_metrics_pass_promtool(agent: Agent) -> None:
    status, content_type, body = agent.get("/metrics")
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    assert promtool_check(body) == ""


def test_metrics_are_openmetrics_with_exemplars_when_asked(agent: Agent) -> None:
    _, content_type, body = agent.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    samples = [sample for family in parse_openmetrics(body) for sample in family.samples]
    assert any(sample.exemplar and sample.exemplar.labels.get("trace_id") for sample in samples)


def test_the_agent_speaks_of_itself(agent: Agent) -> None:
    wanted = (
        "ragwatch_agent_received_total", "ragwatch_agent_inbox_rows", "ragwatch_agent_inbox_bytes",
        "ragwatch_agent_inbox_oldest_seconds", "ragwatch_agent_lag", "ragwatch_agent_commit_duration_seconds_bucket",
        "ragwatch_build_info",
    )  # fmt: skip

    def missing() -> list[str]:
        text = agent.get("/metrics")[2]
        return [name for name in wanted if f"\n{name}" not in text]

    # how long a commit took is in the next one: whatever comes makes one, in whatever order tests run
    assert post(agent, "/v1/logs", b"\x0a\x00")[0] == 200
    wait_until(lambda: not missing(), what="everything that the agent says of itself")
    assert agent.metric("ragwatch_build_info", agent="") == 1, "nothing goes upstream: it comes by one way"


def test_health_and_readiness(agent: Agent) -> None:
    assert agent.get("/healthz")[::2] == (200, "ok\n")
    assert agent.json("/readyz") == {"ready": True, "problems": {}}


def test_kpis_carry_their_n(agent: Agent) -> None:
    found = agent.json("/api/kpis?service=web")
    assert found["query_count"] == found["n"]["latency"] == 5
    assert found["error_rate"] == 0.0
    assert found["retrieval_accuracy"] is None


def test_queries_can_be_listed_and_looked_up(agent: Agent) -> None:
    listed = agent.json("/api/queries?limit=3&service=web")["queries"]
    assert len(listed) == 3
    trace_id = listed[0]["trace_id"]
    (found,) = agent.json(f"/api/queries/{trace_id.upper()}")["queries"]
    assert found == listed[0]
    assert [step["step"] for step in found["steps"]] == ["cache", "embed", "retrieve", "rerank", "generate"]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/queries?limit=0", 400, "whole number from 1"),
        ("/api/queries?limit=x", 400, "whole number from 1"),
        ("/api/queries?outcome=great", 400, "one of ok"),
        ("/api/queries?sinse=15m", 400, "did you mean 'since'?"),
        ("/api/queries?since=soon", 400, "like 15m"),
        ("/api/queries?cursor=1", 400, "of the page before"),
        ("/api/queries/not-hex", 400, "4 to 32 hex digits"),
        (f"/api/queries/{'0' * 32}", 404, "no query of trace"),
        ("/nothing", 404, ""),
    ],
)
def test_bad_requests_say_what_is_wrong(agent: Agent, path: str, status: int, says: str) -> None:
    found, _, body = agent.get(path)
    assert found == status
    assert says in body


def test_the_page_links_everything(agent: Agent) -> None:
    status, content_type, body = agent.get("/")
    assert (status, content_type.split(";")[0]) == (200, "text/html")
    assert all(
        f'href="{path}' in body for path in ("/metrics", "/api/kpis", "/api/queries", "/api/openapi.json", "/readyz")
    )


def test_the_openapi_document_is_valid_and_says_what_is_answered(agent: Agent) -> None:
    import jsonschema
    import openapi_spec_validator

    document = agent.json("/api/openapi.json")
    openapi_spec_validator.validate(document)
    schemas = document["components"]["schemas"]
    assert schemas["Query"]["properties"]["version"] == {"type": "string"}
    assert schemas["Step"]["properties"]["breakers"]["additionalProperties"] == {"type": "string"}
    assert not {"breaker", "breaker_state"} & {*schemas["Query"]["properties"], *schemas["Step"]["properties"]}
    for path, held in document["paths"].items():
        asked = path.replace("{trace_id}", agent.json("/api/queries?limit=1")["queries"][0]["trace_id"])
        status, content_type, body = agent.get(asked)
        content = held["get"]["responses"][str(status)]["content"]
        (declared,) = content.values()
        assert content_type.split(";")[0] in content, path
        if "json" in content_type:
            schema = {**declared["schema"], "components": document["components"]}
            jsonschema.validate(json.loads(body), schema)


@pytest.mark.parametrize("parameter", SEARCH, ids=lambda parameter: parameter.name)
def test_every_example_of_the_document_is_understood(agent: Agent, parameter: Parameter) -> None:
    if parameter.example:
        assert agent.get(f"/api/queries?{parameter.name}={parameter.example}")[0] == 200


def test_a_page_of_queries_goes_on_at_its_cursor_whatever_comes_between(agent: Agent) -> None:
    first = agent.json("/api/queries?service=web&limit=2")
    assert post(agent, "/v1/traces", Requests(6, service="later").make(7))[0] == 200
    agent.wait_metric("rag_query_duration_seconds_count", 1, service="later")
    second = agent.json(f"/api/queries?service=web&limit=2&cursor={first['next']}")
    third = agent.json(f"/api/queries?service=web&limit=2&cursor={second['next']}")
    traces = [query["trace_id"] for page in (first, second, third) for query in page["queries"]]
    assert len(traces) == len(set(traces)) == 5
    assert third["next"] is None


def test_a_beginning_that_several_traces_share_names_them(agent: Agent) -> None:
    status, _, body = agent.get("/api/queries/1000")
    assert status == 409
    assert len(json.loads(body)["traces"]) >= 5
