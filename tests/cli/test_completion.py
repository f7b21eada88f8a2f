"""What a shell completes, asked of a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from ragwatch.cli import VERBS, main
from tests.support.debian import debian_file


def completed(script: str, *words: str) -> list[str]:
    """What bash would offer for the last of these words."""
    line = " ".join(f"'{word}'" for word in words)
    asked = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _shtab_ragwatch; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_verbs_and_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert completed(script, "ragwatch", "que") == ["queries"]
    assert set(completed(script, "ragwatch", "")) >= set(VERBS)
    assert "--error-class" in completed(script, "ragwatch", "queries", "--err")
    assert completed(script, "ragwatch", "completion", "z") == ["zsh"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_files_where_a_file_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "golden.jsonl").touch()
    (tmp_path / "goals").mkdir()
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    start = f"{tmp_path}/go"
    assert f"{tmp_path}/golden.jsonl" in completed(script, "ragwatch", "bench", "--questions", start)
    assert completed(script, "ragwatch", "top", "--data-dir", start) == [f"{tmp_path}/goals"]


@contextmanager
def started(program: Path, folder: Path, term: str, said: str) -> Iterator[pexpect.spawn[str]]:
    """An interactive shell without the user's settings that has read ``start`` in the folder, and has said so."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": term, "LANG": "C.UTF-8"}
    shell = pexpect.spawn(str(program), ["-f", "-i"], env=env, dimensions=(40, 160), encoding="utf-8", timeout=30)
    try:
        shell.sendline(f"source {folder}/start && echo REA''DY")
        shell.expect_exact(said)
        yield shell
    finally:
        shell.close(force=True)


def typed(shell: pexpect.spawn[str], text: str, wanted: str) -> None:
    """Type, press the tab key, and wait for what the shell makes of it; then the line is emptied."""
    shell.send(f"{text}\t")
    shell.expect_exact(wanted, timeout=20)
    shell.send("\x15")


def test_zsh_completes_verbs_options_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = debian_file("zsh", "bin/zsh")
    functions = debian_file("zsh-common", "usr/share/zsh/functions")
    assert main(["completion", "zsh"]) == 0
    (tmp_path / "_ragwatch").write_text(capsys.readouterr().out)
    (tmp_path / "golden.jsonl").touch()
    (modules,) = (program.parent.parent / "usr" / "lib").glob("*/zsh/*")
    folders = sorted({str(path.parent) for path in functions.glob("**/*")})
    (tmp_path / "start").write_text(
        f"module_path=({modules})\nfpath=({tmp_path} {' '.join(folders)})\nautoload -Uz compinit && compinit -u -D\n"
    )
    with started(program, tmp_path, "dumb", "READY") as shell:
        typed(shell, "ragwatch que", "queries")
        typed(shell, "ragwatch queries --error-c", "--error-class")
        typed(shell, "ragwatch completion z", "completion zsh")
        typed(shell, f"ragwatch bench --questions {tmp_path}/gol", "golden.jsonl")


def test_tcsh_completes_verbs_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = debian_file("tcsh", "bin/tcsh")
    assert main(["completion", "tcsh"]) == 0
    (tmp_path / "start").write_text(capsys.readouterr().out)
    with started(program, tmp_path, "xterm", "READY\r\n") as shell:
        typed(shell, "ragwatch que", "queries")
        typed(shell, "ragwatch bench --fin", "--find-knee")
        typed(shell, "ragwatch completion z", "completion zsh")


def test_a_shell_that_is_not_known_is_said() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ragwatch.cli", "completion", "fish"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "bash" in done.stderr
