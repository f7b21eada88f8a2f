"""``ragwatch config``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ragwatch.cli import main

MODEL = """
from pydantic import BaseModel, Field, SecretStr
from ragwatch import ProductionConfig

class Pool(BaseModel):
    size: int = Field(4, ge=1, description="connections that are kept")
    password: SecretStr | None = None

class BotConfig(ProductionConfig):
    pool: Pool = Pool()
    index: str

class NoConfig: ...
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of its own, and none of the variables of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("RAGWATCH_", "OTEL_", "RAG_")) and name != "RAGWATCH_RAISE":
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot_settings.py").write_text(MODEL)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["config", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def loads(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--json")[1])


def test_check_says_that_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check")
    assert code == 0
    assert "settings are in order (production, agent, sdk)" in out
    assert "note: there is no config/production.json" in out


def test_check_lists_the_faults_of_all_kinds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_CONCURRENT_QUERIES", "ten")
    monkeypatch.setenv("RAGWATCH_AGENT_HTPT_PORT", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "many")
    code, out, _ = run(capsys, "check")
    assert code == 1
    assert "production: max_concurrent_queries (from MAX_CONCURRENT_QUERIES): should be a whole number" in out
    assert "agent: RAGWATCH_AGENT_HTPT_PORT" in out
    assert "did you mean 'RAGWATCH_AGENT_HTTP_PORT'" in out
    assert "sdk: OTEL_BSP_MAX_QUEUE_SIZE" in out
    assert "3 faults" in out
    found = loads(capsys, "check")
    assert [found[kind]["faults"][0]["source"] for kind in ("production", "agent", "sdk")] == [
        "MAX_CONCURRENT_QUERIES",
        "RAGWATCH_AGENT_HTPT_PORT",
        "OTEL_BSP_MAX_QUEUE_SIZE",
    ]


def test_check_of_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "--config", "none.json")
    assert code == 1
    assert "none.json cannot be read" in out


def test_show_says_where_each_value_is_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text("log_level: INFO\nredis_url: redis://:s3cret@cache\n")
    monkeypatch.setenv("RAGWATCH_LOG_LEVEL", "error")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    code, out, _ = run(capsys, "show", "--config", "c.yaml", "--settings", "production")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    digits = sha256(b"sk-1").hexdigest()[-4:]
    assert f"openai_api_key set (sha256 …{digits}) OPENAI_API_KEY" in lines
    assert "redis_url redis://:***@cache c.yaml:2: redis_url" in lines
    at = lines.index("log_level ERROR RAGWATCH_LOG_LEVEL")
    assert lines[at + 1 : at + 3] == ["over LOG_LEVEL = debug", "over c.yaml:1: log_level = INFO"]
    assert "max_concurrent_queries 10 default" in lines
    assert "s3cret" not in out
    found = loads(capsys, "show", "--config", "c.yaml")
    rows = {row["name"]: row for row in found["production"]["settings"]}
    assert rows["log_level"]["overrode"][0] == {"source": "LOG_LEVEL", "value": "debug"}
    assert len(found["production"]["config_hash"]) == 12
    assert {"production", "agent", "sdk"} == set(found)


def test_show_shows_what_it_can_where_something_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    code, out, _ = run(capsys, "show", "--settings", "production")
    assert code == 1
    assert "LOUD" in out
    assert "FAULT log_level (from LOG_LEVEL)" in out


def test_a_model_of_one_s_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model = ("--model", "bot_settings:BotConfig")
    code, out, _ = run(capsys, "check", *model, "--settings", "production")
    assert code == 1
    assert "index (from nowhere): is missing: set INDEX" in out
    monkeypatch.setenv("RAGWATCH_INDEX", "handbook")
    monkeypatch.setenv("POOL__SIZE", "8")
    assert run(capsys, "check", *model)[0] == 0
    code, out, _ = run(capsys, "explain", "pool.size", *model)
    assert code == 0
    assert "connections that are kept" in out
    assert "from       POOL__SIZE" in out
    assert "variables  RAGWATCH_POOL__SIZE, POOL__SIZE" in out


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("bot_settings", "should be PKG.MOD:CLASS"),
        ("no_such_module:X", "cannot be loaded"),
        ("bot_settings:Missing", "cannot be loaded"),
        ("bot_settings:NoConfig", "is no subclass"),
    ],
)
def test_a_model_that_is_none_is_exit_code_2(capsys: pytest.CaptureFixture[str], named: str, problem: str) -> None:
    code, _, err = run(capsys, "check", "--model", named)
    assert code == 2
    assert problem in err


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("OPENAI_API_KEY", "openai_api_key (production, secret)"),
        ("RAGWATCH_CONTENT", "content (sdk)"),
        ("http_port", "http_port (agent)"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "traces.headers (sdk, secret)"),
    ],
)
def test_explain_finds_a_setting_by_name_or_variable(capsys: pytest.CaptureFixture[str], key: str, wanted: str) -> None:
    code, out, _ = run(capsys, "explain", key)
    assert code == 0
    assert wanted in out
    assert loads(capsys, "explain", key)[0]["name"] in wanted


def test_explain_of_no_setting_is_exit_code_2_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "explain", "max_concurent_queries")
    assert code == 2
    assert "did you mean 'max_concurrent_queries'" in err


def test_schema_is_what_an_editor_wants(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "schema", "--model", "bot_settings:BotConfig")
    schema = json.loads(out)
    assert code == 0
    assert schema["additionalProperties"] is False
    assert {"$schema", "log_level", "LOG_LEVEL", "pool", "index"} <= set(schema["properties"])
    assert schema["properties"]["log_level"]["enum"][0] == "DEBUG"
    assert "required" not in schema  # another source may have it
    assert "index" in schema["description"]
    agent = json.loads(run(capsys, "schema", "--settings", "agent")[1])
    assert "http_port" in agent["properties"]
    sdk = json.loads(run(capsys, "schema", "--settings", "sdk")[1])
    assert "RAGWATCH_CONTENT" in sdk["properties"]


def test_env_file_and_secrets_dir_are_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=error\nRAGWATCH_CONTENT=full\nRAGWATCH_AGENT_HTTP_PORT=1234\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "openai_api_key").write_text("sk-1")
    found = loads(capsys, "show", "--env-file", ".env", "--secrets-dir", "secrets")
    sources = {row["name"]: row["source"] for kind in found.values() for row in kind["settings"]}
    assert found["production"]["settings"][3]["value"] == "ERROR"
    assert sources["content"] == ".env:2: RAGWATCH_CONTENT"
    assert sources["http_port"] == ".env:3: RAGWATCH_AGENT_HTTP_PORT"
    assert sources["openai_api_key"] == "secrets/openai_api_key"


def test_the_agent_s_file_is_checked_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("htpt_port = 1\n")
    code, out, _ = run(capsys, "check", "--settings", "agent", "--config", "agent.toml")
    assert code == 1
    assert "agent.toml:1: htpt_port" in out


def test_a_file_that_a_variable_names_is_said_by_the_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGWATCH_AGENT_CONFIG", "none.toml")
    code, out, _ = run(capsys, "check", "--settings", "agent")
    assert code == 1
    assert "(from RAGWATCH_AGENT_CONFIG)" in out
    assert main(["agent"]) == 2
    assert "(from RAGWATCH_AGENT_CONFIG): none.toml cannot be read" in capsys.readouterr().err
