"""The whole of profile ``full`` runs: what an app asks is followed to the panel, the alert, the trace and the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.golang import BUILD_TIMEOUT_S
from tests.support.sink import Sink
from tests.support.stack import QUERIES, Stack
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(BUILD_TIMEOUT_S)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Sink() as sink:
        running = Stack(tmp_path_factory.mktemp("stack"), sink)
        try:
            running.start()
            running.play()
            running.wait_value("sum(rag_query_duration_seconds_count)", QUERIES)
            yield running
        finally:
            running.close()


def test_every_question_of_the_demo_is_in_prometheus_once(stack: Stack) -> None:
    found = stack.prometheus("query", query="count by (job) (rag_query_duration_seconds_count)")["result"]
    assert [item["metric"]["job"] for item in found] == ["ragwatch-agent"], "through the collector, and no other way"
    assert stack.agent("/api/kpis")["query_count"] == QUERIES
    assert stack.value('sum(rag_query_duration_seconds_count{service="python-docs",environment="demo"})') == QUERIES


def test_every_target_is_up_and_the_agents_own_page_is_not_taken_twice(stack: Stack) -> None:
    wait_until(lambda: stack.value("min(up{job!='grafana',job!='prometheus',job!='alertmanager'})") == 1, 20)
    up = {item["metric"]["job"] for item in stack.prometheus("query", query="up == 1")["result"]}
    assert up == {"ragwatch-through-collector", "agent-up", "collector"}
    assert stack.prometheus("query", query='{job="agent-up",__name__!~"up|scrape_.*"}')["result"] == []


def test_every_rule_is_evaluated_without_an_error(stack: Stack) -> None:
    def rules() -> list[Any]:
        found = [rule for group in stack.prometheus("rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    found = wait_until(rules, 30, what="every rule to be evaluated")
    assert len(found) > 20
    assert [(rule["name"], rule["lastError"]) for rule in found if rule["health"] != "ok"] == []


def test_the_watchdog_reaches_alertmanager(stack: Stack) -> None:
    wait_until(lambda: "Watchdog" in stack.alerts(), 30, what="the watchdog")


def test_traces_and_lines_arrive_behind_the_collector_without_text(stack: Stack) -> None:
    """The demo lets its text out; the collector does not."""

    def named(event: str) -> list[Any]:
        return [item for item in stack.sink.log_records() if item.event_name == event]

    wait_until(lambda: len(named("rag.query")) >= QUERIES and named("gen_ai.evaluation.result"), 30)
    outcomes = [json.loads(item.body.string_value).get("outcome") for item in named("rag.query")]
    assert len([outcome for outcome in outcomes if outcome]) == QUERIES
    failed = [item["trace_id"] for item in stack.agent("/api/queries?limit=500&outcome=error")["queries"]]
    wait_until(
        lambda: set(failed) <= {item.trace_id.hex() for item in stack.sink.spans()}, 30, what="each failed query"
    )
    asked = {item["question"] for item in stack.agent("/api/queries?limit=500")["queries"]}
    assert len(asked) > 10, "the agent had the text"
    for received in stack.sink.received:
        text = str(received.message)
        assert not [question for question in asked if question in text]


def test_an_exemplar_leads_to_its_trace(stack: Stack) -> None:
    def traces() -> set[str]:
        found = stack.prometheus(
            "query_exemplars", query="rag_query_duration_seconds_bucket", start="0", end="4102444800"
        )
        return {item["labels"]["trace_id"] for series in found for item in series["exemplars"]}

    trace_id = min(wait_until(traces, 20, what="an exemplar"))
    (query,) = stack.agent(f"/api/queries/{trace_id}")["queries"]
    assert query["trace_id"] == trace_id


def test_kpis_by_both_ways_at_once_are_said(stack: Stack) -> None:
    """The last test of the module: from here on everything is counted twice."""
    stack.scrape_the_agent_too()
    stack.wait_value("sum(rag_query_duration_seconds_count)", 2 * QUERIES)
    found = stack.prometheus("query", query="count by (job) (rag_query_duration_seconds_count)")["result"]
    assert {item["metric"]["job"] for item in found} == {"ragwatch", "ragwatch-agent"}
    each = {item["value"][1] for item in found}
    assert len(each) == 1, "the same series by either way"

    def firing() -> list[str]:
        return [
            item["labels"]["agent"]
            for item in stack.prometheus("alerts")["alerts"]
            if item["labels"]["alertname"] == "RagKpisTwice"
        ]

    (agent,) = {item["metric"]["agent"] for item in stack.prometheus("query", query="ragwatch_build_info")["result"]}
    assert agent, "an agent with an upstream says which one it is"
    assert wait_until(firing, 20, what="RagKpisTwice to be pending") == [agent]
