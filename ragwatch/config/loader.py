"""Settings from arguments, environment, file and defaults, in this order, with a note of where each value came from."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from ragwatch.errors import ConfigError

M = TypeVar("M", bound=BaseSettings)


def load(
    model: type[M],
    arguments: Mapping[str, Any],
    *,
    prefix: str,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[M, dict[str, str]]:
    """The settings, and the source of each: ``argument --x``, the variable's name, ``file: key`` or ``default``.

    An argument that is None was not given; an empty variable is unset. Raises ``ConfigError`` that names the setting
    and where its value came from.
    """
    env = os.environ if environ is None else environ
    given: dict[str, Any] = {}
    sources: dict[str, str] = dict.fromkeys(model.model_fields, "default")
    if file is not None:
        for key, value in _read(file).items():
            if key not in model.model_fields:
                raise _unknown(key, model, f"{file}: {key}")
            given[key], sources[key] = value, f"{file}: {key}"
    for name in model.model_fields:
        variable = f"{prefix}{name.upper()}"
        if env.get(variable, "") != "":
            given[name], sources[name] = env[variable], variable
    for key, value in arguments.items():
        if value is not None and key in model.model_fields:
            given[key], sources[key] = value, f"argument --{key.replace('_', '-')}"
    try:
        return model(**given), sources
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else model.__name__
        shown = "" if "token" in name or "headers" in name else f", got {given.get(name)!r}"
        raise ConfigError(name, f"{first['msg']}{shown}", source=sources.get(name, "default")) from None


def _read(file: Path) -> dict[str, Any]:
    source = f"argument --config {file}"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("config", f"cannot be read: {error.strerror}", source=source) from None
    try:
        if file.suffix == ".json":
            data = json.loads(text)
        elif file.suffix == ".toml":
            data = tomllib.loads(text)
        else:
            data = yaml.safe_load(text) or {}
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError("config", f"cannot be parsed: {error}", source=source) from None
    if not isinstance(data, dict):
        raise ConfigError("config", "holds no settings: a mapping is wanted", source=source)
    return data


def _unknown(key: str, model: type[BaseSettings], source: str) -> ConfigError:
    near = get_close_matches(key, model.model_fields, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigError(key, f"is no setting{hint}", source=source)
