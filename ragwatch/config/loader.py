"""Settings from every source in one order, with a note of where each value came from and what it overrode.

    argument > environment > X_FILE > secrets directory > .env > file > default

A source contributes a setting only if it has it; defaults are the model's, last. Nothing here raises for a bad value:
all faults are collected, and whoever asked raises them in one go, from a frame that holds no secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_settings import BaseSettings

from ragwatch.config.faults import faults_of
from ragwatch.config.files import FileData, read_file
from ragwatch.config.loaded import Given, Loaded
from ragwatch.config.reserved import AGENT_NAMES
from ragwatch.config.shape import Keys
from ragwatch.config.taking import Taking
from ragwatch.config.variables import Variables
from ragwatch.errors import ConfigError, ConfigErrors

M = TypeVar("M", bound=BaseSettings)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look, and which variables under the first prefix are known to be somebody else's."""

    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    variables: Variables = field(default_factory=Variables)
    file: Path | None = None
    file_source: str = "argument --config"
    argument_source: Callable[[str], str] = "argument {}".format
    is_known: Callable[[str], bool] = frozenset().__contains__
    known: frozenset[str] = frozenset()


def gather(model: type[BaseModel], prefixes: tuple[str, ...], sources: Sources) -> Loaded:
    """What the sources say of a model's settings; the values are not validated yet."""
    loaded = Loaded(model, prefixes)
    take = Taking(loaded)
    for name, value in sources.arguments.items():
        take.value((name,), value, sources.argument_source(name))
    variables = sources.variables
    for layer in variables.layers:
        take.variables(variables, layer, sources.is_known, set(sources.known))
    loaded.faults.extend(variables.faults)
    data = None if sources.file is None else _file(loaded, sources.file, sources.file_source)
    if data is not None:
        loaded.faults.extend(data.faults)
        before = len(loaded.given)
        for key, value in data.values.items():
            take.value((key,), value, data.source((key,)), data)
        loaded.faults.extend(_twice(loaded.given[before:]))
    loaded.merge()
    return loaded


def load(
    model: type[M],
    arguments: Mapping[str, Any],
    *,
    prefix: str,
    file: Path | None = None,
    file_source: str = "",
    environ: Mapping[str, str] | None = None,
) -> tuple[M, dict[str, str]]:
    """A command's settings, and the source of each; ``ConfigErrors`` names every one that cannot be used.

    An argument that is None was not given; one that is no setting is the command's own.
    """
    made, loaded = attempt(model, arguments, prefix=prefix, file=file, file_source=file_source, environ=environ)
    if made is None:
        del arguments, environ
        raise ConfigErrors(loaded.faults)
    return made, {name: loaded.source((name,)) for name in model.model_fields}


def attempt(
    model: type[M],
    arguments: Mapping[str, Any],
    *,
    prefix: str,
    file: Path | None = None,
    file_source: str = "",
    environ: Mapping[str, str] | None = None,
) -> tuple[M | None, Loaded]:
    """A command's settings, or None where some cannot be used; and what the sources said."""
    sources = Sources(
        arguments={key: value for key, value in arguments.items() if value is not None and key in model.model_fields},
        variables=Variables(environ),
        file=file,
        file_source=file_source or f"argument --config {file}",
        argument_source=lambda name: f"argument --{name.replace('_', '-')}",
        is_known=frozenset(AGENT_NAMES).__contains__,
    )
    loaded = gather(model, (prefix,), sources)
    made: M | None = None
    try:
        made = model(**loaded.values)
    except ValueError as error:
        loaded.faults.extend(faults_of(error, loaded))
    return (None if loaded.faults else made), loaded


def _twice(found: list[Given]) -> list[ConfigError]:
    """Keys that a file has twice, as ``LOG_LEVEL`` and as ``log_level``."""
    first: dict[Keys, Given] = {}
    return [
        ConfigError(".".join(given.keys), f"stands in the file twice, as {held.source} too", source=given.source)
        for given in found
        if (held := first.setdefault(given.keys, given)) is not given
    ]


def _file(loaded: Loaded, path: Path, source: str) -> FileData | None:
    try:
        return read_file(path, source)
    except ConfigError as error:
        loaded.faults.append(error)
        return None
