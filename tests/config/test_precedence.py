"""Which source wins: every pair of sources × every key, set and unset, and any set of sources at all."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, Field, SecretStr

from ragwatch.config.agent import PREFIX, AgentSettings
from ragwatch.config.loader import load
from ragwatch.config.production import ProductionConfig


class Pool(BaseModel):
    size: int = 4


class Config(ProductionConfig):
    pool: Pool = Pool()
    tags: list[str] = Field(default_factory=list)


SOURCES = (
    "argument", "RAGWATCH_X", "X", "RAGWATCH_X_FILE", "X_FILE", "secrets RAGWATCH_X", "secrets X", ".env RAGWATCH_X",
    ".env X", "file",
)  # fmt: skip
"""The strongest first; the default is the weakest."""
VALUES: dict[str, tuple[str, str]] = {
    "openai_api_key": ("sk-one-0000", "sk-two-0000"),
    "vector_db_url": ("http://one:6333", "http://:pass@two:6333"),
    "redis_url": ("redis://one", "redis://two"),
    "log_level": ("DEBUG", "ERROR"),
    "max_concurrent_queries": ("3", "7"),
    "enable_caching": ("0", "false"),
    "pool__size": ("11", "12"),
    "tags": ("a,b", '["c"]'),
}
DEFAULTS = {name: Config(_environ={}).get(name) for name in VALUES}


@dataclass
class Place:
    """Where the sources are laid out."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    file: dict[str, Any] = field(default_factory=dict)
    dotenv: list[str] = field(default_factory=list)

    def give(self, source: str, key: str, value: str) -> None:
        name = ("RAGWATCH_" if "RAGWATCH_" in source else "") + key.upper()
        if source in {"argument", "file"}:
            target = self.arguments if source == "argument" else self.file
            target |= {"pool": {"size": value}} if key == "pool__size" else {key: listed(value)}
        elif source.startswith("secrets"):
            (self.directory / "secrets").mkdir(exist_ok=True)
            (self.directory / "secrets" / name.lower()).write_text(value + "\n")
        elif source.startswith(".env"):
            self.dotenv.append(f"{name}='{value}'")
        elif source.endswith("_FILE"):
            path = self.directory / name
            path.write_text(value + "\n")
            self.environ[f"{name}_FILE"] = str(path)
        else:
            self.environ[name] = value

    def config(self) -> Config:
        (self.directory / "c.json").write_text(json.dumps(self.file))
        (self.directory / ".env").write_text("\n".join(self.dotenv))
        (self.directory / "secrets").mkdir(exist_ok=True)
        return Config(
            self.directory / "c.json",
            _env_file=self.directory / ".env",
            _secrets_dir=self.directory / "secrets",
            _environ=self.environ,
            **self.arguments,
        )


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Place]:
    def made() -> Iterator[Place]:
        for number in itertools.count():
            directory = tmp_path / str(number)
            directory.mkdir()
            yield Place(directory)

    return made()


def listed(value: str) -> Any:
    return json.loads(value) if value.startswith("[") else value.split(",") if "," in value else value


def wanted(key: str, value: str) -> Any:
    return Config(_environ={key.upper(): value}).get(key)


@pytest.mark.parametrize("key", VALUES)
def test_of_every_pair_of_sources_the_stronger_wins(key: str, places: Iterator[Place]) -> None:
    strong, weak = VALUES[key]
    for stronger, weaker in itertools.combinations(SOURCES, 2):
        place = next(places)
        place.give(weaker, key, weak)
        place.give(stronger, key, strong)
        config = place.config()
        assert config.get(key) == wanted(key, strong), (stronger, weaker)
        assert len(config.sources_of(key)) == 2, (stronger, weaker)


@pytest.mark.parametrize("key", VALUES)
def test_a_source_alone_wins_over_the_default_and_unset_is_the_default(key: str, places: Iterator[Place]) -> None:
    for source in SOURCES:
        place = next(places)
        place.give(source, key, VALUES[key][0])
        config = place.config()
        assert config.get(key) == wanted(key, VALUES[key][0]), source
        for other in VALUES:
            if other != key:
                assert config.get(other) == DEFAULTS[other], (source, other)
                assert config.sources_of(other) == ("default",)


@settings(deadline=None, max_examples=40)
@given(st.sets(st.sampled_from(SOURCES), min_size=1), st.sampled_from(["max_concurrent_queries", "pool__size"]))
def test_any_set_of_sources_is_listed_in_order(sources: set[str], key: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory))
        for source in sources:
            place.give(source, key, str(SOURCES.index(source) + 1))
        config = place.config()
        order = [source for source in SOURCES if source in sources]
        assert config.get(key) == SOURCES.index(order[0]) + 1
        assert len(config.sources_of(key)) == len(order)


def test_an_empty_variable_is_unset() -> None:
    assert Config(_environ={"LOG_LEVEL": "", "MAX_CONCURRENT_QUERIES": " "}).sources_of("log_level") == ("default",)


def test_one_key_of_a_nested_model_keeps_the_others_from_weaker_sources(tmp_path: Path) -> None:
    class Redis(BaseModel):
        host: str = "localhost"
        port: int = 6379
        password: SecretStr | None = None

    class Nested(ProductionConfig):
        redis: Redis | None = None

    file = tmp_path / "c.toml"
    file.write_text("[redis]\nhost = 'cache'\nport = 1\n")
    config = Nested(file, _environ={"RAGWATCH_REDIS__PORT": "2", "REDIS__PASSWORD": "s3cret-pw"})
    assert config.redis == Redis(host="cache", port=2, password=SecretStr("s3cret-pw"))
    assert config.sources_of("redis.host") == (f"{file}:2: redis.host",)
    assert config.sources_of("redis.port") == ("RAGWATCH_REDIS__PORT", f"{file}:3: redis.port")
    as_json = Nested(_environ={"REDIS": '{"port": 5, "host": "h"}', "REDIS__PORT": "6"})
    assert as_json.redis == Redis(host="h", port=6)


def test_a_mapping_is_replaced_whole_but_for_one_key_of_a_variable(tmp_path: Path) -> None:
    class Mapped(ProductionConfig):
        headers: dict[str, str] = Field(default_factory=dict)

    file = tmp_path / "c.yaml"
    file.write_text("headers: {a: '1', b: '2'}\n")
    assert Mapped(file, _environ={}, headers={"c": "3"}).headers == {"c": "3"}
    assert Mapped(file, _environ={"HEADERS__B": "9"}).headers == {"a": "1", "b": "9"}


def test_a_variable_that_ends_in_file_may_be_a_setting_of_its_own(tmp_path: Path) -> None:
    class Logging(ProductionConfig):
        log: str = "none"
        log_file: str = "none"

    config = Logging(_environ={"LOG_FILE": str(tmp_path / "app.log")})
    assert (config.log, config.log_file) == ("none", str(tmp_path / "app.log"))


def test_aliases_and_prefixes_of_a_subclass() -> None:
    class Own(ProductionConfig):
        env_prefixes = ("SUPPORT_BOT_",)
        index: str = Field("none", validation_alias=AliasChoices("index_name", "collection"))

    assert Own(_environ={"SUPPORT_BOT_COLLECTION": "handbook"}).index == "handbook"
    assert Own(_environ={"SUPPORT_BOT_INDEX": "handbook"}).index == "handbook"
    config = Own(_environ={"LOG_LEVEL": "ERROR", "RAGWATCH_LOG_LEVEL": "ERROR", "SUPPORT_BOT_LOG_LEVEL": "DEBUG"})
    assert config.log_level == "DEBUG"
    assert Own(_environ={}, index="by name").get("index") == "by name"


def test_options_of_the_model_config_open_env_file_and_secrets_dir(tmp_path: Path) -> None:
    from pydantic_settings import SettingsConfigDict

    (tmp_path / ".env").write_text("export LOG_LEVEL=error # why\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "OPENAI_API_KEY").write_text("sk-secret\n")

    class Own(ProductionConfig):
        model_config = SettingsConfigDict(env_file=str(tmp_path / ".env"), secrets_dir=str(tmp_path / "secrets"))

    config = Own(_environ={})
    assert (config.log_level, config.get("OPENAI_API_KEY")) == ("ERROR", "sk-secret")
    by_variable = {"RAGWATCH_ENV_FILE": str(tmp_path / ".env"), "RAGWATCH_SECRETS_DIR": str(tmp_path / "secrets")}
    assert ProductionConfig(_environ=by_variable).log_level == "ERROR"
    assert ProductionConfig(_environ={}).log_level == "INFO"


def test_the_agent_reads_the_same_layers(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret-token\n")
    environ = {"RAGWATCH_AGENT_TOKEN_FILE": str(tmp_path / "token"), "HTTP_PORT": "1", "RAGWATCH_HTTP_PORT": "2"}
    settings, sources = load(AgentSettings, {}, prefix=PREFIX, environ=environ)
    assert settings.token is not None
    assert settings.token.get_secret_value() == "s3cret-token"
    assert sources["token"] == f"RAGWATCH_AGENT_TOKEN_FILE={tmp_path / 'token'}"
    assert settings.http_port == 4318


class Flat(BaseModel):
    kind: Literal["flat"] = "flat"
    probes: int = 1


class Graph(BaseModel):
    kind: Literal["graph"] = "graph"
    neighbours: int = 16


class Node(BaseModel):
    name: str = "root"
    child: Node | None = None


def test_one_of_several_models_from_variables_and_file(tmp_path: Path) -> None:
    class Indexed(ProductionConfig):
        index: Flat | Graph = Field(Flat(), discriminator="kind")

    assert Indexed(_environ={"INDEX": '{"kind": "graph", "neighbours": 8}'}).index == Graph(neighbours=8)
    assert Indexed(_environ={"INDEX__KIND": "graph", "INDEX__NEIGHBOURS": "9"}).index == Graph(neighbours=9)
    (tmp_path / "c.yaml").write_text("index: {kind: graph, neighbours: 10}\n")
    config = Indexed(tmp_path / "c.yaml", _environ={"INDEX__NEIGHBOURS": "11"})
    assert config.index == Graph(neighbours=11)
    assert config.get("index.neighbours") == 11


def test_a_model_within_itself_and_values_of_a_mapping() -> None:
    class Nested(ProductionConfig):
        node: Node = Node()
        weights: dict[str, list[int]] = Field(default_factory=dict)

    config = Nested(_environ={"NODE__CHILD__NAME": "leaf", "WEIGHTS": '{"a": [1]}', "WEIGHTS__B": "2,3"})
    assert config.node == Node(child=Node(name="leaf"))
    assert config.weights == {"a": [1], "b": [2, 3]}


def test_space_around_a_value_is_no_part_of_it_unless_it_is_text() -> None:
    class Named(ProductionConfig):
        separator: str = ""

    environ = {
        "ENABLE_CACHING": " no ",
        "MAX_CONCURRENT_QUERIES": "5\n",
        "OPENAI_API_KEY": "sk-1\n",
        "SEPARATOR": " | ",
    }
    config = Named(_environ=environ)
    assert (config.enable_caching, config.max_concurrent_queries) == (False, 5)
    assert (config.get("OPENAI_API_KEY"), config.separator) == ("sk-1", " | ")


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.json").write_text('{"log_level": "DEBUG"}')
    (tmp_path / ".env").write_text("MAX_CONCURRENT_QUERIES=3")
    config = ProductionConfig("~/c.json", _environ={"RAGWATCH_ENV_FILE": "~/.env"})
    assert (config.log_level, config.max_concurrent_queries) == ("DEBUG", 3)
