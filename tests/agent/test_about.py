"""What an agent says of itself holds everything but secrets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ragwatch.agent import about
from ragwatch.config.agent_values import AgentValues
from ragwatch.errors import NoAnswer

VALUES = AgentValues(
    Path("/data"),
    token="planted-token",
    upstream="http://me:planted-password@collector:4318",
    upstream_headers={"x-api-key": "planted-key"},
)


def settings(values: AgentValues) -> dict[str, object]:
    return {one["name"]: one["value"] for one in about.about(values, {})["settings"]}


def test_no_secret_is_in_it() -> None:
    assert "planted" not in str(about.about(VALUES, {}))
    found = settings(VALUES)
    assert found["token"] == "***"
    assert found["upstream"] == "http://me:***@collector:4318"
    assert found["upstream_headers"] == {"x-api-key": "***"}
    assert settings(AgentValues(Path("/data")))["token"] is None


def test_every_setting_is_there_with_its_source() -> None:
    found = about.about(VALUES, {"host": "RAGWATCH_AGENT_HOST"})
    assert [one["name"] for one in found["settings"]] == list(AgentValues.__dataclass_fields__)
    sources = {one["name"]: one["source"] for one in found["settings"]}
    assert (sources["host"], sources["linger_s"]) == ("RAGWATCH_AGENT_HOST", "default")


def test_the_hash_is_that_of_the_settings_and_no_secret_s() -> None:
    def of(values: AgentValues) -> str:
        return str(about.about(values, {})["config_hash"])

    assert of(VALUES) == of(replace(VALUES, token="another"))
    assert of(VALUES) != of(replace(VALUES, token=None)) != of(replace(VALUES, queries_kept=7))


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_directory_that_does_not_say(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / about.FILE).write_text(text)
    with pytest.raises(NoAnswer):
        about.read(tmp_path)


def test_it_is_written_whole(tmp_path: Path) -> None:
    found = about.about(VALUES, {})
    about.write(tmp_path, found)
    assert about.read(tmp_path) == found
    assert [path.name for path in tmp_path.iterdir()] == [about.FILE]
