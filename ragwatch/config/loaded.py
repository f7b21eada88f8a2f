"""What the sources said of a model's settings: who gave which value, what won, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from ragwatch.config.shape import Keys
from ragwatch.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Given:
    """What one source says of one setting."""

    keys: Keys
    value: Any = field(repr=False)
    source: str


@dataclass(slots=True)
class Loaded:
    """``given`` has the strongest first, ``values`` is what they come to, ``faults`` everything that is wrong."""

    model: type[BaseModel]
    prefixes: tuple[str, ...]
    given: list[Given] = field(default_factory=list, repr=False)
    faults: list[ConfigError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict, repr=False)

    def on(self, keys: Keys) -> list[Given]:
        """Who said something on a setting, the strongest first: on it, on a part of it, or on what it is part of."""
        return [given for given in self.given if given.keys[: len(keys)] == keys[: len(given.keys)]]

    def source(self, keys: Keys) -> str:
        """Where the value in force came from."""
        found = self.on(keys)
        return found[0].source if found else "default"

    def merge(self) -> None:
        """Put the values together: the strongest has the last word on each setting."""
        for given in reversed(self.given):
            level = self.values
            for key in given.keys[:-1]:
                held = level.get(key)
                level[key] = dict(held) if isinstance(held, BaseModel | Mapping) else {}
                level = level[key]
            level[given.keys[-1]] = given.value
