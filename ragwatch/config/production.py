"""``ProductionConfig``: an app's settings from file and environment, to use as it is or to subclass."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ragwatch.config import changes, shape
from ragwatch.config.digest import config_hash, plain
from ragwatch.config.faults import faults_of
from ragwatch.config.loaded import Loaded
from ragwatch.config.loader import Sources, gather
from ragwatch.config.masked_repr import masked
from ragwatch.config.masking import SecretUrl, reveal
from ragwatch.config.reserved import AGENT_PREFIX, COMMON_NAMES, PREFIX, SDK_NAMES
from ragwatch.config.variables import Variables
from ragwatch.errors import ConfigError, ConfigErrors

PATH_NAMES = ("RAGWATCH_CONFIG_PATH", "RAG_CONFIG_PATH")
_MISSING = object()


class _Reloading:
    """One reload at a time in a process; a forked child begins with a free lock."""

    lock = threading.Lock()


os.register_at_fork(after_in_child=lambda: setattr(_Reloading, "lock", threading.Lock()))


@dataclass(frozen=True, slots=True)
class _Asked:
    """How a configuration was asked for, so that it can be read again."""

    path: str | os.PathLike[str] | None = None
    env_file: str | os.PathLike[str] | None = None
    secrets_dir: str | os.PathLike[str] | None = None
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)


class ProductionConfig(BaseSettings):
    """The settings that a RAG app needs in production; add your own fields in a subclass.

    Sources, the strongest first: argument, environment, ``X_FILE`` variables, secrets directory, ``.env`` (opt-in),
    file, default. ``RAGWATCH_X`` goes before a plain ``X``, ``RAGWATCH_REDIS__POOL`` sets ``redis.pool``. The file is
    JSON, YAML or TOML: ``config_path``, else ``RAG_CONFIG_PATH``, else ``config/production.json``, which may be absent.
    ``ConfigErrors`` lists every setting that cannot be used.

    >>> config = ProductionConfig(_environ={"OPENAI_API_KEY": "sk-1", "ENABLE_CACHING": "1"}, log_level="debug")
    >>> config  # doctest: +NORMALIZE_WHITESPACE
    ProductionConfig(openai_api_key=SecretStr('**********'), log_level='DEBUG',
        max_concurrent_queries=10, enable_caching=True)
    >>> config.get("MAX_CONCURRENT_QUERIES"), config.get("nothing", "like it")
    (10, 'like it')
    >>> config.validate_required_config()
    Traceback (most recent call last):
    ragwatch.errors.ConfigErrors: vector_db_url (from nowhere): is missing: set VECTOR_DB_URL
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)
    env_prefixes: ClassVar[tuple[str, ...]] = (PREFIX, "")
    """What variables begin with, the strongest first. An empty prefix lets plain names count."""
    required_settings: ClassVar[tuple[str, ...]] = ("openai_api_key", "vector_db_url")
    """What ``validate_required_config`` asks for."""
    default_path: ClassVar[Path] = Path("config/production.json")

    openai_api_key: SecretStr | None = Field(None, description="key of the OpenAI API")
    vector_db_url: SecretUrl | None = Field(None, description="URL of the vector database")
    redis_url: SecretUrl | None = Field(None, description="URL of the Redis server")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="least severe level that is logged"
    )
    max_concurrent_queries: int = Field(10, ge=1, description="queries that may run at once")
    enable_caching: bool = Field(True, description="answer from the cache where it can")

    _asked: _Asked = PrivateAttr(default_factory=_Asked)
    _loaded: Loaded | None = PrivateAttr(default=None)

    def __init__(
        self,
        config_path: str | os.PathLike[str] | None = None,
        *,
        _env_file: str | os.PathLike[str] | None = None,
        _secrets_dir: str | os.PathLike[str] | None = None,
        _environ: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """Read every source; ``_environ`` stands for ``os.environ``, ``settings`` are the strongest source."""
        asked = _Asked(config_path, _env_file, _secrets_dir, _environ, settings)
        settings, _environ = {}, None
        loaded = self._fill(asked)
        if loaded.faults:
            del self
            raise ConfigErrors(loaded.faults)

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a setting by its name in either case, dotted where nested; ``default`` where it is not set.

        A secret is handed out as text that can be used (``Bearer {key}``), whose repr is masked; as an attribute it
        is a ``SecretStr``.
        """
        value: Any = self
        for part in key.replace(shape.NESTED, ".").split("."):
            value = _member(value, part)
            if value is _MISSING:
                return default
        return default if value is None else reveal(value)

    def validate_required_config(self) -> None:
        """Raise ``ConfigErrors`` (a ``ValueError``) that names everything in ``required_settings`` that is not set."""
        faults = []
        settings = shape.settings_of(type(self), self.env_prefixes)
        for key in self.required_settings:
            value = self.get(key)
            if value is None or (isinstance(value, str) and not value.strip()):
                setting = settings.get(tuple(key.lower().split(".")))
                names = setting.names[-1] if setting else key.upper()
                faults.append(ConfigError(key.lower(), f"is missing: set {names}", source="nowhere"))
        if faults:
            raise ConfigErrors(faults)

    def sources_of(self, key: str) -> tuple[str, ...]:
        """Where a setting's value came from, and after it the sources that it overrode.

        ``argument log_level``, ``LOG_LEVEL``, ``prod.yaml:3: log_level``, ``default``.
        """
        keys = tuple(part.lower() for part in key.replace(shape.NESTED, ".").split("."))
        given = () if self._loaded is None else self._loaded.on(keys)
        return tuple(found.source for found in given) or ("default",)

    @property
    def config_hash(self) -> str:
        """Twelve digits that change when a setting changes; secrets are left out."""
        return config_hash(self)

    @property
    def config_notes(self) -> tuple[str, ...]:
        """What is no fault and good to know: that the default file is not there."""
        return () if self._loaded is None else tuple(self._loaded.notes)

    # -- reading again ------------------------------------------------------------------------------------------------

    def reload(self) -> tuple[str, ...]:
        """Read every source again; the names of the settings that changed.

        All or nothing: a new configuration that cannot be used raises ``ConfigErrors`` and the old one stays. Each
        attribute is read from one configuration or the other; ``model_copy()`` holds several that belong together.
        """
        model = type(self)
        fresh = model.__new__(model)
        with _Reloading.lock:
            loaded = fresh._fill(self._asked)  # noqa: SLF001  (of the same class)
            if not loaded.faults:
                before, changed = self.config_hash, self._differences(fresh)
                object.__setattr__(self, "__pydantic_private__", fresh.__pydantic_private__)
                object.__setattr__(self, "__pydantic_fields_set__", fresh.__pydantic_fields_set__)
                object.__setattr__(self, "__pydantic_extra__", fresh.__pydantic_extra__)
                object.__setattr__(self, "__dict__", fresh.__dict__)
        if loaded.faults:
            names = tuple(dict.fromkeys(fault.setting for fault in loaded.faults))
            changes.tell(changes.ConfigRejected(model.__name__, names, self.config_hash))
            raise ConfigErrors(loaded.faults)
        if changed:
            changes.tell(changes.ConfigChanged(model.__name__, changed, before, self.config_hash))
        return changed

    # -- helpers ------------------------------------------------------------------------------------------------------

    @classmethod
    def inspect_config(
        cls,
        config_path: str | os.PathLike[str] | None = None,
        *,
        env_file: str | os.PathLike[str] | None = None,
        secrets_dir: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> tuple[Self | None, Loaded]:
        """The configuration, or None where some of it cannot be used; and what the sources said. Never raises."""
        made = cls.__new__(cls)
        loaded = made._fill(_Asked(config_path, env_file, secrets_dir, environ))  # noqa: SLF001  (its own)
        return (None if loaded.faults else made), loaded

    def _fill(self, asked: _Asked) -> Loaded:
        """Become what the sources say; where some of it cannot be used, the faults say so."""
        loaded = _gather(type(self), asked)
        try:
            BaseModel.__init__(self, **loaded.values)
        except ValueError as error:
            loaded.faults.extend(faults_of(error, loaded))
        if not loaded.faults:
            self._asked, self._loaded = asked, loaded
        return loaded

    def _differences(self, other: ProductionConfig) -> tuple[str, ...]:
        mine, theirs = plain(self, secrets=True), plain(other, secrets=True)
        return tuple(sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name)))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield from ((name, value) for name, value in masked(self) if self.__dict__.get(name, self) is not None)

    @field_validator("max_concurrent_queries", mode="before")
    @classmethod
    def _no_flag(cls, value: Any) -> Any:
        if isinstance(value, bool):  # Python takes true for 1
            raise ValueError("should be a whole number")  # noqa: TRY004  (pydantic collects ValueErrors)
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        upper = value.strip().upper()
        return {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(upper, upper)


def _gather(model: type[ProductionConfig], asked: _Asked) -> Loaded:
    """What the sources say, before it is validated."""
    config = model.model_config
    variables = Variables(
        asked.environ,
        secrets_dir=asked.secrets_dir if asked.secrets_dir is not None else _one(config.get("secrets_dir")),
        env_file=asked.env_file if asked.env_file is not None else _one(config.get("env_file")),
    )
    path, source = _path(asked.path, variables)
    file = model.default_path if path is None else Path(path).expanduser()
    absent = path is None and not file.exists()
    names = {name for member in _family(ProductionConfig) for name in _names(member)}
    known = frozenset((*SDK_NAMES, *COMMON_NAMES, *names))
    loaded = gather(
        model,
        model.env_prefixes,
        Sources(
            arguments=asked.arguments,
            variables=variables,
            file=None if absent else file,
            file_source=source or f"default path {file}",
            is_known=lambda name: name in known or name.startswith(AGENT_PREFIX),
            known=known,
        ),
    )
    if absent:
        loaded.notes.append(f"there is no {file}: its settings come from elsewhere")
    return loaded


def _member(value: Any, part: str) -> Any:
    if isinstance(value, BaseModel):
        name = shape.field_named(type(value), part)
        if name is not None:
            return value.__dict__.get(name, _MISSING)
        value = value.model_extra or {}
    if isinstance(value, Mapping):
        found = (held for key, held in value.items() if str(key).lower() == part.lower())
        return value[part] if part in value else next(found, _MISSING)
    return _MISSING


def _path(given: str | os.PathLike[str] | None, variables: Variables) -> tuple[str | None, str]:
    if given is not None:
        return os.fspath(given), "argument config_path"
    for name in PATH_NAMES:
        texts = variables.texts(name)
        if texts:
            return texts[0].value.strip(), texts[0].source
    return None, ""


def _family(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for child in model.__subclasses__():
        yield from _family(child)


def _names(model: type[BaseModel]) -> Iterator[str]:
    for setting in shape.settings_of(model, getattr(model, "env_prefixes", (PREFIX,))).values():
        yield from setting.names


def _one(value: Any) -> str | os.PathLike[str] | None:
    """The one path of pydantic-settings' option, which may be a list."""
    if isinstance(value, str | os.PathLike) or value is None:
        return value
    raise ConfigError("model_config", f"one path is wanted, got {value!r}", source="the model")
