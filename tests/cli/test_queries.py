"""``ragwatch queries`` and ``ragwatch show`` on a real agent, and on its files when it is gone."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragwatch.cli import main
from ragwatch.cli.source import RunningAgent, known_token
from tests.support.agent import Agent
from tests.support.known_app import served
from tests.support.procs import Process
from tests.support.wait import wait_until

APP = """
import time, ragwatch
ragwatch.init(service="bot", version="2.1", log_queries=False, app_info={"index_version": "i-7", "config": "c0ffee"})

def ask(documents, *, wait=0.0, fail=None, degraded=False):
    try:
        with ragwatch.query("why?", prompt_version="v7") as query:
            with ragwatch.retrieve(source="handbook", top_k=3) as step:
                step.documents([{"id": name, "score": 0.9 - n / 10} for n, name in enumerate(documents)])
            with ragwatch.generate(model="gpt-4o-mini", provider="openai") as step:
                time.sleep(wait)
                if fail:
                    raise fail
                step.tokens(input=10, output=3)
                if degraded:
                    step.degraded("small model")
            return ragwatch.trace_id()
    except Exception:
        return None

good = ask(["doc-1", "doc-2"])
ask(["doc-1"], wait=0.3)
ask([])
ask(["doc-3"], fail=TimeoutError("no answer"))
ask(["doc-4"], degraded=True)
bad = ask(["doc-5", "doc-2"])
ragwatch.feedback(bad, False)
ragwatch.app_info(index_version="i-8")
ragwatch.flush()
print("asked", good, bad, flush=True)
"""
WAITS = APP + "input()"
"""While it runs the agent knows what it runs now."""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with Agent(tmp_path_factory.mktemp("agent"), "--token", "s3cret") as running:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": running.http_url,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer s3cret",
        }
        with Process.python("-c", WAITS, env=env) as app:
            app.wait_line("asked", 30)
            source = RunningAgent(running.web_url, "s3cret")
            wait_until(lambda: len(source.queries([])["queries"]) == 6, what="six queries")
            wait_until(lambda: source.queries([("bad", "true")])["queries"], what="the judgement")
            yield running


@pytest.fixture(params=["agent", "files"])
def where(request: pytest.FixtureRequest, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("RAGWATCH_AGENT_TOKEN", "s3cret")
    return ["--agent", agent.web_url] if request.param == "agent" else ["--data-dir", str(agent.directory)]


def asked(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    assert main(["queries", "--json", *args]) == 0
    *found, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return found, summary["summary"]


@pytest.mark.parametrize(
    ("options", "documents"),
    [
        (["--errors"], [["doc-3"]]),
        (["--error-class", "timeout", "--step", "generate"], [["doc-3"]]),
        (["--degraded"], [["doc-4"]]),
        (["--empty"], [[]]),
        (["--bad"], [["doc-5", "doc-2"]]),
        (["--slow", "--limit", "1"], [["doc-1"]]),
        (["--slower-than", "200ms"], [["doc-1"]]),
        (["--document", "doc-2"], [["doc-5", "doc-2"], ["doc-1", "doc-2"]]),
        (["--service", "other"], []),
        (["--since", "1ms"], []),
    ],
    ids=lambda value: " ".join(value) if value and isinstance(value[0], str) else "",
)
def test_each_filter_finds_its_queries(
    where: list[str], options: list[str], documents: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    found, summary = asked(capsys, *where, *options)
    assert [[one["id"] for one in query["steps"][0]["documents"]] for query in found] == documents
    assert summary["shown"] == len(documents)


def test_a_page_goes_on_where_the_one_before_ended(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    everything, last = asked(capsys, *where)
    assert (len(everything), last["next"]) == (6, None)
    first, summary = asked(capsys, *where, "--limit", "4")
    rest, _ = asked(capsys, *where, "--cursor", summary["next"])
    assert first + rest == everything


def test_the_table_says_what_is_wrong_without_colour(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queries", *where]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out
    assert err == ""
    lines = out.splitlines()
    assert lines[0].split() == ["WHEN", "TOOK", "OUTCOME", "STEP", "SERVICE", "TRACE", "WHAT"]
    assert any("error" in line and "generate" in line and "TimeoutError" in line for line in lines)
    assert any("degraded" in line and "small model" in line for line in lines)
    assert any("bad answer (feedback)" in line for line in lines)
    assert any("no documents" in line for line in lines)


def test_nothing_found_is_said_on_standard_error(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queries", *where, "--service", "nobody", "--since", "15m"]) == 0
    assert capsys.readouterr() == ("", "no query of that kind is kept in the last 15m\n")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--agent", "http://127.0.0.1:1"], 1, "is `ragwatch agent` running?"),
        (["--agent", "ftp://there"], 2, "should read like http://127.0.0.1:9464"),
        (["--data-dir", "nowhere"], 1, "nowhere is no agent's directory"),
        (["--since", "yesterday"], 2, "since (from --since): 'yesterday' should read like 15m"),
        (["--step", "retreive"], 2, "did you mean 'retrieve'?"),
        (["--error-class", "bad luck"], 2, "one of rate_limited"),
        (["--limit", "0"], 2, "a whole number from 1"),
        (["--cursor", "x"], 2, "what `next` of the page before said"),
        (["--document", ""], 2, "it is empty"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["queries", *args]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_json_of_another_server_is_no_agent(capsys: pytest.CaptureFixture[str]) -> None:
    with served(lambda _: (200, "application/json", b'{"answer": "so"}')) as url:
        for verb in (["queries"], ["show", "abcd"], ["top", "--once"]):
            assert main([*verb, "--agent", url]) == 1
            assert "is no ragwatch agent: its JSON has no" in capsys.readouterr().err


def test_a_page_that_is_no_agent_and_a_token_that_is_missing(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    assert known_token() is None
    assert main(["queries", "--agent", agent.web_url]) == 2
    assert "wants the agent's bearer token" in capsys.readouterr().err
    assert main(["queries", "--agent", agent.http_url, "--token", "s3cret"]) == 1
    assert "is no ragwatch agent" in capsys.readouterr().err


def test_follow_shows_what_comes_and_waits_for_an_agent_that_is_away(tmp_path: Path) -> None:
    from urllib.request import Request, urlopen

    from benchmarks.workload import Requests

    def send(number: int) -> None:
        headers = {"Content-Type": "application/x-protobuf"}
        urlopen(Request(f"{agent.http_url}/v1/traces", Requests(6).make(number), headers), timeout=10).close()

    options = ("-m", "ragwatch.cli", "queries", "--follow", "--json", "--since", "36500d", "--agent")
    with Agent(tmp_path) as agent, Process.python(*options, agent.web_url) as follow:
        for number in (1, 2):
            send(number)
            wait_until(lambda n=number: len(follow.stdout) == n, what=f"{number} queries: {follow.output}")  # type: ignore[misc]
        agent.terminate()
        follow.wait_line("waiting for it")
        agent.start()
        send(3)
        wait_until(lambda: len(follow.stdout) == 3, what=f"the third query: {follow.output}")

        follow.signal(signal.SIGINT)
        assert follow.wait() == 0
        assert json.loads(follow.stdout[-1])["summary"]["shown"] == 3


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["show", *args]) == 0
    return capsys.readouterr().out


def test_show_says_everything_of_a_query(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (bad,), _ = asked(capsys, *where, "--bad")
    said = shown(capsys, bad["trace_id"][:12], *where)
    lines = said.splitlines()
    assert lines[0].startswith(f"query {bad['trace_id']}  ok")
    assert any(line.startswith("├ retrieve ") and "#" in line for line in lines)
    assert "      1. doc-5  score 0.9" in lines
    assert any(line.startswith("critical path: ") for line in lines)
    assert any(line.startswith("judged     bad: answer, by feedback") for line in lines)
    assert "versions   version 2.1, config_hash c0ffee, index_version i-7, prompt_version v7" in lines
    assert "app now    version 2.1, config_hash c0ffee, index_version i-8" in lines
    assert "set in the app's environment: RAGWATCH_CONTENT=truncated (or full)" in said
    log_line = json.loads(next(line for line in lines if line.startswith("log line")).split(maxsplit=2)[2])
    assert (log_line["trace_id"], log_line["documents"]) == (bad["trace_id"], ["doc-5", "doc-2"])


OTHERS = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
kind = "openinference.span.kind"
tracer = provider.get_tracer("openinference.instrumentation.langchain")
with tracer.start_as_current_span("rag", attributes={kind: "CHAIN", "input.value": "who?", "output.value": "she"}):
    with tracer.start_as_current_span("search", attributes={kind: "RETRIEVER"}):
        pass
"""


def test_show_asks_for_no_setting_of_others_that_keeps_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Agent(tmp_path) as agent:
        with Process.python("-c", OTHERS, env={"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}) as app:
            assert app.wait(30) == 0, app.output
        source = RunningAgent(agent.web_url)
        wait_until(lambda: source.queries([])["queries"], what="the query")
        (theirs,), _ = asked(capsys, "--agent", agent.web_url)
        said = shown(capsys, theirs["trace_id"], "--agent", agent.web_url)
        assert "question_length" in said, "its text came, and it was read for its length alone"
        (line,) = (line for line in said.splitlines() if line.startswith("text "))
        assert "RAGWATCH_CONTENT=truncated (or full), and put `with ragwatch.query(question):` around it" in line
        query, _ = shown(capsys, theirs["trace_id"], "--agent", agent.web_url, "--json").splitlines()
        assert json.loads(query)["text_with"] == "RAGWATCH_CONTENT=truncated (or full)"


def test_values_in_the_help_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("queries", "bundle"):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        shown = capsys.readouterr().out
        assert "--since 15m" in shown
    with pytest.raises(SystemExit):
        main(["queries", "--help"])
    for option, value in re.findall(r"\[(--[a-z-]+) (\S+)\]", capsys.readouterr().out.partition("options:")[0]):
        if option not in {"--cursor", "--token"}:
            main(["queries", option, value, "--agent", "http://127.0.0.1:1"])
            assert "is `ragwatch agent` running?" in capsys.readouterr().err, "all that is wrong is the agent"


def test_show_names_the_error_with_cause_and_class(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (failed,), _ = asked(capsys, *where, "--errors")
    assert "error      timeout in generate: TimeoutError\n" in shown(capsys, failed["trace_id"], *where)


GUARDED = """
import ragwatch
ragwatch.init(service="guarded", log_queries=False)
index = ragwatch.CircuitBreaker("index", failure_threshold=1)
for _ in range(2):  # the first opens it, the second is turned away
    try:
        with ragwatch.query("why?"), ragwatch.retrieve(name="search"), index:
            raise ConnectionError
    except Exception:
        pass
index.reset()
with ragwatch.query("why?"), ragwatch.retrieve():
    pass
ragwatch.flush()
print("sent", flush=True)
input()
"""


def test_show_says_what_the_breaker_was_and_what_it_is_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        Agent(tmp_path) as agent,
        Process.python("-c", GUARDED, env={"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}) as app,
    ):
        app.wait_line("sent")
        where = ["--agent", agent.web_url]
        source = RunningAgent(agent.web_url)
        wait_until(lambda: len(source.queries([])["queries"]) == 3, what="the queries")
        (without, rejected, failed), _ = asked(capsys, *where)
        wait_until(lambda: "breaker" in shown(capsys, without["trace_id"], *where), what="the state of now")
        assert main(["queries", *where]) == 0
        assert "CircuitOpen; index open" in capsys.readouterr().out
        assert rejected["steps"][0]["breakers"] == {"index": "open"}
        assert failed["steps"][0]["breakers"] == {"index": "closed"}
        said = shown(capsys, rejected["trace_id"], *where)
        assert "breaker    retrieve search: index was open (now closed)\n" in said
        assert "    breaker index open\n" in said
        assert json.loads(said.rpartition("log line")[2])["breakers"] == {"index": "open"}
        assert "breaker    retrieve search: index was closed\n" in shown(capsys, failed["trace_id"], *where)
        said = shown(capsys, without["trace_id"], *where)
        assert "breaker    index is closed now; the query does not say that it asked one\n" in said


def test_show_for_programs(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (bad,), _ = asked(capsys, *where, "--bad")
    query, summary = [json.loads(line) for line in shown(capsys, bad["trace_id"], "--json", *where).splitlines()]
    assert query.items() >= bad.items()
    assert query["log_line"]["event"] == "rag.query"
    assert query["judgements"][0]["verdict"] == "bad"
    assert summary["summary"]["shown"] == 1


@pytest.mark.parametrize(
    ("trace", "code", "said"),
    [("xyz", 2, "should be 4 to 32 hex digits"), ("ff" * 16, 1, "no query of trace " + "ff" * 16)],
)
def test_show_of_what_is_not_there(
    where: list[str], trace: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", trace, *where]) == code
    assert said in capsys.readouterr().err


def test_the_log_line_is_the_one_that_the_sdk_wrote(agent: Agent, tmp_path: Path) -> None:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer s3cret",
        "RAGWATCH_LOG_FILE": str(tmp_path / "log"),
    }  # fmt: skip
    program = "import ragwatch; ragwatch.init(service='liner')\nwith ragwatch.query('q'): print(ragwatch.trace_id())"
    with Process.python("-c", program, env=env) as app:
        assert app.wait(20) == 0, app.output
        trace = app.stdout[-1]
    source = RunningAgent(agent.web_url, "s3cret")
    wait_until(lambda: source.queries([("service", "liner")])["queries"], what="the query")
    options = ("-m", "ragwatch.cli", "show", trace, "--agent", agent.web_url, "--token", "s3cret")
    with Process.python(*options) as show:
        assert show.wait(20) == 0, show.output
    (line,) = [line for line in show.stdout if line.startswith("log line")]
    assert line.removeprefix("log line   ") == (tmp_path / "log").read_text().strip()


def test_follow_begins_with_the_newest_and_shows_no_older_ones_later(tmp_path: Path) -> None:
    from urllib.request import Request, urlopen

    from benchmarks.workload import Requests

    def send(number: int) -> None:
        headers = {"Content-Type": "application/x-protobuf"}
        urlopen(Request(f"{agent.http_url}/v1/traces", Requests(60).make(number), headers), timeout=10).close()

    options = ("-m", "ragwatch.cli", "queries", "--follow", "--json", "--since", "36500d", "--limit", "2", "--agent")
    with Agent(tmp_path) as agent:
        send(1)
        agent.wait_metric("rag_query_duration_seconds_count", 10)
        with Process.python(*options, agent.web_url) as follow:
            wait_until(lambda: len(follow.stdout) == 2, what=f"two queries: {follow.output}")
            send(2)
            wait_until(lambda: len(follow.stdout) >= 12, what=f"ten more: {follow.output}")
            follow.signal(signal.SIGINT)
            assert follow.wait() == 0
            assert len(follow.stdout) == 13


def test_follow_shows_a_query_when_it_is_found_bad_later(tmp_path: Path) -> None:
    with Agent(tmp_path) as agent:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}
        with Process.python("-c", APP, env=env) as app:
            assert app.wait(30) == 0, app.output
        good = app.stdout[-1].split()[1]
        judge = f"import ragwatch; ragwatch.init(service='bot'); ragwatch.feedback({good!r}, False); ragwatch.flush()"
        options = ("-m", "ragwatch.cli", "queries", "--follow", "--bad", "--agent", agent.web_url)
        with Process.python(*options) as follow:
            follow.wait_line("bad answer")
            assert good not in follow.output
            with Process.python("-c", judge, env=env) as later:
                assert later.wait(20) == 0, later.output
            follow.wait_line(f"{good}.*bad answer")
