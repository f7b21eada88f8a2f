"""What the app runs is a gauge with one series, and a change of it a line in the log."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import ragwatch
from ragwatch import ProductionConfig
from ragwatch.config.changes import ConfigChanged, tell
from ragwatch.sdk import guard
from ragwatch.sdk.app_info import forget
from ragwatch.sdk.setup import engine_state
from tests.sdk.conftest import Watched
from tests.support.otlp_values import attributes_of


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    forget()
    yield
    forget()


def series() -> dict[tuple[str, ...], float]:
    """The labels after service and environment."""
    return {key[2:]: value for key, value in engine_state().series("rag.app.info").items()}


def test_nothing_said_is_no_series(watched: Watched) -> None:
    assert series() == {}


def test_what_is_said_is_one_series(watched: Watched) -> None:
    ragwatch.app_info(
        version="1.2", index_version="2026-11", embedding_model="minilm", prompt_version="p7", config="abc"
    )
    assert series() == {("1.2", "abc", "2026-11", "minilm", "p7"): 1.0}
    ragwatch.app_info(index_version="2026-12")
    assert series() == {("1.2", "abc", "2026-12", "minilm", "p7"): 1.0}
    changed = [line for line in watched.lines() if line["event"] == "rag.app.changed"]
    assert [line["index_version"] for line in changed] == [{"from": "2026-11", "to": "2026-12"}]


def test_it_is_exported_as_a_metric(watched: Watched) -> None:
    ragwatch.app_info(prompt_version="p8")
    assert ragwatch.flush(20)
    metric = watched.sink.metrics()["rag.app.info"]
    points = [attributes_of(point.attributes) for point in metric.gauge.data_points]
    assert points
    assert points[-1]["prompt_version"] == "p8"


def test_init_takes_it_too_and_the_version_is_the_resource_s(on_alone: None) -> None:
    ragwatch.init(service="bot", version="3.1", app_info={"index_version": "i1"})
    assert series() == {("3.1", "", "i1", "", ""): 1.0}


def test_a_reload_changes_the_hash_and_is_logged(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"log_level": "INFO", "openai_api_key": "sk-secret-1"}))
    config = ProductionConfig(file, _environ={})
    ragwatch.app_info(config=config)
    before = config.config_hash
    assert series() == {("", before, "", "", ""): 1.0}
    file.write_text(json.dumps({"log_level": "DEBUG", "openai_api_key": "sk-secret-2"}))
    config.reload()
    assert config.config_hash != before
    assert series() == {("", config.config_hash, "", "", ""): 1.0}
    file.write_text(json.dumps({"log_level": "LOUD", "openai_api_key": "sk-secret-3"}))
    with pytest.raises(ragwatch.ConfigErrors):
        config.reload()
    lines = [line for line in watched.lines() if line["event"].startswith("rag.config.")]
    assert [(line["event"], line["level"], line["settings"], line["config_hash"]) for line in lines] == [
        ("rag.config.changed", "info", ["log_level", "openai_api_key"], {"from": before, "to": config.config_hash}),
        ("rag.config.rejected", "error", ["log_level"], config.config_hash),
    ]
    assert "sk-secret" not in json.dumps(lines)


def test_changes_before_init_and_after_shutdown_cost_nothing() -> None:
    ragwatch.app_info(index_version="i1")
    tell(ConfigChanged("C", ("log_level",), "a", "b"))
    ragwatch.shutdown()
    tell(ConfigChanged("C", ("log_level",), "a", "b"))
    assert engine_state().series("rag.app.info") == {}


def test_a_forked_child_says_it_too(watched: Watched) -> None:
    ragwatch.app_info(index_version="i9")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, repr(list(series())).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    assert os.read(read, 1000).decode() == "[('', '', 'i9', '', '')]"
    os.close(read)


@pytest.fixture
def on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent, and faults are counted, not raised, as in an app."""
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    monkeypatch.delenv("RAGWATCH_RAISE", raising=False)
    guard.forget()


def test_a_configuration_that_fails_costs_the_app_nothing(on_alone: None) -> None:
    class Broken:
        @property
        def config_hash(self) -> str:
            raise OSError("no hash today")

    ragwatch.init()
    ragwatch.app_info(config=Broken(), index_version="i1")
    with ragwatch.query("q"):
        pass
    assert ragwatch.metrics().query_count == 1
    assert ragwatch.telemetry()["faults"]["app_info"] >= 1
    assert series() == {("", "", "i1", "", ""): 1.0}
    ragwatch.app_info(config="abc")
    assert series() == {("", "abc", "i1", "", ""): 1.0}


def test_a_word_that_init_does_not_know_is_one_line_and_no_error(
    on_alone: None, caplog: pytest.LogCaptureFixture
) -> None:
    ragwatch.init(app_info={"indx_version": "i1"})
    assert "app_info() got an unexpected keyword argument 'indx_version'" in caplog.text
    with ragwatch.query("q"):
        pass
    assert ragwatch.metrics().query_count == 1
