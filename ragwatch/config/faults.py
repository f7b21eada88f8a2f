"""Pydantic's errors as faults of settings: by name, with their source, without a secret."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from ragwatch.config import shape
from ragwatch.config.loaded import Loaded
from ragwatch.config.masking import named_like_a_secret, reveal
from ragwatch.config.shape import Keys
from ragwatch.config.urls import MASK, mask_url
from ragwatch.errors import ConfigError

MAX_SHOWN = 80
_WANTED = {
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "string_type": "should be text",
    "list_type": "should be a list",
    "dict_type": "should be a mapping",
}


def faults_of(error: ValueError, loaded: Loaded) -> list[ConfigError]:
    """Everything that validation found wrong."""
    if not isinstance(error, ValidationError):
        return [ConfigError(loaded.model.__name__, scrub(str(error), loaded), source="its own check")]
    found = []
    for item in error.errors(include_url=False):
        keys, is_secret = _setting(loaded.model, item["loc"])
        name = ".".join(keys) or loaded.model.__name__
        kind = item["type"]
        problem = _WANTED.get(kind) or _plain(str(item["msg"]))
        if kind == "missing":
            setting = shape.settings_of(loaded.model, loaded.prefixes).get(keys)
            problem = f"is missing{f': set {setting.names[-1]}' if setting else ''}"
        else:
            problem += _got(item["input"], is_secret=is_secret)
            if kind in {"literal_error", "enum"} and isinstance(item["input"], str):
                expected = [word.strip("' ") for word in str(item["ctx"]["expected"]).replace(" or ", ",").split(",")]
                problem += shape.hint(item["input"], expected)
        source = loaded.source(keys) if keys else "its own check"
        if kind == "missing":
            source = "nowhere"
        found.append(ConfigError(name, scrub(problem, loaded), source=source))
    return found


def scrub(text: str, loaded: Loaded) -> str:
    """The text without any secret that a source gave: a check of the app's own may have put it into its message."""
    secrets = {setting.keys for setting in shape.settings_of(loaded.model, loaded.prefixes).values() if setting.secret}
    for given in loaded.given:
        if any(given.keys[: len(keys)] == keys[: len(given.keys)] for keys in secrets):
            for value in _texts(given.value):
                text = text.replace(value, MASK)
    return mask_url(text)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for held in value.values() for text in _texts(held)]
    if isinstance(value, list | tuple):
        return [text for held in value for text in _texts(held)]
    value = reveal(value)
    # a shorter one is a word like any other, and no secret worth its name
    return [str.__str__(value)] if isinstance(value, str) and len(value) >= 4 else []


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return message.replace("Input should", "should", 1)


def _got(value: Any, *, is_secret: bool) -> str:
    if value is None:
        return ", got nothing"
    if is_secret or not isinstance(value, str | int | float):
        return ""
    text = repr(mask_url(value) if isinstance(value, str) else value)
    return f", got {text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + '…'}"


def _setting(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[Keys, bool]:
    """The setting that an error's place means, and whether it holds a secret."""
    path: Keys = ()
    inner: type[BaseModel] | None = model
    secret = False
    for part in location:
        word = str(part)
        if inner is None:
            secret = secret or named_like_a_secret(word)
            continue
        name = shape.field_named(inner, word)
        if name is None:
            break
        path = (*path, name)
        annotation = inner.model_fields[name].annotation
        secret = secret or shape.is_secret(name, annotation)
        inner = shape.nested(annotation)
    return path, secret
