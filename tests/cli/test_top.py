"""``ragwatch top`` on a real terminal, at 80 and 120 columns; and once, for a pipe and for programs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from time import sleep

import pytest
from rich.console import Console

from ragwatch.cli import main, top_screen
from ragwatch.cli.top_window import Lately, Window
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
        screen.wait("last ", "support-bot  ", timeout_s=30)
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
        window.add(second, counted(second))
    lately = window.lately()
    assert lately.seconds == {"bot": 10}
    assert queries_of(lately) == 10
    window.add(40, State())
    assert window.lately().seconds == {}


def counted(queries: int, service: str = "bot", every_s: float = 0.0) -> State:
    """What was counted; ``every_s`` is how often the app says so."""
    state = State()
    for _ in range(queries):
        state.histogram("rag.query.duration", (service, "", "ok", "none")).observe(1.0)
    if every_s:
        state.set_gauge("ragwatch.sdk.export.interval", (service, ""), every_s)
    return state


def queries_of(lately: Lately, service: str = "bot") -> int:
    return lately.state.histogram("rag.query.duration", (service, "", "ok", "none")).count


def reported(second: float, every_s: float, at_s: float = 0.0) -> float:
    """When the last report was made of an app that makes them at ``at_s`` and every ``every_s`` after."""
    return at_s + (second - at_s) // every_s * every_s


@pytest.mark.parametrize("window_s", [5, 10, 25, 60])
@pytest.mark.parametrize("offset_s", [0.5, 9.9])
def test_a_rate_is_over_the_time_between_the_reports_that_it_is_made_of(window_s: float, offset_s: float) -> None:
    window = Window(window_s)
    rates = []
    for second in range(100, 300):
        window.add(second, counted(int(3 * reported(second, 10, offset_s)), every_s=10))
        lately = window.lately()
        if lately.seconds:
            rates.append(queries_of(lately) / lately.seconds["bot"])
    assert len(rates) >= 185, "from the second report at the latest"
    assert rates[30:] == pytest.approx([3] * len(rates[30:]), rel=0.02)
    assert rates == pytest.approx([3] * len(rates), rel=0.1)


def test_processes_that_report_one_after_the_other_are_one_rate() -> None:
    window = Window(10)
    rates = []
    for second in range(100, 300):
        both = sum(int(3 * reported(second, 10, at_s)) for at_s in (0, 1, 4))
        window.add(second, counted(both, every_s=10))
        lately = window.lately()
        if lately.seconds:
            rates.append(queries_of(lately) / lately.seconds["bot"])
    assert len(rates) >= 185
    assert rates == pytest.approx([9] * len(rates), rel=0.15)


def test_until_its_next_report_nothing_is_said_of_an_app() -> None:
    window = Window(60)
    window.add(0, counted(50, every_s=30))
    window.add(2, counted(50, every_s=30))
    assert (window.lately().seconds, queries_of(window.lately())) == ({}, 50), "still since counting began"
    both = counted(50, every_s=30)
    both.add(counted(4, "other", every_s=2))
    for second in (4, 6):
        window.add(second, both)
        both = both.copy()
        both.add(counted(4, "other"))
    lately = window.lately()
    assert lately.waiting == {"bot": 30}
    assert queries_of(lately) == 0
    assert lately.seconds == {"other": 2}
    shown = draw(lately)
    assert row(shown, "bot")[1:4] == ["–", "–", "–"]
    assert "bot reports every 30 s: its next report is awaited" in "\n".join(shown)


def test_an_app_that_has_fallen_silent_has_no_queries() -> None:
    window = Window(20)
    for second in range(0, 60, 2):
        window.add(second, counted(100, every_s=5))
    lately = window.lately()
    assert (lately.seconds, queries_of(lately)) == ({"bot": 20}, 0)


def draw(lately: Lately) -> list[str]:
    console = Console(width=120, file=StringIO())
    console.print(top_screen.screen(lately, name="agent", clock="", width=120, height=0))
    return str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [([0.3], ["300.0 ms"] * 3), ([0.3, 0.3], ["≤ 500 ms"] * 3), ([0.3, 4.0], ["≤ 500 ms", "≤ 5 s", "≤ 5 s"])],
)
def test_no_time_is_shown_that_nothing_took(seconds: list[float], shown: list[str]) -> None:
    state = State()
    for took in seconds:
        state.histogram("rag.query.duration", ("bot", "", "ok", "none")).observe(took)
        state.histogram("rag.step.duration", ("bot", "", "retrieve", "ok")).observe(took)
    window = Window(60)
    window.add(0, state)
    lines = draw(window.lately())
    for name in ("bot", "retrieve"):
        line = next(
            line for line in lines if (f"{name} " in line and "%" in line) or (f"{name}  " in line and "ms" in line)
        )
        assert " ".join(shown) in " ".join(line.split()), line


def test_the_rate_on_the_screen_is_that_of_the_app(agent: Agent) -> None:
    steady = """
import ragwatch, time
ragwatch.init(service="steady", log_queries=False)
began = time.monotonic()
for number in range(2000):
    time.sleep(max(0.0, began + number / 20 - time.monotonic()))
    with ragwatch.query("why?"):
        pass
"""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url, "OTEL_METRIC_EXPORT_INTERVAL": "3000"}
    options = ("--service", "steady", "--window", "3s")
    with (
        Process.python("-c", steady, env=env),
        Screen(
            "-m", "ragwatch.cli", "top", "--agent", agent.web_url, "--every", "500ms", *options, columns=80, rows=24
        ) as screen,
    ):
        screen.wait("steady  ", "last ", timeout_s=30)
        rates = []
        for _ in range(24):
            cells = row(screen.wait("steady  "), "steady")
            rates.append(float(cells[2]))
            sleep(0.5)
    assert len(set(rates)) > 1
    assert all(12 < rate < 28 for rate in rates[6:]), rates
