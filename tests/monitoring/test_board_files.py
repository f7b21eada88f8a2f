"""Dashboards for one's own objectives: what ships is filled in as Grafana's library would have made it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ragwatch.cli import main
from ragwatch.codegen.grafana import dashboard_json
from ragwatch.errors import RagwatchError
from ragwatch.monitoring import board_files as module
from ragwatch.monitoring.board_files import UID_LENGTH, board_files, uid_of
from ragwatch.monitoring.boards import boards
from ragwatch.monitoring.slo import BUNDLED, slos_of
from tests.support.paths import ROOT

OWN = {
    "window_days": 7,
    "slos": {"availability": {"target": 0.999}, "latency": {"target": 0.9, "threshold_s": 1}},
    "accuracy": {"target": 0.9},
    "services": {"bot": {"latency": {"threshold_s": 30}, "retrieval": {"target": 0.8}}},
}
OBJECTIVES = {
    "bundled": BUNDLED,
    "own": OWN,
    "low": {"slos": {name: {"target": 0.5} for name in ("availability", "latency", "retrieval")}},
    "none": {"slos": {}},
}


def panel(files: dict[str, str], uid: str, title: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        item for item in json.loads(files[f"{uid}.json"])["panels"] if item.get("title") == title
    )
    return found


def steps(files: dict[str, str], uid: str, title: str) -> list[tuple[float | None, str]]:
    held = panel(files, uid, title)["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return [(step["value"], step["color"]) for step in held]


@pytest.mark.parametrize("service", [None, "bot"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_files_are_what_grafanas_library_makes_of_the_same_boards(name: str, service: str | None) -> None:
    slos = slos_of(OBJECTIVES[name], "test")
    files = {item["uid"]: item for item in map(json.loads, board_files(slos, service).values())}
    for board in boards(slos, service):
        made = json.loads(dashboard_json(board))
        held = files[board.uid if service is None else uid_of(board.uid, service)]
        assert [item["fieldConfig"] for item in held["panels"] if "fieldConfig" in item] == [
            item["fieldConfig"] for item in made["panels"] if "fieldConfig" in item
        ]
        if service is None:
            assert held == made


def test_with_the_bundled_objectives_they_are_the_files_that_ship() -> None:
    shipped = {path.name: path.read_text() for path in (ROOT / "dashboards" / "grafana").glob("*.json")}
    assert board_files(slos_of(BUNDLED, "test")) == shipped


def test_the_colours_are_those_of_the_objectives() -> None:
    files = board_files(slos_of(OWN, "test"))
    up = steps(files, "ragwatch-overview", "Is it up?")
    assert up == [(None, "red"), (pytest.approx(0.994), "orange"), (pytest.approx(0.999), "green")]
    assert steps(files, "ragwatch-overview", "Is it fast?") == [(None, "green"), (0.5, "orange"), (1.0, "red")]
    right = steps(files, "ragwatch-overview", "Does it find the right documents?")
    assert right == [(None, "red"), (0.8, "orange"), (0.9, "green")]
    assert steps(files, "ragwatch-quality", "Does it find nothing?") == [(None, "blue")], "nobody said how much is bad"
    budgets = panel(files, "ragwatch-overview", "How much of each error budget is left?")
    assert [target["legendFormat"] for target in budgets["targets"]] == ["availability", "latency", "retrieval"]
    assert "(7 days)" in budgets["description"]


def test_a_target_that_is_low_can_still_be_red() -> None:
    files = board_files(slos_of(OBJECTIVES["low"], "test"))
    assert steps(files, "ragwatch-overview", "Does it fail?") == [(None, "green"), (0.5, "orange"), (0.9, "red")]


def test_a_service_has_dashboards_of_its_own_beside_the_others() -> None:
    slos = slos_of(OWN, "test")
    everybody, own = board_files(slos), board_files(slos, "bot")
    assert everybody.keys().isdisjoint(own)
    assert steps(own, "ragwatch-overview-bot", "Is it fast?") == [(None, "green"), (15.0, "orange"), (30.0, "red")]
    assert steps(own, "ragwatch-overview-bot", "Is it up?") == steps(everybody, "ragwatch-overview", "Is it up?")
    uids = {json.loads(text)["uid"] for text in own.values()}
    for text in own.values():
        held = json.loads(text)
        assert held["title"].endswith(": bot")
        assert {link["url"].removeprefix("/d/") for item in held["panels"] for link in item.get("links", ())} <= uids
        assert [v["current"]["value"] for v in held["templating"]["list"] if v["name"] == "service"] == [["bot"]]


@pytest.mark.parametrize("service", ["a", "a b", "a-b", "A-B", "ü", "x" * 100, "x" * 101, 'we "quote"'])
def test_a_uid_is_one_that_grafana_takes(service: str) -> None:
    uid = uid_of("ragwatch-resilience", service)
    assert len(uid) <= UID_LENGTH
    assert uid.replace("-", "").isalnum()
    assert uid.isascii()
    others = {"a", "a b", "a-b", "A-B", "ü", "x" * 100, "x" * 101} - {service}
    assert uid not in {uid_of("ragwatch-resilience", other) for other in others}


def test_the_command_writes_them_and_says_whose_colours_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slo = tmp_path / "slo.yaml"
    slo.write_text(json.dumps(OWN))
    assert main(["dashboards", str(tmp_path / "all"), "--slo", str(slo)]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 7
    assert "objectives of their own: bot;" in said.err
    assert main(["dashboards", str(tmp_path / "all"), "--slo", str(slo), "--service", "bot"]) == 0
    said = capsys.readouterr()
    assert len(list((tmp_path / "all").iterdir())) == 14
    assert said.err == ""
    assert main(["dashboards", str(tmp_path / "all"), "--slo", str(slo), "--service", "bto"]) == 0
    assert "bto has no objectives of its own" in capsys.readouterr().err


def test_what_cannot_be_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "slo.yaml"
    wrong.write_text("slos: {avalability: {target: 0.9}}")
    (tmp_path / "file").write_text("")
    for arguments, said in (
        (["out", "--slo", str(tmp_path / "missing.yaml")], "cannot be read"),
        (["out", "--slo", str(wrong)], "did you mean 'availability'"),
        ([str(tmp_path / "file")], "cannot be written"),
    ):
        assert main(["dashboards", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_where_the_generated_files_are_missing_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOLDERS", (tmp_path / "wheel", tmp_path / "checkout"))
    with pytest.raises(RagwatchError, match="generated dashboards are missing"):
        board_files(slos_of(BUNDLED, "test"))


def test_grafanas_library_is_not_needed(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None\n"
        f"from ragwatch.cli import main; sys.exit(main(['dashboards', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ragwatch-overview.json").is_file()
