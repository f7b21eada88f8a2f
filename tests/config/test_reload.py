"""Reading the configuration again: all of it or nothing, and whoever listens is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragwatch import ConfigErrors, ProductionConfig
from ragwatch.config.changes import Change, ConfigChanged, ConfigRejected, listen


@pytest.fixture
def told() -> Iterator[list[Change]]:
    found: list[Change] = []
    stop = listen(found.append)
    yield found
    stop()


def write(path: Path, **settings: object) -> None:
    path.with_suffix(".new").write_text(json.dumps(settings))
    path.with_suffix(".new").rename(path)


def test_a_new_value_is_taken_and_told(tmp_path: Path, told: list[Change]) -> None:
    file = tmp_path / "c.json"
    write(file, log_level="INFO", openai_api_key="sk-1")
    config = ProductionConfig(file, _environ={}, enable_caching=False)
    before = config.config_hash
    assert config.reload() == ()
    assert told == []
    write(file, log_level="DEBUG", openai_api_key="sk-2")
    assert config.reload() == ("log_level", "openai_api_key")
    assert (config.log_level, config.get("OPENAI_API_KEY"), config.enable_caching) == ("DEBUG", "sk-2", False)
    assert told == [ConfigChanged("ProductionConfig", ("log_level", "openai_api_key"), before, config.config_hash)]
    assert before != config.config_hash
    assert config.sources_of("log_level") == (f"{file}:1: log_level",)


def test_a_bad_one_is_raised_and_the_old_one_stays(tmp_path: Path, told: list[Change]) -> None:
    file = tmp_path / "c.json"
    write(file, log_level="ERROR", max_concurrent_queries=3)
    config = ProductionConfig(file, _environ={})
    twin = config.model_copy()
    write(file, log_level="DEBUG", max_concurrent_queries="ten", nothing=1)
    with pytest.raises(ConfigErrors) as caught:
        config.reload()
    assert {fault.setting for fault in caught.value.faults} == {"max_concurrent_queries", "nothing"}
    assert config == twin
    assert told == [ConfigRejected("ProductionConfig", ("nothing", "max_concurrent_queries"), twin.config_hash)]
    file.unlink()
    with pytest.raises(ConfigErrors, match="cannot be read"):
        config.reload()
    assert config == twin


def test_the_environment_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    config = ProductionConfig()
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    assert config.log_level == "ERROR"
    assert config.reload() == ("log_level",)
    assert config.log_level == "DEBUG"


def test_readers_never_see_half_of_it(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    write(file, max_concurrent_queries=1, redis_url="redis://host-1")
    config = ProductionConfig(file, _environ={})
    torn: list[ProductionConfig] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            held = config.model_copy()
            if held.get("redis_url") != f"redis://host-{held.max_concurrent_queries}":
                torn.append(held)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(2, 20):
        write(file, max_concurrent_queries=number, redis_url=f"redis://host-{number}")
        config.reload()
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert config.max_concurrent_queries == 19


def test_a_listener_that_fails_stops_nothing(tmp_path: Path, told: list[Change]) -> None:
    def fails(_: Change) -> None:
        raise RuntimeError("listener")

    file = tmp_path / "c.json"
    write(file, log_level="INFO")
    config = ProductionConfig(file, _environ={})
    stop = listen(fails)
    write(file, log_level="DEBUG")
    assert config.reload() == ("log_level",)
    stop()
    assert len(told) == 1
