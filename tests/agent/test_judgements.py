"""Feedback and relevance: from the app, from another process, from anybody's evaluator; counted once, whatever dies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from ragwatch.conventions.decode_json import json_to_protobuf
from ragwatch.conventions.evaluation import judgements
from tests.support.agent import Agent
from tests.support.procs import Process

APP = """
import sys, ragwatch
ragwatch.init(service="bot", log_queries=False)
with ragwatch.query("why?"):
    print(ragwatch.trace_id())
"""
JUDGE = """
import sys, ragwatch
ragwatch.init(service="reviews", log_queries=False)
trace = sys.argv[1]
ragwatch.feedback(trace, False, service="bot")
ragwatch.feedback(trace, False, service="bot")
ragwatch.feedback(trace, True, service="bot", judge="ann@example.com")
ragwatch.relevance(trace, True, service="bot")
ragwatch.feedback("not a trace", True)
ragwatch.feedback(trace, True, source="somebody")
assert ragwatch.flush()
"""


def judged(agent: Agent, **labels: str) -> float:
    return agent.metric("rag_judgements_total", service="bot", **labels)


def test_judgements_of_another_process_are_counted_once(tmp_path: Path) -> None:
    with Agent(tmp_path) as agent:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}
        with Process.python("-c", APP, env=env) as app:
            assert app.wait(20) == 0, app.output
            trace = app.stdout[-1]
        for _ in range(2):  # said again by another process, and after the pipeline was killed
            with Process.python("-c", JUDGE, trace, env=env) as judge:
                assert judge.wait(20) == 0, judge.output
                assert "no trace id" in judge.output
                assert "'somebody' is none of" in judge.output
            agent.wait_metric("rag_judgements_total", 3)
            agent.kill("pipeline")
        agent.wait_metric("ragwatch_agent_duplicates_total", 5, reason="judgement")
        assert judged(agent, target="answer", source="feedback", verdict="bad") == 1
        assert judged(agent, target="answer", source="feedback", verdict="good") == 1
        assert judged(agent, target="retrieval", source="label", verdict="good") == 1


CACHED = """
import sys, time, ragwatch
ragwatch.init(service="bot", log_queries=False)
for found in (True, False):
    with ragwatch.query("why?"):
        with ragwatch.cache("answers") as cache:
            cache.hit(found)
        trace = ragwatch.trace_id()
    ragwatch.flush()
    time.sleep(1)
    ragwatch.feedback(trace, not found)
ragwatch.feedback("ab" * 16, True)
ragwatch.flush()
"""


def test_a_judgement_says_whether_the_cache_gave_the_answer(tmp_path: Path) -> None:
    with Agent(tmp_path) as agent:
        with Process.python("-c", CACHED, env={"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}) as app:
            assert app.wait(20) == 0, app.output
        agent.wait_metric("rag_judgements_total", 3)
        assert judged(agent, verdict="bad", cache="hit") == 1
        assert judged(agent, verdict="good", cache="miss") == 1
        assert judged(agent, verdict="good", cache="") == 1, "the query is not known"


def body(**attributes: Any) -> bytes:
    values = [
        {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"doubleValue": value}}
        for key, value in attributes.items()
    ]
    record = {"eventName": "gen_ai.evaluation.result", "traceId": "ab" * 16, "attributes": values}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "bot"}}]}
    logs = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
    return json.dumps(logs).encode()


@pytest.mark.parametrize(
    ("attributes", "target", "verdict"),
    [
        ({"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.label": "Pass"}, "retrieval", "good"),
        ({"gen_ai.evaluation.name": "Groundedness", "gen_ai.evaluation.score.value": 0.2}, "answer", "bad"),
        ({"gen_ai.evaluation.name": "context_precision", "gen_ai.evaluation.score.value": 0.9}, "retrieval", "good"),
        ({"gen_ai.evaluation.name": "Hallucination", "gen_ai.evaluation.score.label": "not relevant"}, "answer", "bad"),
    ],
)
def test_an_evaluator_of_anybody_is_read(attributes: dict[str, Any], target: str, verdict: str) -> None:
    (found,) = judgements(json_to_protobuf("logs", body(**attributes)))
    assert (found.service, found.target, found.source, found.verdict) == ("bot", target, "judge", verdict)


def test_a_record_that_says_neither_good_nor_bad_is_no_judgement() -> None:
    assert list(judgements(json_to_protobuf("logs", body(**{"gen_ai.evaluation.score.value": 4.0})))) == []
    assert list(judgements(b"")) == []


def test_over_json_it_reaches_the_metrics(tmp_path: Path) -> None:
    with Agent(tmp_path) as agent:
        headers = {"Content-Type": "application/json"}
        once = body(**{"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.label": "fail"})
        urlopen(Request(f"{agent.http_url}/v1/logs", once, headers), timeout=10).close()
        agent.wait_metric("rag_judgements_total", 1, target="retrieval", source="judge", verdict="bad")
