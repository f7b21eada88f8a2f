"""Everything that is wrong is said at once: setting, problem, source with its line, and what was probably meant."""

from __future__ import annotations

import pickle
import re
from enum import Enum
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, field_validator, model_validator

import ragwatch
from ragwatch.config.agent import PREFIX, AgentSettings
from ragwatch.config.loader import load
from ragwatch.config.production import ProductionConfig
from ragwatch.config.reserved import COMMON_NAMES, SDK_NAMES
from ragwatch.errors import ConfigErrors


class Pool(BaseModel):
    size: int = 4
    timeout_s: float = 1.0


class Config(ProductionConfig):
    pool: Pool = Pool()

    @field_validator("max_concurrent_queries")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value == 13:
            raise ValueError("should not be 13")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Config:
        if self.pool.size > 1000:
            raise ValueError("pool.size is more than the server allows")
        return self


def faults(path: Path | None = None, **environ: str) -> dict[str, tuple[str, str]]:
    with pytest.raises(ConfigErrors) as caught:
        Config(path, _environ=environ)
    assert len({fault.setting for fault in caught.value.faults}) == len(caught.value.faults)
    return {fault.setting: (fault.problem, fault.source) for fault in caught.value.faults}


TEXTS = {
    "yaml": "log_level: LOUD\nenable_caching: perhaps\npool:\n  size: many\n  sise: 3\nmax_concurent_queries: 5\n",
    "toml": (
        'log_level = "LOUD"\nenable_caching = "perhaps"\nmax_concurent_queries = 5\n[pool]\nsize = "many"\nsise = 3\n'
    ),
    "json": (
        '{"log_level": "LOUD",\n"enable_caching": "perhaps",\n"pool": {\n"size": "many",\n"sise": 3},\n'
        '"max_concurent_queries": 5}'
    ),
}
LINES = {
    "yaml": {"log_level": 1, "enable_caching": 2, "pool.size": 4, "pool.sise": 5, "max_concurent_queries": 6},
    "toml": {"log_level": 1, "enable_caching": 2, "pool.size": 5, "pool.sise": 6, "max_concurent_queries": 3},
    "json": {"log_level": 1, "enable_caching": 2, "pool.size": 4, "pool.sise": 5, "max_concurent_queries": 6},
}


@pytest.mark.parametrize("suffix", TEXTS)
def test_all_faults_of_a_file_at_once_with_their_lines(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"c.{suffix}"
    file.write_text(TEXTS[suffix])
    found = faults(file)
    assert {name: source for name, (_, source) in found.items()} == {
        name: f"{file}:{line}: {name}" for name, line in LINES[suffix].items()
    }
    assert found["pool.sise"][0] == "is no setting; did you mean 'size'?"
    assert found["max_concurent_queries"][0] == "is no setting; did you mean 'max_concurrent_queries'?"
    assert found["pool.size"][0] == "should be a whole number, got 'many'"


def test_faults_of_all_sources_at_once(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("pool: {size: many}\n")
    found = faults(
        file,
        LOG_LEVEL="DEBUGG",
        RAGWATCH_MAX_CONCURRENT_QUERIES="0",
        ENABLE_CACHING="2",
        OPENAI_API_KEY_FILE=str(tmp_path / "none"),
        RAGWATCH_POOL__TIMEOUT="1",
    )
    assert set(found) == {
        "pool.size", "log_level", "max_concurrent_queries", "enable_caching", "OPENAI_API_KEY",
        "RAGWATCH_POOL__TIMEOUT",
    }  # fmt: skip
    assert found["log_level"][0].endswith("got 'DEBUGG'; did you mean 'DEBUG'?")
    assert found["max_concurrent_queries"] == (
        "should be greater than or equal to 1, got '0'",
        "RAGWATCH_MAX_CONCURRENT_QUERIES",
    )
    assert "RAGWATCH_POOL__TIMEOUT_S" in found["RAGWATCH_POOL__TIMEOUT"][0]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RAGWATCH_LOGLEVEL", "RAGWATCH_LOG_LEVEL"),
        ("RAGWATCH_CONTNET", "RAGWATCH_CONTENT"),
        ("RAGWATCH_POOL__SIZ", "RAGWATCH_POOL__SIZE"),
        ("POOL__SIZ", "POOL__SIZE"),
        ("RAGWATCH_REDIS_ULR_FILE", "RAGWATCH_REDIS_URL"),
    ],
)
def test_a_misspelled_variable_is_said(name: str, meant: str) -> None:
    assert f"did you mean '{meant}'" in faults(**{name: "1"})[name][0]


@pytest.mark.parametrize(
    "name",
    [
        "RAGWATCH_CONTENT", "RAGWATCH_CONTENT_FILE", "RAGWATCH_AGENT_HTTP_PORT", "RAGWATCH_CONFIG_PATH_FILE",
        "RAGWATCH_SERVICE_HOST", "RAGWATCH_PORT_4318_TCP_ADDR", "LOG_LEVELS", "POOLS__SIZE", "SSL_CERT_FILE",
    ],
)  # fmt: skip
def test_variables_of_others_are_no_fault(name: str) -> None:
    assert Config(_environ={name: ""}).log_level == "INFO"
    if not name.startswith("RAGWATCH_CONFIG_PATH"):
        assert Config(_environ={name: "1"}).log_level == "INFO"


def test_fields_of_another_subclass_are_known() -> None:
    class Other(ProductionConfig):
        chunk_words: int = 200

    assert Config(_environ={"RAGWATCH_CHUNK_WORDS": "100"}).log_level == "INFO"
    assert Other(_environ={"RAGWATCH_CHUNK_WORDS": "100"}).chunk_words == 100


def test_checks_of_the_app_name_what_they_checked() -> None:
    assert faults(MAX_CONCURRENT_QUERIES="13")["max_concurrent_queries"] == (
        "should not be 13, got '13'",
        "MAX_CONCURRENT_QUERIES",
    )
    assert faults(POOL__SIZE="1001")["Config"] == ("pool.size is more than the server allows", "its own check")


def test_a_field_without_default_says_which_variable_sets_it() -> None:
    class Needs(ProductionConfig):
        index_name: str

    with pytest.raises(ConfigErrors) as caught:
        Needs(_environ={})
    assert str(caught.value) == "index_name (from nowhere): is missing: set INDEX_NAME"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("c.json", '{"a": 1,\n "b"', ":2:5: Expecting ':' delimiter"),
        ("c.yaml", "a: 1\n b: 2\n", ":2:3: mapping values are not allowed here"),
        ("c.toml", "a = 1\nb = \n", ":2:5: Invalid value"),
        ("c.json", "[1]", "holds no settings"),
        ("c.yaml", "1: 2", "should be text"),
        ("c.ini", "a=1", "should end in .json, .yaml, .yml, .toml"),
        ("c.json", '{"log_level": "INFO",\n"log_level": "DEBUG"}', "stands in the file twice, in line 1 too"),
        ("c.yaml", "log_level: INFO\nlog_level: DEBUG\n", "stands in the file twice, in line 1 too"),
    ],
)
def test_a_broken_file_is_said_with_its_position(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        ProductionConfig(tmp_path / name, _environ={})
    assert problem in str(caught.value)
    assert name in str(caught.value)


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigErrors, match="byte 7 is no UTF-8"):
        ProductionConfig(tmp_path / "c.json", _environ={})


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"RAG_CONFIG_PATH": "/nowhere/c.json"}, r"\(from RAG_CONFIG_PATH\): /nowhere/c.json cannot be read"),
        ({"RAGWATCH_ENV_FILE": "/nowhere/.env"}, r"env_file \(from RAGWATCH_ENV_FILE=/nowhere/.env\): cannot be read"),
        ({"RAGWATCH_SECRETS_DIR": "/nowhere"}, r"secrets_dir \(from RAGWATCH_SECRETS_DIR=/nowhere\): cannot be read"),
        ({"REDIS_URL_FILE": "/nowhere"}, r"REDIS_URL \(from REDIS_URL_FILE=/nowhere\)"),
    ],
)
def test_a_path_that_was_given_and_is_not_there_is_a_fault(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigErrors, match=problem):
        ProductionConfig(_environ=environ)


def test_a_bad_default_file_is_a_fault_an_absent_one_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ProductionConfig(_environ={}).config_notes
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "production.json").write_text('{"$schema": "ragwatch.json"}')
    assert ProductionConfig(_environ={}).config_notes == ()
    (tmp_path / "config" / "production.json").write_text("{")
    with pytest.raises(ConfigErrors, match="default path"):
        ProductionConfig(_environ={})


def test_lines_of_an_env_file_are_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# ours\nLOG_LEVEL=LOUD\nRAGWATCH_ENABLE_CACHNG=1\nno equals, sign\n")
    with pytest.raises(ConfigErrors) as caught:
        ProductionConfig(_env_file=tmp_path / ".env", _environ={})
    sources = {fault.setting: fault.source for fault in caught.value.faults}
    assert sources["log_level"] == f"{tmp_path / '.env'}:2: LOG_LEVEL"
    assert sources["RAGWATCH_ENABLE_CACHNG"] == f"{tmp_path / '.env'}:3: RAGWATCH_ENABLE_CACHNG"
    assert sources["env_file"] == f"{tmp_path / '.env'}:4"


def test_the_agent_s_faults_come_at_once_too() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(
            AgentSettings, {"web_port": "x"}, prefix=PREFIX, environ={f"{PREFIX}HTTP_PORT": "-1", f"{PREFIX}HOSTS": "h"}
        )
    assert [fault.source for fault in caught.value.faults] == [
        "RAGWATCH_AGENT_HOSTS",
        "RAGWATCH_AGENT_HTTP_PORT",
        "argument --web-port",
    ]


def test_errors_travel_between_processes() -> None:
    with pytest.raises(ConfigErrors) as caught:
        ProductionConfig(_environ={"LOG_LEVEL": "x", "ENABLE_CACHING": "x"})
    twin = pickle.loads(pickle.dumps(caught.value))
    assert str(twin) == str(caught.value)
    assert [fault.source for fault in twin.faults] == [fault.source for fault in caught.value.faults]


def test_keys_of_models_in_lists_and_mappings_are_checked_too(tmp_path: Path) -> None:
    class Pools(ProductionConfig):
        pools: list[Pool] = Field(default_factory=list)
        by_name: dict[str, Pool] = Field(default_factory=dict)

    file = tmp_path / "c.yaml"
    file.write_text("pools:\n- {size: 1}\n- {sise: 2}\nby_name:\n  a: {timeout: 1}\n")
    with pytest.raises(ConfigErrors) as caught:
        Pools(file, _environ={})
    assert [(fault.setting, fault.problem) for fault in caught.value.faults] == [
        ("pools.1.sise", "is no setting; did you mean 'size'?"),
        ("by_name.a.timeout", "is no setting; did you mean 'timeout_s'?"),
    ]
    assert Pools(_environ={"POOLS": '[{"size": "2"}]'}).pools == [Pool(size=2)]


def test_a_choice_of_an_enum_has_a_suggestion() -> None:
    class Region(Enum):
        EUROPE = "europe"
        ASIA = "asia"

    class Placed(ProductionConfig):
        region: Region = Region.ASIA

    with pytest.raises(ConfigErrors, match="got 'eurpoe'; did you mean 'europe'"):
        Placed(_environ={"REGION": "eurpoe"})


def test_every_name_under_ragwatch_that_the_code_reads_is_known() -> None:
    package = Path(ragwatch.__file__).parent
    texts = (path.read_text(encoding="utf-8") for path in package.rglob("*.py") if path.parent.name != "config")
    read = {name for text in texts for name in re.findall(r"RAGWATCH_[A-Z_]*[A-Z]\b", text)}
    agent = {name for name in read if name.startswith("RAGWATCH_AGENT_")}
    assert read - agent <= {*SDK_NAMES, *COMMON_NAMES}


def test_a_key_in_both_cases_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"LOG_LEVEL": "DEBUG",\n"log_level": "ERROR"}')
    assert "twice" in faults(tmp_path / "c.json")["log_level"][0]


@pytest.mark.parametrize("value", ["true", "null", "1.5", "[1]"])
def test_what_is_no_number_is_none_in_a_file_either(tmp_path: Path, value: str) -> None:
    (tmp_path / "c.json").write_text(f'{{"max_concurrent_queries": {value}}}')
    assert "should be a whole number" in faults(tmp_path / "c.json")["max_concurrent_queries"][0]
