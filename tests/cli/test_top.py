"""``ragwatch top`` on a real terminal, at 80 and 120 columns; and once, for a pipe and for programs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragwatch.cli import main
from ragwatch.cli.top_window import Window
from ragwatch.kpi.state import State
from tests.support.agent import Agent
from tests.support.procs import Process
from tests.support.screen import Screen

APP = """
import sys, ragwatch
ragwatch.init(service=sys.argv[1], log_queries=False)
breaker = ragwatch.CircuitBreaker("vector-db", failure_threshold=2, reset_timeout=600)

@ragwatch.retrieve(source="handbook")
@breaker
def search(fail):
    if fail:
        raise TimeoutError("no answer")
    return [("doc-1", 0.9)]

for number in range(10):
    try:
        with ragwatch.query("why?"):
            search(fail=number > 7)
            with ragwatch.generate(model="m"):
                pass
    except TimeoutError:
        pass
assert ragwatch.flush()
print("sent", flush=True)
sys.stdin.readline()
"""


def send(agent: Agent, service: str) -> Process:
    """An app that has sent ten queries, two of which failed, and lives on."""
    app = Process.python("-c", APP, service, env={"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url})
    app.wait_line("sent")
    return app


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with Agent(tmp_path_factory.mktemp("agent")) as running, send(running, "support-bot"):
        running.wait_metric("rag_query_duration_seconds_count", 10)
        yield running


def top(agent: Agent, *options: str, columns: int = 80, rows: int = 24) -> Screen:
    args = ("-m", "ragwatch.cli", "top", "--agent", agent.web_url, "--every", "300ms", *options)
    return Screen(*args, columns=columns, rows=rows)


def row(lines: list[str], name: str) -> list[str]:
    """The cells of the line that begins so."""
    return next(line.split() for line in lines if line.startswith(name))


@pytest.mark.parametrize("columns", [80, 120])
def test_the_screen_shows_the_kpis_by_service_and_step(agent: Agent, columns: int) -> None:
    with top(agent, columns=columns) as screen:
        lines = screen.wait("support-bot", "since counting began", "q leaves")
        assert lines[0].startswith("ragwatch top")
        head, cells = row(lines, "service      queries"), row(lines, "support-bot")
        assert cells[:4] == ["support-bot", "10", "–", "20.0%"]
        assert ("cost" in head) == (columns == 120)
        retrieve = next(line for line in lines if " retrieve " in line).split()
        assert retrieve[retrieve.index("retrieve") + 1 :][:2] == ["10", "2"]
        assert any("support-bot fails: retrieve/timeout × 2" in line for line in lines)
        assert any("breaker vector-db is open in 1" in line for line in lines)
        screen.press("q")
        assert screen.ended() == 0


def test_it_shows_what_happens_and_follows_the_size_of_the_terminal(agent: Agent) -> None:
    with top(agent) as screen:
        screen.wait("last ", "support-bot  ")
        with send(agent, "newcomer"):
            lines = screen.wait("newcomer fails", timeout_s=30)
        assert row(lines, "newcomer")[1] == "10"
        assert row(lines, "support-bot")[1] == "0"
        screen.resize(120, 30)
        screen.wait("accuracy", "cost")
        screen.press("\x03")
        assert screen.ended() == 0


def test_what_does_not_fit_is_counted(agent: Agent) -> None:
    with top(agent, "--service", "support-bot", rows=8) as screen:
        lines = screen.wait("support-bot", "lines more in a taller terminal, or with --service NAME")
        assert lines[0].startswith("ragwatch top")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_as_before_when_it_is_left(agent: Agent, number: signal.Signals) -> None:
    import termios

    with top(agent) as screen:
        before = termios.tcgetattr(screen.process.child_fd)
        screen.wait("support-bot")
        os.kill(screen.process.pid, number)
        assert screen.ended() == 0
        assert termios.tcgetattr(screen.process.child_fd) == before or not before[3] & termios.ICANON
        assert b"\x1b[?1049h" in screen.raw  # a screen of its own
        assert screen.raw.endswith(b"\x1b[?25h\x1b[?1049l")  # the cursor and the terminal's own are back


def test_an_agent_that_goes_away_is_said_and_waited_for(tmp_path: Path) -> None:
    with Agent(tmp_path) as agent, top(agent) as screen:
        screen.wait("no app has sent anything yet")
        agent.terminate()
        screen.wait("no agent answers at")
        agent.start()
        with send(agent, "back-again"):
            lines = screen.wait("back-again")
        assert not any("no agent answers" in line for line in lines)


def test_no_colour_where_it_is_not_wanted(agent: Agent) -> None:
    args = ("-m", "ragwatch.cli", "top", "--once", "--agent", agent.web_url)
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Screen(*args, env=env) as screen:
            screen.wait("support-bot")
            assert screen.ended() == 0
            assert (b"\x1b[31m" in screen.raw) is coloured


def test_a_pipe_gets_it_once_without_colour(agent: Agent) -> None:
    with Process.python("-m", "ragwatch.cli", "top", "--agent", agent.web_url) as piped:
        assert piped.wait() == 0
    assert "\x1b" not in piped.output
    assert row(piped.stdout, "support-bot")[1] == "10"


@pytest.mark.parametrize("kind", ["agent", "files"])
def test_programs_get_an_object_a_service_and_the_summary(
    agent: Agent, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--agent", agent.web_url] if kind == "agent" else ["--data-dir", str(agent.directory)]
    assert main(["top", "--json", "--service", "support-bot", *where]) == 0
    found, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (found["service"], found["kpis"]["query_count"], found["kpis"]["error_rate"]) == ("support-bot", 10, 0.2)
    assert [(step["name"], step["calls"], step["failed"]) for step in found["steps"]] == [
        ("retrieve", 10, 2),
        ("generate", 8, 0),
    ]
    assert last["summary"]["kpis"]["query_count"] == 10


def test_an_app_that_is_not_there_is_told_from_no_app_at_all(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--service", "support", "--agent", agent.web_url]) == 1
    said = capsys.readouterr().err
    assert "no app 'support' has sent anything" in said
    assert "support-bot" in said


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--agent", "http://127.0.0.1:1"], 1, "is `ragwatch agent` running?"),
        (["--window", "long"], 2, "window (from --window): 'long' should read like 15m"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", *args]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_window_spans_its_seconds_and_begins_anew_with_another_agent() -> None:
    window = Window(10.0)
    for second in range(0, 40, 2):
        state = State()
        for _ in range(second):
            state.histogram("rag.query.duration", ("bot", "", "ok", "none")).observe(1.0)
        window.add(second, state)
    lately = window.lately()
    assert lately.seconds == 10
    assert lately.state.histogram("rag.query.duration", ("bot", "", "ok", "none")).count == 10
    window.add(40, State())
    assert window.lately().seconds is None
