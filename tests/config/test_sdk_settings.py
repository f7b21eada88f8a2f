"""The table of the SDK's settings says what ``read_settings`` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from ragwatch.config import otel_env
from ragwatch.config.otel_env import Endpoint, SdkSettings, read_settings
from ragwatch.config.reserved import SDK_NAMES
from ragwatch.config.sdk_settings import SDK_SETTINGS, sdk_rows, sdk_schema


class Asked(Mapping[str, str]):
    """An environment that notes what it is asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_every_setting_is_in_the_table() -> None:
    names = {setting.name for setting in SDK_SETTINGS}
    members = {field.name for field in fields(SdkSettings)} - {"endpoints", "warnings"}
    endpoint = {f"{signal}.{field.name}" for signal in otel_env.SIGNALS for field in fields(Endpoint)}
    assert names == members | endpoint | {f"{signal}.exporter" for signal in otel_env.SIGNALS}


def test_every_variable_that_is_read_is_in_the_table() -> None:
    asked = Asked()
    read_settings(asked)
    listed = {name for setting in SDK_SETTINGS for name in setting.names}
    opt_ins = {"RAGWATCH_SECRETS_DIR", "RAGWATCH_ENV_FILE"}
    refused = {name for name in asked.names if name.startswith("OTEL_BLRP_")} | set(otel_env._NOT_HONOURED)
    read = {name for name in asked.names - opt_ins - refused if not name.endswith("_FILE") or name in listed}
    assert read == listed
    assert set(SDK_NAMES) == {name for name in listed if name.startswith("RAGWATCH_")}
    assert set(sdk_schema()["properties"]) == listed


@pytest.mark.parametrize("setting", SDK_SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_s_source_is_its_strongest_variable(setting: object) -> None:
    names: tuple[str, ...] = setting.names  # type: ignore[attr-defined]
    for first, name in enumerate(names):
        good = next(
            value
            for value in ("7", "true", "full", "grpc", "gzip", "k=v", "info", "none")
            if not read_settings({name: value}).warnings
        )
        environ = dict.fromkeys(names[first:], good)
        row = next(row for row in sdk_rows(environ)[0] if row.name == setting.name)  # type: ignore[attr-defined]
        assert row.source == name
        assert [source for source, _ in row.overrode] == list(names[first + 1 :])


def test_a_value_that_is_ignored_is_no_source_and_is_a_fault() -> None:
    rows, faults = sdk_rows({"RAGWATCH_CONTENT": "all", "RAGWATCH_CONTNET": "full"})
    row = next(row for row in rows if row.name == "content")
    assert (row.value, row.source) == ("off", "default")
    assert [fault.setting for fault in faults] == ["RAGWATCH_CONTNET", "RAGWATCH_CONTENT"]
    assert "did you mean 'RAGWATCH_CONTENT'" in faults[0].problem


def test_the_sdk_reads_the_same_layers(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("authorization=Bearer%20x\n")
    (tmp_path / ".env").write_text("RAGWATCH_CONTENT=full\nRAGWATCH_ENVIRONMENT=staging\n")
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS_FILE": str(tmp_path / "headers"),
        "RAGWATCH_ENV_FILE": str(tmp_path / ".env"),
        "RAGWATCH_CONTENT": "truncated",
    }
    settings = read_settings(environ)
    assert settings.endpoints["traces"] is not None
    assert settings.endpoints["traces"].headers == (("authorization", "Bearer x"),)
    assert (settings.content, settings.environment) == ("truncated", "staging")


def test_privacy_fails_closed_where_its_file_cannot_be_read(tmp_path: Path) -> None:
    settings = read_settings({"RAGWATCH_CONTENT_FILE": str(tmp_path / "none")})
    assert settings.content == "off"
    assert "RAGWATCH_CONTENT" in settings.warnings[0]
