"""``ragwatch doctor app:answer --ask``: the app's own query is followed, or what stops it is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragwatch.cli import main
from ragwatch.cli.doctor_app import Check
from tests.support.agent import Agent
from tests.support.procs import Process

STEPS = """
import ragwatch
@ragwatch.query
async def answer(question):
    with ragwatch.retrieve() as step:
        step.documents(["a", "b"])
    if "fail" in question:
        raise LookupError("nothing there")
    return "so"
"""
APPS = {
    "good.py": "import ragwatch\nragwatch.init(service='good')" + STEPS,
    "elsewhere.py": "import os\nos.environ['OTEL_EXPORTER_OTLP_ENDPOINT'] = 'http://127.0.0.1:1'\n"
    "import ragwatch\nragwatch.init(service='elsewhere')" + STEPS,
    "plain.py": "def answer(question): return 'so'",
    "bare.py": "import ragwatch\nragwatch.init(service='bare')\ndef answer(question): return 'so'",
    "dies.py": "import ragwatch, os\nragwatch.init()\ndef answer(question): os._exit(3)",
    "foreign.py": """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
def answer(question):
    with trace.get_tracer("t").start_as_current_span("rag", attributes={"openinference.span.kind": "CHAIN"}):
        with trace.get_tracer("t").start_as_current_span("find", attributes={"openinference.span.kind": "RETRIEVER"}):
            return "so"
""",
}


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    for name, text in APPS.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with Agent(tmp_path_factory.mktemp("agent")) as running:
        yield running


def doctor(agent: Agent, apps: Path, target: str, question: str = "why?") -> tuple[dict[str, Check], int]:
    args = ("doctor", target, "--ask", question, "--agent", agent.web_url, "--json")
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url, "OTEL_SERVICE_NAME": "bot"}
    with Process.python("-m", "ragwatch.cli", *args, env=env, cwd=apps) as process:
        code = process.wait(90)
        *checks, _ = [json.loads(line) for line in process.stdout]
    return {check["name"]: Check(**check) for check in checks}, code


def wrong(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.status == "wrong"}


def test_its_own_query_is_followed(agent: Agent, apps: Path) -> None:
    checks, code = doctor(agent, apps, "good:answer")
    assert (code, wrong(checks)) == (0, set())
    assert checks["app"].said.startswith("good:answer answered 'why?' in ")
    assert "it is a query of good with its step retrieve" in checks["KPIs"].said
    assert checks["/metrics"].said == 'it counts it: rag_query_duration_seconds_count{service="good"}'
    (query,) = agent.json("/api/queries?service=good")["queries"]
    assert query["trace_id"] in checks["query"].said


def test_planted_an_app_that_sends_elsewhere(agent: Agent, apps: Path) -> None:
    checks, code = doctor(agent, apps, "elsewhere:answer")
    assert (code, wrong(checks)) == (1, {"query"})
    assert "the SDK could not deliver a query" in checks["query"].said


def test_planted_an_app_that_fails_and_one_that_dies(agent: Agent, apps: Path) -> None:
    checks, code = doctor(agent, apps, "good:answer", "fail please")
    assert (code, wrong(checks)) == (1, {"app"})
    assert "failed to answer 'fail please': LookupError: nothing there" in checks["app"].said
    checks, code = doctor(agent, apps, "dies:answer")
    assert (code, wrong(checks)) == (1, {"app"})
    assert "ended its process as it was asked: exit code 3" in checks["app"].said


def test_planted_an_app_that_nothing_traces_and_one_that_has_no_steps(agent: Agent, apps: Path) -> None:
    checks, code = doctor(agent, apps, "plain:answer")
    assert (code, wrong(checks)) == (1, {"init", "query"})
    assert "ragwatch.init(" in str(checks["query"].do)
    checks, code = doctor(agent, apps, "bare:answer")
    assert (code, wrong(checks)) == (1, {"KPIs"})
    assert "it is a query of bare without a step" in checks["KPIs"].said
    assert "@ragwatch.retrieve" in str(checks["KPIs"].do)


def test_an_instrumentor_s_query_is_followed_too(agent: Agent, apps: Path) -> None:
    checks, code = doctor(agent, apps, "foreign:answer")
    assert "it is a query of theirs with its step retrieve" in checks["KPIs"].said
    assert checks["/metrics"].status == "ok"
    assert (code, wrong(checks)) == (0, set())
    assert checks["init"].status == "note"


def test_without_an_app_there_is_nobody_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--ask", "why?"]) == 2
    assert "wants a TARGET that can be asked" in capsys.readouterr().err
