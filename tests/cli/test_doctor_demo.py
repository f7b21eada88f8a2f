"""``ragwatch doctor demo``: the bundled app is built, asked once, and its query followed hop by hop."""

from __future__ import annotations

import json
from pathlib import Path

from ragwatch.cli.doctor_app import Check
from ragwatch.cli.doctor_ask import asking
from tests.support.agent import Agent
from tests.support.procs import Process
from tests.support.sink import Sink

STEPS = ["cache", "embed", "retrieve", "rerank", "generate"]


def doctor(agent: str, *args: str, **env: str) -> tuple[dict[str, Check], int]:
    command = ("-m", "ragwatch.cli", "doctor", "demo", "--agent", agent, "--json", *args)
    with Process.python(*command, env={"OTEL_SERVICE_NAME": "bot", **env}) as process:
        code = process.wait(300)
        *checks, summary = [json.loads(line) for line in process.stdout]
    assert summary["summary"]["flows"] == (code == 0)
    return {check["name"]: Check(**check) for check in checks}, code


def test_its_query_is_followed_to_the_metrics_and_beyond(tmp_path: Path) -> None:
    with Sink(grpc=False) as upstream, Agent(tmp_path, "--upstream", upstream.http_url) as agent:
        checks, code = doctor(agent.web_url, OTEL_EXPORTER_OTLP_ENDPOINT=agent.http_url)
        assert code == 0
        (query,) = agent.json("/api/queries?service=ragwatch-doctor")["queries"]
    assert list(checks)[-8:] == ["agent", "clock", "app", "query", "inbox", "KPIs", "/metrics", "upstream"]
    assert {check.status for name, check in checks.items() if name != "instruments"} == {"ok"}
    assert f"from 5 documents: {', '.join(STEPS)}" in checks["app"].said
    assert query["trace_id"] in checks["query"].said
    assert [step["step"] for step in query["steps"]] == STEPS
    assert f"with its steps {', '.join(STEPS)}" in checks["KPIs"].said
    assert {span.name for span in upstream.spans()} >= {"query", "retrieve"}


def test_it_answers_where_nothing_can_be_sent_and_the_hop_is_named() -> None:
    checks, code = doctor("http://127.0.0.1:1", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert code == 1
    assert {name for name, check in checks.items() if check.status == "wrong"} == {"receiver", "agent"}
    assert checks["app"].status == "ok"
    assert checks["query"].status == "unknown"


def test_planted_an_index_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Agent(tmp_path / "agent") as agent:
        checks, code = doctor(
            agent.web_url, "--cache-dir", str(tmp_path / "file"), OTEL_EXPORTER_OTLP_ENDPOINT=agent.http_url
        )
    assert code == 1
    assert {name for name, check in checks.items() if check.status == "wrong"} == {"app"}
    assert "the index cannot be kept there" in checks["app"].said


def test_a_demo_that_dies_or_fails_is_said() -> None:
    looks = asking("demo", None, None).checks
    (dead,) = looks(None, "Killed")
    assert (dead.status, dead.said) == ("wrong", "the demo ended its process as it was asked: Killed")
    (failed,) = looks({"error": "ValueError: no", "question": "q"}, "")
    assert (failed.status, failed.said) == ("wrong", "the demo failed to answer 'q': ValueError: no")
