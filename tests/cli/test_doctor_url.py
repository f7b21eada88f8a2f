"""``ragwatch doctor URL``: an app that is asked over HTTP, whose query has to come to a real agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ragwatch.cli.doctor_app import Check
from ragwatch.cli.doctor_url import url_checks
from ragwatch.cli.source import RunningAgent
from ragwatch.target.url import Mapped, url_target
from tests.support.agent import Agent
from tests.support.known_app import as_json, served
from tests.support.procs import Process
from tests.support.wait import wait_until

APP = """
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
import ragwatch
from opentelemetry import context, propagate

ragwatch.init(service="behind-a-url")

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        token = context.attach(propagate.extract(dict(self.headers)) if {takes_trace} else context.Context())
        with ragwatch.query("q"):
            with ragwatch.retrieve() as step:
                step.documents([{{"id": "a"}}])
        context.detach(token)
        ragwatch.flush(5)
        body = json.dumps({{"answer": "so"}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = HTTPServer(("127.0.0.1", 0), Handler)
print("http://127.0.0.1:%d/ask" % server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with Agent(tmp_path_factory.mktemp("agent")) as running:
        yield running


@contextmanager
def app(agent: Agent, *, takes_trace: bool) -> Iterator[str]:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}
    with Process.python("-c", APP.format(takes_trace=takes_trace), env=env) as process:
        wait_until(lambda: "/ask" in process.output, what="the app's address")
        yield next(line for line in process.stdout if line.endswith("/ask"))


def looked_at(url: str, agent: Agent, arrival_s: float = 10.0) -> Check:
    (check,) = url_checks(url_target(Mapped(url)), RunningAgent(agent.web_url), arrival_s)
    return check


def test_an_app_whose_query_comes_in_the_trace_that_asked(agent: Agent) -> None:
    with app(agent, takes_trace=True) as url:
        check = looked_at(url, agent)
    assert check.status == "ok"
    assert "service behind-a-url" in check.said


def test_an_app_that_begins_traces_of_its_own(agent: Agent) -> None:
    with app(agent, takes_trace=False) as url:
        check = looked_at(url, agent, 2.0)
    assert check.status == "note"
    assert "a query of behind-a-url came, in a trace of its own" in check.said


def test_planted_an_app_that_sends_nothing(agent: Agent) -> None:
    with served(lambda _: as_json({"answer": "so"})) as url:
        check = looked_at(url, agent, 1.0)
    assert check.status == "wrong"
    assert "no query of it came to the agent" in check.said
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in check.do


def test_planted_an_app_that_fails(agent: Agent) -> None:
    with served(lambda _: (500, "text/plain", b"out of memory")) as url:
        check = looked_at(url, agent)
    assert check.status == "wrong"
    assert "HTTP 500: out of memory" in check.said


def test_the_verb_takes_a_url(agent: Agent, tmp_path: Path) -> None:
    with app(agent, takes_trace=True) as url:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}
        with Process.python("-m", "ragwatch.cli", "doctor", url, "--agent", agent.web_url, env=env) as process:
            assert process.wait(90) == 0, process.output
        assert "its query is in the agent: service behind-a-url" in process.output
