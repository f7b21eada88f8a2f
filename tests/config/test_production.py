"""``ProductionConfig`` under the names of the source document, without the flaws of its sketch."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel

import ragwatch
from ragwatch import ConfigError, ConfigErrors, ProductionConfig


def test_constructing_without_anything_never_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = ProductionConfig(_environ={})
    assert config.get("OPENAI_API_KEY") is None
    assert "config/production.json" in config.config_notes[0]


def test_everything_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigErrors) as caught:
        ProductionConfig(_environ={"VECTOR_DB_URL": ""}).validate_required_config()
    assert "OPENAI_API_KEY" in str(caught.value)
    assert "VECTOR_DB_URL" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ConfigError, match="VECTOR_DB_URL") as one:
        ProductionConfig(_environ={"OPENAI_API_KEY": "sk-1"}).validate_required_config()
    assert "OPENAI_API_KEY" not in str(one.value)
    ProductionConfig(_environ={"OPENAI_API_KEY": "sk-1", "VECTOR_DB_URL": "http://q"}).validate_required_config()


def test_the_file_wins_where_the_variable_is_unset(tmp_path: Path) -> None:
    file = tmp_path / "production.json"
    file.write_text(json.dumps({"LOG_LEVEL": "DEBUG", "MAX_CONCURRENT_QUERIES": 33, "ENABLE_CACHING": False}))
    config = ProductionConfig(str(file), _environ={})
    assert [config.get(key) for key in ("LOG_LEVEL", "MAX_CONCURRENT_QUERIES", "ENABLE_CACHING")] == [
        "DEBUG",
        33,
        False,
    ]
    assert ProductionConfig(file, _environ={"LOG_LEVEL": "ERROR"}).log_level == "ERROR"


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "yes", "on"])
def test_caching_is_on_however_it_is_said(text: str) -> None:
    assert ProductionConfig(_environ={"ENABLE_CACHING": text}, enable_caching=None or text).enable_caching is True
    assert ProductionConfig(_environ={"ENABLE_CACHING": text}).get("enable_caching") is True


def test_a_number_that_is_none_is_an_error_that_names_its_source() -> None:
    with pytest.raises(ConfigError) as caught:
        ProductionConfig(_environ={"MAX_CONCURRENT_QUERIES": "ten"})
    assert str(caught.value) == (
        "max_concurrent_queries (from MAX_CONCURRENT_QUERIES): should be a whole number, got 'ten'"
    )
    assert type(caught.value) is not ValueError


def test_the_path_is_the_argument_else_the_variable_else_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, path in enumerate(("config/production.json", "env.json", "own.json", "argument.yaml"), 1):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(f'{{"max_concurrent_queries": {number}}}')
    plain, own = {"RAG_CONFIG_PATH": "env.json"}, {"RAGWATCH_CONFIG_PATH": "own.json"}
    assert ProductionConfig(_environ={}).max_concurrent_queries == 1
    assert ProductionConfig(_environ=plain).max_concurrent_queries == 2
    assert ProductionConfig(_environ=plain | own).max_concurrent_queries == 3
    assert ProductionConfig("argument.yaml", _environ=plain | own).max_concurrent_queries == 4


def test_get_takes_names_in_either_case_and_dotted() -> None:
    class Pool(BaseModel):
        size: int = 5
        labels: dict[str, str] = {"Team": "search"}

    class Config(ProductionConfig):
        pool: Pool = Pool()

    config = Config(_environ={})
    assert [config.get(key) for key in ("pool.size", "POOL.SIZE", "POOL__SIZE", "pool.labels.Team")] == [
        5,
        5,
        5,
        "search",
    ]
    assert config.get("pool.labels.team") == "search"
    assert config.get("pool.none", 1) == 1
    assert config.get("log_level.deeper", 1) == 1
    assert config.get("REDIS_URL", "redis://localhost") == "redis://localhost"


def test_secrets_are_usable_where_they_are_asked_for() -> None:
    config = ProductionConfig(_environ={"OPENAI_API_KEY": "sk-usable", "REDIS_URL": "redis://:pw@h/0"})
    key = config.get("OPENAI_API_KEY")
    assert (key, f"Bearer {key}", isinstance(key, str)) == ("sk-usable", "Bearer sk-usable", True)
    assert config.get("REDIS_URL") == "redis://:pw@h/0"
    assert "sk-usable" not in repr({"key": key})
    assert config.openai_api_key is not None
    assert config.openai_api_key.get_secret_value() == "sk-usable"


def test_the_app_s_logging_is_left_alone() -> None:
    before = (logging.root.level, list(logging.root.handlers))
    ProductionConfig(_environ={"LOG_LEVEL": "DEBUG"})
    assert (logging.root.level, list(logging.root.handlers)) == before


def test_it_is_frozen_and_travels_between_processes() -> None:
    config = ProductionConfig(_environ={"LOG_LEVEL": "ERROR"})
    with pytest.raises(ValueError, match="frozen"):
        config.log_level = "DEBUG"
    twin = pickle.loads(pickle.dumps(config))
    assert (twin, twin.config_hash, twin.sources_of("log_level")) == (config, config.config_hash, ("LOG_LEVEL",))
    assert config.model_copy().config_hash == config.config_hash
    assert config.model_copy(update={"log_level": "DEBUG"}).config_hash != config.config_hash
    assert ProductionConfig.model_validate({"log_level": "debug"}).log_level == "DEBUG"


def test_extra_keys_are_kept_or_dropped_where_the_model_says_so(tmp_path: Path) -> None:
    from pydantic_settings import SettingsConfigDict

    class Kept(ProductionConfig):
        model_config = SettingsConfigDict(extra="allow")

    class Dropped(ProductionConfig):
        model_config = SettingsConfigDict(extra="ignore")

    file = tmp_path / "c.json"
    file.write_text('{"chunk_size": 512}')
    assert Kept(file, _environ={}).get("CHUNK_SIZE") == 512
    assert Dropped(file, _environ={}).get("chunk_size", "none") == "none"


def test_the_hash_changes_with_a_setting_and_not_with_a_secret() -> None:
    def hash_of(**environ: str) -> str:
        return ProductionConfig(_environ=environ).config_hash

    base = hash_of(REDIS_URL="redis://:one@h", OPENAI_API_KEY="sk-1")
    assert base == hash_of(REDIS_URL="redis://:two@h", OPENAI_API_KEY="sk-2")
    assert base != hash_of(REDIS_URL="redis://:one@other", OPENAI_API_KEY="sk-1")
    assert base != hash_of(REDIS_URL="redis://:one@h", OPENAI_API_KEY="sk-1", LOG_LEVEL="DEBUG")
    assert len(base) == 12


def test_the_name_is_public() -> None:
    assert ragwatch.ProductionConfig is ProductionConfig
