"""The command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest

from ragwatch.cli import VERBS, main

HELP_S = 0.15


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)


def test_an_unknown_verb_has_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dmeo"]) == 2
    assert "did you mean 'demo'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("queries --eror", "ragwatch queries: unrecognized arguments: --eror; did you mean --errors?"),
        (
            "explore",
            "ragwatch explore: the following arguments are required: target; ragwatch explore --help says more",
        ),
        ("show", "ragwatch show: the following arguments are required: TRACE_ID; ragwatch show --help says more"),
        ("config shwo", "argument check|show|schema|explain: invalid choice: 'shwo'"),
        ("bench x:y --arrivals often", "argument --arrivals: invalid choice: 'often'"),
    ],
)
def test_an_argument_that_is_wrong_is_one_line(args: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(args.split())
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert f"ragwatch {verb}" in said
    examples = said.partition("\nexamples:\n")[2]
    assert f"ragwatch {verb}" in examples
    assert "exit codes: 0 " in examples
    assert max(map(len, examples.splitlines())) <= 120


def test_codegen_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    root = ["--root", str(tmp_path)]
    assert main(["codegen", "--check", *root]) == 1
    assert "is stale" in capsys.readouterr().out
    assert main(["codegen", *root]) == 0
    assert main(["codegen", "--check", *root]) == 0
    page = tmp_path / "docs" / "metrics.md"
    page.write_text(page.read_text() + "edited by hand")
    assert main(["codegen", "--check", *root]) == 1


def test_codegen_outside_a_checkout_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codegen", "--root", str(tmp_path)]) == 2
    assert "is no checkout" in capsys.readouterr().err


def test_help_takes_no_longer_than_the_interpreter_and_150_ms() -> None:
    """The best of several, less what this machine takes for the interpreter alone right now."""

    def best(*args: str) -> float:
        times = []
        for _ in range(7):
            started = perf_counter()
            subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL, env=os.environ)
            times.append(perf_counter() - started)
        return min(times)

    assert best("-m", "ragwatch.cli", "--help") - best("-c", "pass") < HELP_S
