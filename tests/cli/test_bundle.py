"""``ragwatch bundle``: an incident in one file, which the other tools read without the agent."""

from __future__ import annotations

import io
import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from ragwatch import __version__
from ragwatch.cli import main
from ragwatch.cli.incident import STATE, IncidentFile
from ragwatch.cli.source import RunningAgent
from ragwatch.cli.top_window import services_of
from ragwatch.kpi.state import State
from tests.cli.test_queries import WAITS
from tests.support.agent import Agent
from tests.support.procs import Process
from tests.support.wait import wait_until

TEXT = """
import ragwatch
ragwatch.init(service="chatty", content="full", log_queries=False)
ragwatch.app_info(version="2.3.1", config="c0ffee", index_version="2026-11-20")
try:
    with ragwatch.query("planted question"):
        with ragwatch.retrieve() as step:
            step.documents([{"id": "doc-9", "text": "planted document"}])
        raise RuntimeError("planted message, Bearer planted-token")
except RuntimeError:
    pass
assert ragwatch.flush()
import time; time.sleep(0.2); ragwatch.flush()
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with Agent(tmp_path_factory.mktemp("agent")) as running:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": running.http_url}
        with ExitStack() as apps:
            apps.enter_context(Process.python("-c", WAITS, env=env)).wait_line("asked", 30)
            apps.enter_context(Process.python("-c", TEXT + "input()", env=env))
            source = RunningAgent(running.web_url)
            wait_until(lambda: len(source.queries([])["queries"]) == 7, what="seven queries")
            wait_until(lambda: source.queries([("bad", "true")])["queries"], what="the judgement")
            wait_until(lambda: len(source.state().series("rag.app.info")) == 2, what="what the apps run")
            yield running


@pytest.fixture(scope="module")
def bundle(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "incident.zip"
    assert main(["bundle", str(path), "--since", "1h", "--agent", agent.web_url]) == 0
    return path


def asked(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, Any]]:
    assert main(["queries", "--json", *args]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()[:-1]]


def test_it_holds_everything_but_text(bundle: Path) -> None:
    with ZipFile(bundle) as archive:
        names = set(archive.namelist())
        held = {name: archive.read(name) for name in names}
    assert names >= {
        "manifest.json",
        "queries.jsonl",
        "state.json",
        "kpis.json",
        "windows.json",
        "apps.json",
        "kpis.png",
        "agent.json",
        "versions.json",
    }
    assert not any(b"planted" in body for body in held.values())
    assert json.loads(held["manifest.json"])["queries"] == 7
    (info,) = [app for app in json.loads(held["apps.json"]) if app["service"] == "chatty"]
    assert (info["version"], info["config_hash"], info["index_version"]) == ("2.3.1", "c0ffee", "2026-11-20")
    answered = json.loads(held["versions.json"])
    assert [(row["service"], row["version"], row["queries"]) for row in answered] == [
        ("chatty", "2.3.1", 1),
        ("bot", "2.1", 6),
    ]
    windows = json.loads(held["windows.json"])
    assert sum(window["count"] for window in windows) == 7
    assert sum(window["outcomes"].get("error", 0) for window in windows) == 2
    assert sum(window["bad"] for window in windows) == 1
    assert json.loads(held["kpis.json"])["since_counting_began"]["bot"]["query_count"] == 6
    from PIL import Image

    assert Image.open(io.BytesIO(held["kpis.png"])).size == (990, 720)


def copied(agent: Agent, folder: Path) -> None:
    """Copy what the agent's pipeline keeps, and nothing else."""
    folder.mkdir()
    for path in agent.directory.glob("pipeline.db*"):
        shutil.copy(path, folder)


def test_it_says_what_the_agent_is_whether_it_runs_or_not(
    agent: Agent, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "planted-secret")
    copied(agent, tmp_path / "copy")
    given = json.loads((agent.directory / "about.json").read_text())
    (tmp_path / "copy" / "about.json").write_text(json.dumps({**given, "note": "planted-secret"}))
    path = tmp_path / "files.zip"
    assert main(["bundle", str(path), "--data-dir", str(tmp_path / "copy")]) == 0
    for held in (bundle, path):
        with ZipFile(held) as archive:
            text = archive.read("agent.json").decode()
        assert "planted" not in text
        found = json.loads(text)
        assert found["ragwatch"] == __version__
        assert found["python"] == platform.python_version()
        assert found["dependencies"]["opentelemetry-api"] == version("opentelemetry-api")
        settings = {one["name"]: (one["value"], one["source"]) for one in found["settings"]}
        assert settings["directory"] == (str(agent.directory), "argument --directory")
        assert settings["queries_kept"] == (500, "default")
        assert len(found["config_hash"]) == 12
        assert IncidentFile(held).about() == found


def test_an_agent_that_does_not_say_what_it_is_costs_nothing_else(agent: Agent, tmp_path: Path) -> None:
    copied(agent, tmp_path / "old")
    path = tmp_path / "incident.zip"
    assert main(["bundle", str(path), "--data-dir", str(tmp_path / "old")]) == 0
    with ZipFile(path) as archive:
        assert "has no about.json" in json.loads(archive.read("agent.json"))["unknown"]


@pytest.mark.parametrize(
    "options",
    [[], ["--errors"], ["--bad"], ["--document", "doc-2"], ["--slow"], ["--since", "30m"], ["--service", "chatty"]],
    ids=" ".join,
)
def test_queries_finds_the_same_as_in_the_agent(
    agent: Agent, bundle: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    live = asked(capsys, "--agent", agent.web_url, *options)
    held = asked(capsys, "--bundle", str(bundle), *options)
    assert [query["trace_id"] for query in held] == [query["trace_id"] for query in live]
    assert [query.get("judgements") for query in held] == [query.get("judgements") for query in live]
    assert held, "nothing was asked for"


def test_show_top_and_inspect_read_it(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bad,) = asked(capsys, "--bundle", str(bundle), "--bad")
    assert main(["show", bad["trace_id"][:10], "--bundle", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert "judged     bad: answer, by feedback" in said
    assert "1. doc-5  score 0.9" in said
    assert main(["top", "--json", "--bundle", str(bundle)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["kpis"]["query_count"] == 7
    assert main(["inspect", str(bundle)]) == 0
    assert "7 queries, 2 failed, 0 incomplete" in capsys.readouterr().out


def test_with_text_has_the_texts_and_no_secret(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "incident.zip"
    args = ["bundle", str(path), "--with-text", "--service", "chatty", "--data-dir", str(agent.directory)]
    assert main(args) == 0
    with ZipFile(path) as archive:
        text = archive.read("queries.jsonl").decode()
        state = State.from_json(json.loads(archive.read(STATE)))
    assert services_of(state) == ("chatty",)
    assert "planted question" in text
    assert "planted document" in text
    assert "planted-token" not in text


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["bundle", "x.zip", "--agent", "http://127.0.0.1:1"], 1, "is `ragwatch agent` running?"),
        (["bundle", "x.zip", "--since", "long"], 2, "should read like 15m"),
        (["bundle", "x.zip", "--since", "1ms", "--data-dir", "DIR"], 1, "no query was seen in the last 1ms"),
        (
            ["bundle", "x.zip", "--service", "nobody", "--data-dir", "DIR"],
            1,
            "no query of nobody was seen in the last 1h",
        ),
        (["bundle", "no/such/x.zip", "--data-dir", "DIR"], 2, "cannot be written: No such file or directory"),
        (["queries", "--bundle", "nothing.zip"], 2, "there is no file nothing.zip"),
        (["queries", "--bundle", "other.zip"], 2, "other.zip is no file of `ragwatch bundle`"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    agent: Agent,
    args: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with ZipFile("other.zip", "w") as archive:
        archive.writestr("a", "b")
    assert main([str(agent.directory) if arg == "DIR" else arg for arg in args]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
