"""``ragwatch doctor`` on a real agent: a way that works, faults planted one by one, and an archive without secrets."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import pytest

from ragwatch import __version__
from ragwatch.cli import main
from tests.support.agent import Agent
from tests.support.procs import Process
from tests.support.sink_process import SinkProcess
from tests.support.wait import wait_until

APPS = {
    "silent_app.py": "def answer(question): return question",
    "broken_app.py": "import a_module_that_is_not_there\ndef answer(question): ...",
    "good_app.py": "import ragwatch\nragwatch.init(service='good')\n@ragwatch.query\ndef answer(question): ...",
    "dropping_app.py": (
        "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider, sampling\n"
        "trace.set_tracer_provider(TracerProvider(sampler=sampling.ALWAYS_OFF))\n"
        "import ragwatch\nragwatch.init(service='dropping')\ndef answer(question): ..."
    ),
    "mute_app.py": (
        "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"
        "trace.set_tracer_provider(TracerProvider())\n"
        "def answer(question):\n"
        "    with trace.get_tracer('app').start_as_current_span('answer'): return question"
    ),
    "exporting_app.py": (
        "import io\nfrom opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor\n"
        "provider = TracerProvider()\n"
        "provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=io.StringIO())))\n"
        "trace.set_tracer_provider(provider)\ndef answer(question): return question"
    ),
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


def doctor(
    agent: str, endpoint: str, *args: str, cwd: Path | None = None, **env: str
) -> tuple[dict[str, dict[str, str]], int]:
    """The checks by name (the last of a name), and the exit code."""
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "bot", **env}
    with Process.python(
        "-m", "ragwatch.cli", "doctor", "--agent", agent, "--json", *args, env=given, cwd=cwd
    ) as process:
        code = process.wait(90)
        *checks, summary = [json.loads(line) for line in process.stdout]
    assert summary["summary"]["flows"] == (code == 0)
    assert set(summary["summary"]["wrong"]) == {check["name"] for check in checks if check["status"] == "wrong"}
    return {check["name"]: check for check in sorted(checks, key=lambda check: check["status"] == "wrong")}, code


def wrong(checks: dict[str, dict[str, str]]) -> set[str]:
    return {name for name, check in checks.items() if check["status"] == "wrong"}


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on loopback, and its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def web_page(agent: Agent | None = None, ahead_s: float = 0.0, version: str | None = None) -> Iterator[str]:
    """A server that answers everything with a page, or as an agent does whose clock is ahead, or of another version."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = agent.get(self.path) if agent is not None else (200, "text/html", "<html>hello</html>")
            if agent is not None and self.path == "/api/state":
                found = json.loads(body)
                body = json.dumps({**found, "at": found["at"] + ahead_s})
            if version is not None:
                body = body.replace(f'version="{__version__}"', f'version="{version}"')
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with serving(Page) as url:
        yield url


@contextmanager
def upstream(**statuses: int) -> Iterator[str]:
    """A server that answers requests of each signal with a status."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(statuses[self.path.rpartition("/")[2]])
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving(Receiver) as url:
        yield url


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_a_way_that_works_is_proved_hop_by_hop(tmp_path: Path, apps: Path) -> None:
    with SinkProcess() as sink, Agent(tmp_path, "--upstream", f"http://127.0.0.1:{sink.http_port}") as agent:
        checks, code = doctor(agent.web_url, agent.http_url, "good_app:answer", cwd=apps)
        assert (code, wrong(checks)) == (0, set())
        hops = ("receiver", "agent", "clock", "query", "inbox", "KPIs", "/metrics", "upstream")
        assert {name: checks[name]["status"] for name in hops} == dict.fromkeys(hops, "ok")
        assert checks["init"]["said"] == "ragwatch is on as service good, content off"
        assert agent.metric("rag_query_duration_seconds_count", service="ragwatch-doctor") == 1
        assert any(sink.counts()["traces"].values())


def test_over_grpc_too(agent: Agent) -> None:
    checks, code = doctor(agent.web_url, f"http://{agent.grpc_target}", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert (code, wrong(checks)) == (0, set())


def test_planted_no_agent_runs() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    checks, code = doctor(url, url)
    assert (code, wrong(checks)) == (1, {"receiver", "agent"})
    assert "nobody listens at" in checks["receiver"]["said"]
    assert checks["agent"]["do"].startswith("ragwatch agent")


def test_planted_http_at_the_grpc_port(agent: Agent) -> None:
    checks, _ = doctor(agent.web_url, f"http://{agent.grpc_target}")
    assert wrong(checks) == {"receiver"}
    assert "speaks gRPC, not HTTP" in checks["receiver"]["said"]
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in checks["receiver"]["do"]


def test_planted_grpc_at_the_http_port(agent: Agent) -> None:
    checks, _ = doctor(agent.web_url, agent.http_url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert wrong(checks) == {"receiver"}
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in checks["receiver"]["do"]


def test_planted_no_token(tmp_path: Path) -> None:
    with Agent(tmp_path, "--token", "s3cret") as agent:
        checks, _ = doctor(agent.web_url, agent.http_url)
        assert wrong(checks) == {"receiver", "agent"}
        assert "wants a token" in checks["receiver"]["said"]
        assert "authorization=Bearer" in checks["receiver"]["do"]
        assert "--token" in checks["agent"]["do"]
        headers = "authorization=Bearer s3cret"
        checks, code = doctor(agent.web_url, agent.http_url, "--token", "s3cret", OTEL_EXPORTER_OTLP_HEADERS=headers)
        assert (code, wrong(checks)) == (0, set())


def test_planted_a_web_page_where_the_receiver_and_the_agent_should_be(agent: Agent) -> None:
    with web_page() as page:
        checks, _ = doctor(agent.web_url, page)
        assert wrong(checks) == {"receiver"}
        assert "is no OTLP receiver: it answers 200 with text/html" in checks["receiver"]["said"]
        checks, _ = doctor(page, agent.http_url)
        assert wrong(checks) == {"agent"}
        assert "is no ragwatch agent" in checks["agent"]["said"]


@pytest.mark.parametrize(
    ("name", "value", "check", "said", "do"),
    [
        ("OTEL_SDK_DISABLED", "true", "switch", "switches all telemetry off", "unset OTEL_SDK_DISABLED"),
        ("OTEL_TRACES_EXPORTER", "none", "switch", "no trace and no query reaches the agent", "unset"),
        ("RAGWATCH_CONTENT", "yes", "settings", "RAGWATCH_CONTENT: 'yes' is not off, truncated or full", "explain"),
        ("RAGWATCH_CONTNET", "off", "settings", "did you mean 'RAGWATCH_CONTENT'?", ", and set RAGWATCH_CONTENT"),
    ],
)
def test_planted_settings(agent: Agent, name: str, value: str, check: str, said: str, do: str) -> None:
    checks, code = doctor(agent.web_url, agent.http_url, **{name: value})
    assert code == 1
    assert check in wrong(checks)
    assert said in checks[check]["said"]
    assert do in checks[check]["do"]


def test_planted_a_sampler_that_drops_every_trace_and_the_query_is_counted(agent: Agent) -> None:
    checks, code = doctor(agent.web_url, agent.http_url, OTEL_TRACES_SAMPLER="always_off")
    assert (code, wrong(checks)) == (1, {"sampler"})
    assert "drops every trace" in checks["sampler"]["said"]
    assert checks["sampler"]["do"]
    assert checks["KPIs"]["status"] == "unknown"
    assert checks["/metrics"]["status"] == "ok"


def test_planted_a_pipeline_that_stands_still(tmp_path: Path) -> None:
    with Agent(tmp_path) as agent:
        os.kill(agent.state["pids"]["pipeline"], signal.SIGSTOP)
        try:
            checks, _ = doctor(agent.web_url, agent.http_url)
        finally:
            os.kill(agent.state["pids"]["pipeline"], signal.SIGCONT)
    assert wrong(checks) == {"KPIs"}
    assert "wait in the inbox and the pipeline takes none" in checks["KPIs"]["said"]
    assert checks["inbox"]["status"] == "ok"


def test_planted_an_upstream_that_is_down(tmp_path: Path) -> None:
    with Agent(tmp_path, "--upstream", f"http://127.0.0.1:{free_port()}") as agent:
        checks, _ = doctor(agent.web_url, agent.http_url)
    assert wrong(checks) == {"upstream"}
    assert "which does not take them (NewConnectionError at http:" in checks["upstream"]["said"]


def test_planted_an_upstream_that_refuses_for_good(tmp_path: Path) -> None:
    with upstream(traces=401, metrics=401, logs=401) as url, Agent(tmp_path, "--upstream", url) as agent:
        checks, _ = doctor(agent.web_url, agent.http_url)
    assert wrong(checks) == {"upstream"}
    assert f"refuses what it gets (HTTP 401 from {url}/v1/traces)" in checks["upstream"]["said"]
    assert "--upstream-headers" in checks["upstream"]["do"]


def test_planted_an_upstream_that_is_a_web_page(tmp_path: Path) -> None:
    with web_page() as page, Agent(tmp_path, "--upstream", page) as agent:
        checks, _ = doctor(agent.web_url, agent.http_url)
    assert wrong(checks) == {"upstream"}
    assert "answers with a page, not as an OTLP receiver) (nothing is lost)" in checks["upstream"]["said"]


def test_an_upstream_that_takes_no_metrics_is_noted(tmp_path: Path) -> None:
    options = ("--metrics-interval-s", "0.3")
    with (
        upstream(traces=200, metrics=404, logs=200) as url,
        Agent(tmp_path, "--upstream", url, *options) as agent,
    ):
        agent.wait_metric("ragwatch_agent_forwarded_total", 2, result="kpis_failed")
        checks, code = doctor(agent.web_url, agent.http_url)
    assert (code, checks["upstream"]["status"]) == (0, "note")
    assert "but the KPIs: it takes no metrics" in checks["upstream"]["said"]


def test_an_agent_of_another_version_is_noted(agent: Agent) -> None:
    with web_page(agent, version="0.0.1") as other:
        checks, code = doctor(other, agent.http_url)
    assert (code, checks["version"]["status"]) == (0, "note")
    assert checks["version"]["said"] == f"the agent is ragwatch 0.0.1, here is {__version__}"


def test_planted_a_clock_that_is_an_hour_ahead(agent: Agent) -> None:
    with web_page(
        agent, ahead_s=3600
    ) as ahead:  # a process whose clock alone is patched stands still: gRPC waits by it
        checks, _ = doctor(ahead, agent.http_url)
    assert wrong(checks) == {"clock"}
    assert "the agent's clock is 3600 s ahead of this host's" in checks["clock"]["said"]


def test_planted_an_endpoint_that_is_another_agents(agent: Agent, tmp_path: Path) -> None:
    with Agent(tmp_path) as other:
        checks, _ = doctor(agent.web_url, other.http_url)
    assert wrong(checks) == {"inbox"}
    assert "did not come to the agent at" in checks["inbox"]["said"]


@pytest.mark.parametrize(
    ("target", "check", "said"),
    [
        ("silent_app:answer", "init", "nothing in it calls ragwatch.init()"),
        ("broken_app:answer", "app", "a_module_that_is_not_there"),
        ("good_app:anwser", "app", "did you mean 'answer'?"),
        ("dropping_app:answer", "provider", "are not recorded, sampler AlwaysOffSampler"),
    ],
)
def test_planted_in_the_app(agent: Agent, apps: Path, target: str, check: str, said: str) -> None:
    checks, _ = doctor(agent.web_url, agent.http_url, target, cwd=apps)
    assert wrong(checks) == {check}
    assert said in checks[check]["said"]
    assert checks[check]["do"]


@pytest.mark.parametrize("target", ["demos", "myapp"])
def test_what_cannot_be_imported_is_refused(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", target]) == 2
    assert f"{target!r} should read pkg.mod:function" in capsys.readouterr().err


def test_for_people_without_colour_in_a_pipe(agent: Agent) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}
    with Process.python("-m", "ragwatch.cli", "doctor", "--agent", agent.web_url, env=env) as process:
        assert process.wait(60) == 0
    assert process.stdout[-1] == "telemetry flows"
    assert "\x1b" not in process.output
    assert any(line.startswith("ok     KPIs") for line in process.stdout)


SECRETS = {
    "OPENAI_API_KEY": "sk-planted-0123456789",
    "DB_PASSWORD": "planted-password",
    "DATABASE_URL": "postgres://me:planted-in-url@db/x",
    "RAGWATCH_AGENT_UPSTREAM": "http://user:planted-upstream@127.0.0.1:9/",
    "RAGWATCH_AGENT_UPSTREAM_HEADERS": "x-honeycomb-team=planted-team-key",
}
LEAKY_APP = """
import ragwatch
ragwatch.init(service="leaky", content="full", log_queries=False)
try:
    with ragwatch.query("planted-question", user="planted-user", session="planted-session") as query:
        with ragwatch.retrieve() as step:
            step.documents([{"id": "doc-1", "text": "planted-document-text"}])
            step.set("note", "planted-attribute")
        with ragwatch.generate():
            raise RuntimeError("planted-message with Bearer planted-bearer and postgres://a:planted-dsn@db/x")
except RuntimeError:
    pass
assert ragwatch.flush()
"""


def test_the_archive_for_a_bug_report_holds_no_secret_and_no_text(tmp_path: Path) -> None:
    token = "planted-agent-token"
    config = tmp_path / "agent.yaml"
    config.write_text("upstream_headers: {authorization: Bearer planted-in-file}\n")
    env = {
        **SECRETS,
        "RAGWATCH_AGENT_CONFIG": str(config),
        "RAGWATCH_AGENT_TOKEN_FILE": str(tmp_path / "token"),
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{token},x-api-key=planted-header",
    }
    (tmp_path / "token").write_text(token)
    with Agent(tmp_path / "data", "--token", token) as agent:
        sender = {**env, "OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}
        with Process.python("-c", LEAKY_APP, env=sender) as app:
            assert app.wait(20) == 0, app.output

        def kept() -> str:
            return agent.get("/api/queries", Authorization=f"Bearer {token}")[2]

        wait_until(lambda: "planted-question" in kept(), what="the app did leak it to the agent")
        checks, _ = doctor(agent.web_url, agent.http_url, "--bundle", str(tmp_path / "report.zip"), **env)
        assert checks["KPIs"]["status"] == "ok"
    with ZipFile(tmp_path / "report.zip") as archive:
        held = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(held) == {
        "checks.json", "versions.json", "settings.json", "agent.json", "readyz.json", "metrics.txt", "queries.jsonl",
    }  # fmt: skip
    assert json.loads(held["agent.json"])["config_hash"]
    for name, text in held.items():
        assert "planted" not in text, name
    assert '"leaky"' in held["queries.jsonl"]
    assert "doc-1" in held["queries.jsonl"]
    assert "rag_query_duration_seconds" in held["metrics.txt"]
    assert "RAGWATCH_AGENT_TOKEN_FILE" in held["settings.json"]


def test_planted_metrics_that_go_elsewhere(agent: Agent, tmp_path: Path) -> None:
    own = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
    checks, code = doctor(agent.web_url, agent.http_url, **{own: f"http://127.0.0.1:{free_port()}/v1/metrics"})
    assert (code, wrong(checks)) == (1, {"receiver"})
    assert checks["receiver"]["said"].startswith("metrics: nobody listens at")
    assert f"{own}={agent.http_url}/v1/metrics" in checks["receiver"]["do"]
    with web_page() as page:
        checks, _ = doctor(agent.web_url, agent.http_url, **{own: f"{page}/v1/metrics"})
        assert wrong(checks) == {"receiver"}
        assert "takes no metrics: it answers 200 with text/html" in checks["receiver"]["said"]
    with Agent(tmp_path) as other:
        checks, _ = doctor(agent.web_url, agent.http_url, **{own: f"{other.http_url}/v1/metrics"})
    assert wrong(checks) == {"/metrics"}
    assert f"the metrics go to {other.http_url}/v1/metrics" in checks["/metrics"]["said"]
    assert own in checks["/metrics"]["do"]


def test_what_to_type_has_the_ports_of_the_agent_that_runs(agent: Agent) -> None:
    checks, _ = doctor(agent.web_url, f"http://127.0.0.1:{free_port()}")
    assert checks["receiver"]["do"].startswith(f"OTEL_EXPORTER_OTLP_ENDPOINT={agent.http_url},")
    assert doctor(agent.web_url, agent.http_url)[0]["KPIs"]["said"].endswith(f" --agent {agent.web_url}")
    checks, _ = doctor(agent.web_url, f"http://127.0.0.1:{free_port()}", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert checks["receiver"]["do"].startswith(f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{agent.grpc_target},")
    checks, _ = doctor(agent.web_url, f"http://{agent.grpc_target}")
    assert checks["receiver"]["do"].endswith(f"OTEL_EXPORTER_OTLP_ENDPOINT={agent.http_url}")
    checks, _ = doctor(agent.web_url, agent.http_url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert "speaks HTTP, not gRPC" in checks["receiver"]["said"]
    assert checks["receiver"]["do"].endswith(f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{agent.grpc_target}")


def test_where_no_agent_runs_it_says_how_to_start_one_there() -> None:
    web, http = free_port(), free_port()
    checks, _ = doctor(f"http://127.0.0.1:{web}", f"http://127.0.0.1:{http}")
    assert checks["receiver"]["do"].startswith(f"ragwatch agent --http-port {http}, or ")
    assert checks["agent"]["do"].startswith(f"ragwatch agent --web-port {web}, or ")


def test_planted_a_provider_that_exports_nothing(agent: Agent, apps: Path) -> None:
    checks, _ = doctor(agent.web_url, agent.http_url, "mute_app:answer", "--ask", "why?", cwd=apps)
    assert wrong(checks) == {"provider", "query"}
    assert "has no span processor: what it traces goes nowhere" in checks["provider"]["said"]
    assert "nothing exports what the provider opentelemetry.sdk.trace.TracerProvider has" in checks["query"]["said"]
    checks, code = doctor(agent.web_url, agent.http_url, "exporting_app:answer", cwd=apps)
    assert (code, wrong(checks)) == (0, set())
    assert "exports by ConsoleSpanExporter" in checks["provider"]["said"]


def test_a_setting_that_holds_for_every_signal_is_wrong_once(agent: Agent) -> None:
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url, "OTEL_EXPORTER_OTLP_HEADERS": "no-value"}
    with Process.python("-m", "ragwatch.cli", "doctor", "--agent", agent.web_url, env=given) as process:
        assert process.wait(60) == 1
    said = [line for line in process.stdout if "is not key=value" in line]
    assert len(said) == 1, said
    assert "OTEL_EXPORTER_OTLP_HEADERS: a part" in said[0]
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url, "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "no-value"}
    with Process.python("-m", "ragwatch.cli", "doctor", "--agent", agent.web_url, env=given) as process:
        assert process.wait(60) == 1
    assert "OTEL_EXPORTER_OTLP_LOGS_HEADERS: a part" in process.output
