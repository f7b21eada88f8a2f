"""``ragwatch snapshot``: arguments; that it draws what a Prometheus holds is tested with the stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragwatch.cli import main


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--since", "yesterday"], "like 15m"),
        (["--since", "1h", "--until", "2h"], "is not before"),
        (["--board", "overwiew"], "there are overview, latency"),
        (["--prometheus", "http://127.0.0.1:1"], "no Prometheus answers"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(
    args: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["snapshot", str(tmp_path / "pictures"), *args]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
