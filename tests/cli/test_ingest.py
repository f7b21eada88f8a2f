"""``ragwatch ingest`` as a user runs it: real processes, a real ledger, a real agent."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from ragwatch.cli import main
from ragwatch.cli.ingest import documents
from tests.support.agent import Agent
from tests.support.procs import Process
from tests.support.wait import wait_until

QUIET = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
LOADER = """
import pathlib, time

def parse(path):
    folder = pathlib.Path("state")
    with (folder / "calls").open("a") as calls:
        calls.write(path + "\\n")
    if (folder / "down").exists():
        raise ConnectionError("the vector store is away")
    while (folder / "slow").exists():
        time.sleep(0.01)
    if "bad" in path:
        raise ValueError("malformed")

limit = 3
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A working directory with a loader and sixty documents, two of them malformed."""
    (tmp_path / "loader.py").write_text(LOADER)
    (tmp_path / "state").mkdir()
    for number in range(58):
        file = tmp_path / "docs" / f"{number % 3}" / f"{number:02}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text {number}")
    for number in range(2):
        (tmp_path / "docs" / f"bad-{number}.txt").write_text(f"bad text {number}")
    return tmp_path


def ingest(home: Path, *args: str, env: dict[str, str] | None = None) -> Process:
    return Process.python(
        "-m", "ragwatch.cli", "ingest", "--function", "loader:parse", "--json", *args, cwd=home, env=env or QUIET
    )


def done(process: Process) -> tuple[int, dict[str, int]]:
    with process:
        code = process.wait(60)
        assert process.stdout, process.output
        return code, json.loads(process.stdout[-1])


def states(home: Path) -> Counter[str]:
    with sqlite3.connect(home / ".ragwatch" / "ingest.db") as db:
        return Counter(dict(db.execute("SELECT state, count(*) FROM document GROUP BY 1").fetchall()))


def test_directories_are_walked_by_name_without_hidden_files(home: Path) -> None:
    (home / "docs" / ".git").mkdir()
    (home / "docs" / ".git" / "config").write_text("")
    (home / "docs" / "notes.md").write_text("")
    found = list(documents([str(home / "docs"), "s3://bucket/key"], None, ["*.txt"]))
    assert len(found) == 61
    assert found[:-1] == sorted(found[:-1])
    assert found[-1] == "s3://bucket/key"


def test_a_list_of_documents_may_come_from_a_file(home: Path) -> None:
    (home / "list").write_bytes(b"a.txt\n\n  b.txt \ncaf\xe9.txt\n")
    assert list(documents([], str(home / "list"), None)) == ["a.txt", "b.txt", "caf\udce9.txt"]


def test_what_is_done_is_not_done_again_and_the_dead_have_another_chance(home: Path) -> None:
    code, first = done(ingest(home, "docs"))
    assert (code, first["documents"], first["ok"], first["failed"]) == (1, 60, 58, 2)
    code, second = done(ingest(home, "docs"))
    assert (code, second["unchanged"], second["dead"]) == (1, 58, 2)
    letters = [json.loads(line) for line in (home / ".ragwatch" / "dead-letters.jsonl").read_text().splitlines()]
    assert {(letter["error_type"], letter["attempts"]) for letter in letters} == {("ValueError", 2)}
    assert not any("malformed" in str(letter) for letter in letters)
    (home / "loader.py").write_text(LOADER.replace('"bad" in path', "False"))
    with Process.python(
        "-m", "ragwatch.cli", "ingest", "retry", "--function", "loader:parse", cwd=home, env=QUIET
    ) as retry:
        assert retry.wait(60) == 0
        assert "2 ok" in retry.stdout[-1]
    assert states(home) == {"ok": 60}
    with Process.python("-m", "ragwatch.cli", "ingest", "status", "--json", cwd=home) as status:
        assert status.wait(20) == 0
        assert json.loads(status.stdout[-1])["pipelines"]["loader"]["ok"] == 60


def test_an_interrupt_ends_it_in_good_order_and_it_goes_on_afterwards(home: Path) -> None:
    (home / "state" / "slow").touch()
    with ingest(home, "--workers", "2", "docs") as process:
        wait_until((home / "state" / "calls").exists, 20)
        process.signal(signal.SIGINT)
        process.wait_line("stopping", 20)
        (home / "state" / "slow").unlink()
        assert process.wait(30) == 130
        stopped = json.loads(process.stdout[-1])
    assert stopped["stopped"]
    assert stopped["ok"] + stopped["failed"] + stopped["deferred"] == stopped["documents"]
    assert states(home)["leased"] == 0
    _, rest = done(ingest(home, "docs"))
    assert rest["ok"] + rest["unchanged"] == 58
    assert rest["unchanged"] == stopped["ok"]


def test_a_second_interrupt_ends_it_at_once_and_makes_no_suspects(home: Path) -> None:
    (home / "state" / "slow").touch()
    with ingest(home, "--workers", "2", "docs") as process:
        wait_until((home / "state" / "calls").exists, 20)
        process.signal(signal.SIGINT)
        process.wait_line("stopping", 20)
        process.signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert "Traceback" not in process.output
    with sqlite3.connect(home / ".ragwatch" / "ingest.db") as db:
        assert db.execute("SELECT sum(suspect), sum(state = 'leased') FROM document").fetchone() == (0, 0)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["docs"], "pkg.mod:function"),
        (["--function", "loader", "docs"], "pkg.mod:function"),
        (["--function", "lodaer:parse", "docs"], "no module 'lodaer'"),
        (["--function", "loader:prase", "docs"], "did you mean 'parse'"),
        (["--function", "loader:limit", "docs"], "not a function"),
        (["--function", "broken:parse", "docs"], "fails as it is imported"),
        (["--function", "loader:parse", "dosc"], "no 'dosc'"),
        (["--function", "loader:parse"], "--from-file"),
        (["status"], "nothing was ingested yet"),
        (["status", "--ledger", "loader.py"], "no ledger"),
        (["--function", "loader:parse", "--ledger", "loader.py", "docs"], "cannot be used as a ledger"),
        (["--function", "loader:parse", "--ledger", "loader.py/l.db", "docs"], "cannot be written"),
        (["--function", "loader:parse", "--from-file", "lsit"], "no file 'lsit'"),
        (["--function", "loader:parse", "--isolation", "process", "--max-attempts", "0", "docs"], "less than 1"),
        (["--function", "loader:parse", "--workers", "0", "docs"], "less than 1"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(
    home: Path, args: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(home))
    (home / "broken.py").write_text("1 / 0")
    assert main(["ingest", *args]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_killed_within_an_outage_and_resumed_the_sums_add_up_in_ledger_metrics_and_log(home: Path) -> None:
    (home / "state" / "down").touch()
    (home / "agent").mkdir()
    with Agent(home / "agent") as agent:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url,
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
            "OTEL_SERVICE_NAME": "loader",
        }
        options = ("--breaker-reset", "0.2", "--workers", "2", "docs")
        with ingest(home, *options, env=env) as process:
            process.wait_line('"to":"open"', 30)
            agent.wait_metric("rag_breaker_state", 1, breaker="ingest.loader", state="open")
            process.kill()
        (home / "state" / "down").unlink()
        with ingest(home, *options, env=env) as process:
            assert process.wait(60) == 1, process.output
            second = json.loads(process.stdout[-1])
        assert second["ok"] + second["failed"] + second["dead"] + second["unchanged"] == 60
        assert sum(states(home).values()) == 60
        assert states(home)["ok"] == 58
        agent.wait_metric("rag_ingest_documents_total", 58, pipeline="loader", outcome="ok")
        assert agent.metric("rag_breaker_transitions_total", breaker="ingest.loader", to="open") >= 1
