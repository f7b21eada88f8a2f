"""No secret in repr, errors, tracebacks, dumps, nor in anything that ``ragwatch config`` prints."""

from __future__ import annotations

import json
import tempfile
import traceback
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, field_validator

from ragwatch.agent.upstream import upstream
from ragwatch.cli import main
from ragwatch.config.agent import PREFIX, AgentSettings
from ragwatch.config.loader import load
from ragwatch.config.otel_env import Endpoint
from ragwatch.config.production import ProductionConfig
from ragwatch.config.report import model_rows
from ragwatch.config.urls import mask_url
from ragwatch.sdk.export import transport

SECRET = "hunter2-hunter2"


class Store(BaseModel):
    password: SecretStr | None = None
    token: str | None = None
    dsn: str | None = None


class Config(ProductionConfig):
    store: Store = Store()
    pinecone_api_key: str | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    keys: list[SecretStr] = Field(default_factory=list)
    webhook: str | None = None
    strict_key: SecretStr | None = Field(None, min_length=100)

    @field_validator("pinecone_api_key")
    @classmethod
    def _talkative(cls, value: str | None) -> str | None:
        if value and value.startswith("bad"):
            raise ValueError(f"{value} is no key")
        return value


def everywhere(secret: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": secret,
        "REDIS_URL": f"redis://app:{secret}@cache:6379/0",
        "VECTOR_DB_URL": f"https://qdrant:6333?api_key={secret}",
        "STORE__PASSWORD": secret,
        "STORE__TOKEN": secret,
        "STORE__DSN": f"postgresql://u:{secret}@db/x",
        "PINECONE_API_KEY": secret,
        "HEADERS": json.dumps({"authorization": secret}),
        "KEYS": json.dumps([secret]),
        "WEBHOOK": f"https://u:{secret}@hooks.example/x",
    }


@settings(deadline=None, max_examples=40)
@given(st.text("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789_-", min_size=12, max_size=60))
def test_no_secret_is_shown_whatever_it_is(secret: str) -> None:
    secret = f"Zq{secret}"
    config = Config(_environ=everywhere(secret))
    rows = model_rows(config._loaded, config)  # type: ignore[arg-type]
    texts = [
        repr(config),
        str(config),
        repr(config.get("OPENAI_API_KEY")),
        repr(rows),
        repr(config._loaded),
        config.config_hash,
    ]
    assert all(secret not in text for text in texts)
    assert config.get("STORE.PASSWORD") == secret


def test_no_secret_is_in_a_traceback_with_its_locals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        **everywhere(SECRET),
        "STRICT_KEY": SECRET,
        "PINECONE_API_KEY": f"bad{SECRET}",
        "MAX_CONCURRENT_QUERIES": f"redis://:{SECRET}@x",
        "HEADERS": f'{{"authorization": "{SECRET}"',
        "KEYS": f"[{SECRET}",
    }.items():
        monkeypatch.setenv(name, value)
    del value
    (tmp_path / "c.yaml").write_text(f"store:\n  token: {SECRET}\n  pasword: {SECRET}\n")
    with pytest.raises(ValueError, match="settings cannot be used") as caught:
        Config(tmp_path / "c.yaml")
    assert caught.value.__context__ is None
    text = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    said = str(caught.value)
    assert SECRET not in text
    for name in ("strict_key", "pinecone_api_key", "max_concurrent_queries", "headers", "keys", "store.pasword"):
        assert name in said, name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", f"openai_api_key: *{SECRET}"),
        ("c.yaml", f"openai_api_key: !{SECRET} x"),
        ("c.yaml", f'openai_api_key: "{SECRET}'),
        ("c.yaml", f"openai_api_key: {SECRET}\n  - {SECRET}: x"),
        ("c.json", f'{{"openai_api_key": "{SECRET}'),
        ("c.json", f'{{"openai_api_key": {SECRET}}}'),
        ("c.toml", f"openai_api_key = {SECRET}"),
        ("c.toml", f'openai_api_key = "{SECRET}'),
    ],
)
def test_no_secret_is_in_the_error_of_a_broken_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="cannot be parsed") as caught:
        ProductionConfig(tmp_path / name, _environ={})
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert f"{name}:" in str(caught.value)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(["check", "show", "explain", "schema"]), st.booleans(), st.booleans())
def test_no_secret_is_printed(action: str, as_json: bool, broken: bool) -> None:
    environ = {"RAGWATCH_AGENT_TOKEN": SECRET, "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}"}
    environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://u:{SECRET}@h:4318", **everywhere(SECRET)}
    environ |= {"RAGWATCH_AGENT_UPSTREAM_HEADERS": f"a={SECRET}"}
    if broken:
        environ |= {"STRICT_KEY": SECRET, "PINECONE_API_KEY": f"bad{SECRET}", "STORE__PASSWORT": SECRET}
    out = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(out):
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.setattr("ragwatch.cli.config._model", lambda _: Config)
        keys = ["openai_api_key"] if action == "explain" else []
        code = main(["config", action, *keys, *(["--json"] if as_json else [])])
    assert code == (1 if broken and action in {"check", "show"} else 0)
    assert out.getvalue()
    assert SECRET not in out.getvalue()


@settings(deadline=None, max_examples=40)
@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=8))
def test_the_password_of_a_url_is_masked_whatever_it_is(password: str) -> None:
    secret = f"Qz{password}zQ"
    assert secret not in mask_url(f"redis://app:{secret}@cache:6379/0")
    assert mask_url("redis://cache:6379/0?db=1") == "redis://cache:6379/0?db=1"


def test_a_secret_from_a_file_is_not_shown_either() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "key"
        path.write_text(SECRET)
        config = Config(_environ={"OPENAI_API_KEY_FILE": str(path)})
        assert SECRET not in repr(model_rows(config._loaded, config))  # type: ignore[arg-type]
        assert config.get("OPENAI_API_KEY") == SECRET


def test_a_password_in_the_agent_s_upstream_is_not_shown() -> None:
    url = f"http://app:{SECRET}@collector:4318"
    settings, _ = load(AgentSettings, {"upstream": url}, prefix=PREFIX, environ={})
    assert SECRET not in repr(settings) + str(settings) + repr(settings.values())
    assert settings.values().upstream == url
    assert SECRET not in upstream(settings.values()).name
    with pytest.raises(ValueError, match="should begin with") as caught:
        load(AgentSettings, {"upstream": f"ftp://app:{SECRET}@collector"}, prefix=PREFIX, environ={})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_password_in_the_sdk_s_endpoint_is_not_in_what_it_says(protocol: str) -> None:
    endpoint = Endpoint(f"http://app:{SECRET}@127.0.0.1:1/v1/traces", protocol, timeout_s=1.0)
    found = transport("traces", endpoint)
    answer = found.send(b"")
    found.close()
    assert not answer.delivered
    assert "127.0.0.1:1" in answer.problem
    assert SECRET not in answer.problem


def test_a_short_secret_that_cannot_be_used_is_not_shown_either() -> None:
    with pytest.raises(ValueError, match="strict_key") as caught:
        Config(_environ={"STRICT_KEY": "q7"})
    assert "q7" not in str(caught.value)
