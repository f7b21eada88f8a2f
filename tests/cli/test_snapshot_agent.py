"""``ragwatch snapshot --agent``: pictures of a real agent, with nothing but the Python package."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragwatch.cli import main
from tests.support.agent import Agent
from tests.support.procs import Process

APP = """
import time, ragwatch
ragwatch.init(service="bot", log_queries=False)
while True:
    with ragwatch.query("why?"), ragwatch.retrieve(source="handbook") as step:
        step.documents([{"id": "a", "score": 0.5}])
    time.sleep(0.02)
"""


def test_an_agent_is_watched_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "agent").mkdir()
    with Agent(tmp_path / "agent") as agent:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url, "OTEL_METRIC_EXPORT_INTERVAL": "500"}
        with Process.python("-c", APP, env=env):
            agent.wait_metric("ragwatch_sdk_lost_total", 0, service="bot")
            options = [
                "--agent",
                agent.web_url,
                "--for",
                "7s",
                "--board",
                "overview",
                "--board",
                "cost",
                "--board",
                "itself",
            ]
            assert main(["snapshot", str(tmp_path / "pictures"), *options]) == 0
    said = capsys.readouterr().out
    assert "only a Prometheus could draw" in said
    assert "overview.png: " in said
    assert "no data: What does it cost an hour?" in said
    assert "itself.png: 11 of 11 panels have data" in said, "of an agent without an upstream, too"
    assert (tmp_path / "pictures" / "overview.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--agent", "http://127.0.0.1:9", "--for", "5s"], "no agent answers at http://127.0.0.1:9"),
        (["--agent", "http://127.0.0.1:9", "--for", "2s"], "is less than 5 s"),
        (["--agent", "http://127.0.0.1:9", "--for", "soon"], "should read like"),
    ],
)
def test_what_cannot_be_watched_is_said(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["snapshot", str(tmp_path), *options]) == 2
    assert said in capsys.readouterr().err
