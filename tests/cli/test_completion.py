"""What a shell completes, asked of a real bash."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from ragwatch.cli import VERBS, main


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


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "doctor" in capsys.readouterr().out


def test_a_shell_that_is_not_known_is_said() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ragwatch.cli", "completion", "fish"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "bash" in done.stderr
