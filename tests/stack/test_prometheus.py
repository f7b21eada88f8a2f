"""Every panel, every recording rule and the alerts on a real Prometheus that scrapes a real agent."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from ragwatch.codegen.grafana import panel_queries
from ragwatch.monitoring.rules import alert_rules, recording_rules, to_yaml
from ragwatch.monitoring.slo import slos_of
from tests.support.agent import Agent
from tests.support.procs import Process
from tests.support.prometheus import Prometheus
from tests.support.wait import wait_until

SCALE = 0.01
OBJECTIVES = {
    "slos": {
        "availability": {"target": 0.99},
        "latency": {"target": 0.95, "threshold_s": 5},
        "retrieval": {"target": 0.95},
    },
    "accuracy": {"target": 0.7, "min_judgements": 20},
}


class Stack(NamedTuple):
    agent: Agent
    prometheus: Prometheus


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An agent with an upstream, apps that do everything, hostile senders, and a Prometheus with the rules."""
    folder = tmp_path_factory.mktemp("stack")
    rules = {
        "alerts.yml": to_yaml(alert_rules(slos_of(OBJECTIVES, "test"), SCALE), "test"),
        "recording.yml": to_yaml(recording_rules(0.05), "test"),
    }
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    with (
        Agent(folder / "b") as upstream,
        Agent(folder / "a", "--upstream", upstream.http_url, "--incomplete-after-s", "1", "--metrics-interval-s", "1")
        as agent,
        Prometheus(folder / "p", {"ragwatch": agent.web_url.removeprefix("http://")}, rules) as prometheus,
    ):  # fmt: skip
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url, "OTEL_METRIC_EXPORT_INTERVAL": "500"}
        small = {**env, "OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_SERVICE_NAME": "small"}
        with (
            Process.python("-m", "tests.stack.everything", folder, env=env) as app,
            Process.python("-c", LOSER, env=small),
        ):
            odd_senders(agent)
            time_of_data = time.monotonic() + 14
            wait_until(lambda: time.monotonic() > time_of_data, 30)
            odd_senders(agent)
            assert app.returncode is None, app.output
            yield Stack(agent, prometheus)
            (folder / "stop").touch()
            assert app.wait(20) == 0, app.output


LOSER = """
import time, ragwatch
ragwatch.init(log_queries=False)
while True:
    for _ in range(20):
        with ragwatch.query("q"):
            pass
    time.sleep(0.2)
"""


def post(agent: Agent, body: bytes, content_type: str = "application/json") -> int:
    try:
        with urlopen(Request(f"{agent.http_url}/v1/traces", body, {"Content-Type": content_type}), timeout=10) as done:
            return int(done.status)
    except HTTPError as error:
        return error.code


def span(trace: int, number: int, parent: int, step: str, **attributes: str) -> dict[str, Any]:
    now = time.time_ns()
    return {
        "traceId": f"{trace:032x}", "spanId": f"{number:016x}", "parentSpanId": f"{parent:016x}" if parent else "",
        "name": step, "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 1000),
        "attributes": [
            {"key": key, "value": {"stringValue": value}} for key, value in {"rag.step": step, **attributes}.items()
        ],
    }  # fmt: skip


def request(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "t"}, "spans": list(spans)}]}]}).encode()


def garbage() -> bytes:
    """No OTLP, and new each time: what comes twice byte for byte is taken once."""
    return b"\xff\xff\xff" + os.urandom(8)


def odd_senders(agent: Agent) -> None:
    """What goes wrong in the field: no OTLP, unreadable, twice, late, without a root, ids in a label."""
    now = time.time_ns() % 10**12
    assert post(agent, b"<html>", "text/html") == 415
    assert post(agent, garbage(), "application/x-protobuf") == 200
    once = request(span(now, 1, 0, "query"), span(now, 2, 1, "retrieve"))
    assert [post(agent, once), post(agent, once)] == [200, 200]
    sources = [span(now + 9, n, 0, "retrieve", **{"gen_ai.data_source.id": f"s-{n}"}) for n in range(10, 80)]
    assert post(agent, request(*sources)) == 200
    assert post(agent, request(span(now + 1, 3, 7, "retrieve"))) == 200
    broken = span(now + 2, 5, 0, "", **{"openinference.span.kind": "RETRIEVER", "output.value": '{"documents": ['})
    assert post(agent, request(broken)) == 200
    wait_until(lambda: agent.metric("rag_query_duration_seconds_count", outcome="incomplete") > 0, 20)
    assert post(agent, request(span(now, 4, 1, "embed"))) == 200


def filled(expression: str) -> str:
    for name, value in (
        ("$__rate_interval", "5s"),
        ("$__range", "60s"),
        ("$service", ".*"),
        ("$environment", ".*"),
        ("$model", ".*"),
    ):
        expression = expression.replace(name, value)
    return expression


@pytest.mark.timeout(180)
def test_every_query_of_every_panel_has_series(stack: Stack) -> None:
    def empty() -> list[str]:
        return [
            f"{board}: {panel}: {filled(expression)}"
            for board, panel, expression in panel_queries()
            if not stack.prometheus.series(filled(expression), 60)
        ]

    deadline = time.monotonic() + 60
    while (missing := empty()) and time.monotonic() < deadline:
        stack.agent.json("/api/kpis")
    assert missing == []


@pytest.mark.timeout(180)
def test_every_recording_rule_yields(stack: Stack) -> None:
    names = {rule["record"] for group in recording_rules()["groups"] for rule in group["rules"]}
    names.add("rag:slo_budget_left:ratio")
    for name in names:
        wait_until(lambda name=name: stack.prometheus.query(name), 30, what=name)


@pytest.mark.timeout(180)
def test_the_right_alerts_fire_and_name_what_is_wrong(stack: Stack) -> None:
    wanted = {
        "Watchdog", "RagBreakerOpen", "RagErrorRate", "RagRetrievalAccuracyLow", "RagTelemetryLost",
        "RagwatchDeadLetters", "RagAvailabilityBurnRate",
    }  # fmt: skip
    seen: dict[str, str] = {}

    def fired() -> bool:
        post(stack.agent, garbage(), "application/x-protobuf")
        for name, alerts in stack.prometheus.firing().items():
            mine = [alert for alert in alerts if alert["labels"].get("service") in {"everything", "small", None}]
            seen.update(dict.fromkeys([name] * bool(mine), mine[-1]["annotations"]["summary"] if mine else ""))
        return wanted <= seen.keys()

    try:
        wait_until(fired, 90)
    except AssertionError:
        raise AssertionError(f"did not fire: {wanted - seen.keys()}; fired: {sorted(seen)}") from None
    assert "retrieve (connection)" in seen["RagErrorRate"]
    assert "The breaker store of everything is open" in seen["RagBreakerOpen"]
    assert {"RagwatchDown", "RagKpisTwice", "RagNoQueries", "RagCacheCollapse", "RagSlow"}.isdisjoint(seen)


@pytest.mark.timeout(120)
def test_an_exemplar_leads_to_the_trace_and_its_documents(stack: Stack) -> None:
    def found() -> dict[str, Any] | None:
        now = time.time()
        held = stack.prometheus.get(
            "query_exemplars", query="rag_query_duration_seconds_bucket", start=now - 60, end=now
        )
        for series in held:
            if series["seriesLabels"].get("service") != "everything":
                continue
            for exemplar in series["exemplars"]:
                trace = exemplar["labels"]["trace_id"]
                status, _, body = stack.agent.get(f"/api/queries/{trace}")
                if status == 200:
                    record: dict[str, Any] = json.loads(body)["queries"][0]
                    if any(step.get("documents") for step in record["steps"]):
                        return record
        return None

    record = wait_until(found, 60, what="an exemplar whose query is kept")
    assert record is not None
    documents = next(step["documents"] for step in record["steps"] if step.get("documents"))
    assert documents[0]["id"].startswith("doc-")


@pytest.mark.timeout(120)
def test_the_dashboards_can_be_drawn(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ragwatch.cli import main

    url = f"http://127.0.0.1:{stack.prometheus.port}"
    assert main(["snapshot", str(tmp_path), "--prometheus", url, "--since", "1m", "--board", "resilience"]) == 0
    assert "9 of 9 panels have data" in capsys.readouterr().out
    assert (tmp_path / "resilience.png").read_bytes()[:4] == b"\x89PNG"
