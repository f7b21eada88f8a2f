"""What cannot be used is one clear line that names the setting and where its value came from, and exit code 2."""

from __future__ import annotations

import base64
import socket
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from ragwatch.cli import main
from ragwatch.config.agent import PREFIX, AgentSettings
from ragwatch.config.loader import load
from ragwatch.errors import ConfigError
from tests.support.agent import Agent
from tests.support.procs import Process

BASIC = base64.b64encode(b"me:s3cret").decode()


def status_of(request: Request) -> int:
    """HTTP's status."""
    try:
        with urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def start(*options: object, env: dict[str, str] | None = None) -> tuple[int, str]:
    """(exit code, standard error) of an agent that is not expected to start."""
    args = [str(option) for option in options]
    with Process.python("-m", "ragwatch.cli", "agent", *args, env=env) as process:
        code = process.wait(20)
        return code, "\n".join(process.stderr)


@pytest.mark.parametrize("setting", ["grpc-port", "http-port", "web-port"])
def test_a_port_that_is_taken(tmp_path: Path, setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"grpc-port": 0, "http-port": 0, "web-port": 0} | {setting: port}
        flags = [f"--{name}={value}" for name, value in ports.items()]
        code, said = start("--directory", tmp_path, *flags)
    assert code == 2
    assert f"{setting.replace('-', '_')} (from argument --{setting}): 127.0.0.1:{port} is taken" in said
    assert "Traceback" not in said


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = start("--directory", tmp_path / "file" / "x")
    assert code == 2
    assert "directory (from argument --directory):" in said


def test_a_directory_in_use(tmp_path: Path) -> None:
    with Agent(tmp_path):
        code, said = start("--directory", tmp_path, "--grpc-port=0", "--http-port=0", "--web-port=0")
    assert code == 2
    assert "is in use by another agent" in said


def test_a_bad_value_from_the_environment(tmp_path: Path) -> None:
    code, said = start("--directory", tmp_path, env={"RAGWATCH_AGENT_HTTP_PORT": "http"})
    assert code == 2
    assert "http_port (from RAGWATCH_AGENT_HTTP_PORT)" in said
    assert "'http'" in said


def test_off_loopback_wants_a_token(tmp_path: Path) -> None:
    code, said = start("--directory", tmp_path, "--host", "0.0.0.0")
    assert code == 2
    assert "set a token" in said


def test_a_token_is_asked_for_by_every_door(tmp_path: Path) -> None:
    with Agent(tmp_path) as agent:
        assert agent.get("/metrics")[0] == 200
    with Process.python(
        "-m", "ragwatch.cli", "agent", "--directory", tmp_path, "--grpc-port=0", "--http-port=0", "--web-port=0",
        env={"RAGWATCH_AGENT_TOKEN": "s3cret"},
    ) as process:  # fmt: skip
        line = process.wait_line("is up")
        assert "s3cret" not in line
        agent = Agent.__new__(Agent)
        agent.directory = tmp_path
        import re

        found = re.search(r"HTTP 127\.0\.0\.1:(\d+), http://127\.0\.0\.1:(\d+)", line)
        assert found
        agent._ports = (0, int(found[1]), int(found[2]))
        assert agent.get("/metrics")[0] == 401
        assert agent.get("/metrics", Authorization="Bearer s3cret")[0] == 200
        for credentials, status in ((b"me:s3cret", 200), (b":s3cret", 200), (b"s3cret:", 401), (b"s3cret", 401)):
            shown = base64.b64encode(credentials).decode()
            assert agent.get("/api/queries", Authorization=f"Basic {shown}")[0] == status, credentials
        assert agent.get("/api/queries", Authorization="Basic §")[0] == 401
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{agent.web_url}/api/queries", timeout=10)
        asked = refused.value.headers.get_all("WWW-Authenticate")
        assert [challenge.split()[0] for challenge in asked] == ["Bearer", "Basic"], "a browser asks its user"
        sent = Request(f"{agent.http_url}/v1/traces", b"", {"Authorization": f"Basic {BASIC}"})
        assert status_of(sent) == 401, "a sender shows the token"
        assert agent.get("/healthz")[0] == 200


@pytest.mark.parametrize("suffix", ["yaml", "json", "toml"])
def test_order_of_sources(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"agent.{suffix}"
    texts = {
        "yaml": "http_port: 1\nweb_port: 2\ngrpc_port: 3",
        "json": '{"http_port": 1, "web_port": 2, "grpc_port": 3}',
        "toml": "http_port = 1\nweb_port = 2\ngrpc_port = 3",
    }
    file.write_text(texts[suffix])
    settings, sources = load(
        AgentSettings,
        {"http_port": 11, "web_port": None},
        prefix=PREFIX,
        file=file,
        environ={"RAGWATCH_AGENT_HTTP_PORT": "5", "RAGWATCH_AGENT_WEB_PORT": "6", "RAGWATCH_AGENT_GRPC_PORT": ""},
    )
    assert (settings.http_port, settings.web_port, settings.grpc_port) == (11, 6, 3)
    assert sources["http_port"] == "argument --http-port"
    assert sources["web_port"] == "RAGWATCH_AGENT_WEB_PORT"
    assert sources["grpc_port"] == f"{file}:{1 if suffix == 'json' else 3}: grpc_port"
    assert sources["queries_kept"] == "default"


def test_an_unknown_key_has_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("htpp_port: 1")
    with pytest.raises(ConfigError, match="did you mean 'http_port'"):
        load(AgentSettings, {}, prefix=PREFIX, file=file, environ={})


def test_a_missing_or_broken_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(AgentSettings, {}, prefix=PREFIX, file=tmp_path / "none.yaml", environ={})
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be parsed"):
        load(AgentSettings, {}, prefix=PREFIX, file=tmp_path / "bad.json", environ={})


def test_secrets_are_not_in_the_error_nor_in_the_repr() -> None:
    with pytest.raises(ConfigError) as caught:
        load(AgentSettings, {"upstream_headers": "s3cret"}, prefix=PREFIX, environ={})
    assert "s3cret" not in str(caught.value)
    settings, _ = load(AgentSettings, {"token": "s3cret"}, prefix=PREFIX, environ={})
    assert "s3cret" not in repr(settings) + repr(settings.values())


def test_every_setting_is_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["agent", "--help"])
    said = capsys.readouterr().out
    missing = [name for name in AgentSettings.model_fields if f"--{name.replace('_', '-')}" not in said]
    assert not missing
