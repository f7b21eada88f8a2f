"""The examples of ``docs/configuration.md`` are run, from the first to the last, in a directory of their own."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ragwatch
from ragwatch.config.production import ProductionConfig
from ragwatch.config.sdk_settings import SDK_SETTINGS
from ragwatch.sdk.app_info import forget
from ragwatch.sdk.setup import engine_state

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def console(text: str, directory: Path) -> list[tuple[str, str, str]]:
    """Each command with the output that the page shows, and the output that there is."""
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        script = f'ragwatch() {{ "{sys.executable}" -m ragwatch.cli "$@"; }}\n{command}'
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-c", script], cwd=directory, env=environ, capture_output=True, text=True, timeout=60
        )
        found.append((command, wanted, done.stdout + done.stderr))
    return found


def test_the_page_s_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"RAGWATCH_", "OTEL_", "RAG_", "OPENAI_", "VECTOR_", "REDIS_", "LOG_LEVEL", "MAX_CONC", "ENABLE_"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith(tuple(own))}
    monkeypatch.setattr(os, "environ", environ)
    for signal in ("TRACES", "METRICS", "LOGS"):
        environ[f"OTEL_{signal}_EXPORTER"] = "none"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    kinds = []
    for kind, file, text in BLOCK.findall(PAGE):
        kinds.append(kind)
        if file:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text(text)
        elif kind == "pycon":
            test = doctest.DocTestParser().get_doctest(text, names, "configuration.md", None, 0)
            report: list[str] = []
            runner.run(test, out=report.append, clear_globs=False)
            names = test.globs
            assert not runner.failures, "".join(report)
        elif kind == "python":
            exec(text, names)
            labels = next(iter(engine_state().series("rag.app.info")))
            ragwatch.shutdown()
            forget()
            assert labels[2] == "1.4.0"
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "environ", dict(environ))
                for signal in ("TRACES", "METRICS", "LOGS"):
                    os.environ.pop(f"OTEL_{signal}_EXPORTER")
                for command, wanted, output in console(text, tmp_path):
                    assert output == wanted, command
    assert kinds.count("pycon") >= 6
    assert kinds.count("console") >= 3


def test_every_setting_and_every_option_is_on_the_page() -> None:
    for name in ProductionConfig.model_fields:
        assert f"`{name}`" in PAGE
        assert f"`{name.upper()}`" in PAGE
    for word in ("env_prefixes", "required_settings", "default_path", "config_hash", "--secrets-dir", "--env-file"):
        assert word in PAGE


def test_the_sdk_s_own_variables_are_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    own = [name for setting in SDK_SETTINGS for name in setting.names if name.startswith("RAGWATCH_")]
    assert [name for name in own if f"`{name}`" not in readme] == []
