"""Takes what a source says apart into settings, along a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from ragwatch.config import shape
from ragwatch.config.files import FileData
from ragwatch.config.loaded import Given, Loaded
from ragwatch.config.reserved import is_service_link
from ragwatch.config.shape import Keys
from ragwatch.config.variables import FILE, Environment, Layer, Named, Variables
from ragwatch.errors import ConfigError


class Taking:
    """Takes values into a ``Loaded``; the strongest source comes first."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._settings = shape.settings_of(loaded.model, loaded.prefixes)
        self._names = {name for setting in self._settings.values() for name in setting.names}

    def value(self, written: Keys, value: Any, source: str, file: FileData | None = None) -> None:
        """Take a value of a file or an argument; ``written`` is its path as it stands there."""
        model: type[BaseModel] | None = self._loaded.model
        path: Keys = ()
        for place, key in enumerate(written):
            if model is None:  # a key of a mapping
                path = (*path, *written[place:])
                break
            name = shape.field_named(model, key)
            if name is None:
                self._stranger(model, (*path, *written[place:]), value, source)
                return
            path = (*path, name)
            model = shape.nested(model.model_fields[name].annotation)
        if isinstance(value, Mapping) and model is not None:
            for key, held in value.items():
                below = (*written, str(key))
                self.value(below, held, file.source(below) if file is not None else source, file)
            return
        self._items(shape.annotation_of(self._loaded.model, path), path, value, source)
        self._loaded.given.append(Given(path, value, source))

    def _items(self, annotation: Any, path: Keys, value: Any, source: str) -> None:
        """Say which keys of models in a list or a mapping are none: pydantic drops them without a word."""
        model = shape.item_model(annotation)
        if model is None:
            return
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        for place, item in pairs:
            for key in item if isinstance(item, Mapping) else ():
                if shape.field_named(model, str(key)) is None and model.model_config.get("extra") is None:
                    self._stranger(model, (*path, str(place), str(key)), None, source)

    def variables(self, variables: Variables, layer: Layer, is_known: Callable[[str], bool], known: set[str]) -> None:
        """Take one layer's variables; one under the first prefix that nobody knows is a fault."""
        own = self._loaded.prefixes[0]
        names = sorted(layer.names())
        for prefix in self._loaded.prefixes:
            found = []
            for name in names:
                if not name.startswith(prefix):
                    continue
                keys, stranger = self._meant(name[len(prefix) :])
                if stranger is None:
                    found.append((-len(keys), name, keys))
                elif (keys or (prefix and prefix == own)) and not self._excused(name, layer, is_known):
                    problem = f"is no setting{shape.hint(name, self._names | known)}"
                    self._loaded.faults.append(ConfigError(name, problem, source=_where(layer, name)))
            for _, name, keys in sorted(found):  # REDIS__POOL before REDIS: it is more exact
                if isinstance(layer, Named) and name + FILE in self._names:
                    continue  # LOG_FILE is a setting of its own here, and no file for LOG
                text = variables.read(layer, name)
                if text is not None:
                    self._text(keys, text.value, text.source)

    def _text(self, keys: Keys, text: str, source: str) -> None:
        """A variable's value: JSON or commas where a list, a mapping or a model is wanted."""
        annotation = shape.annotation_of(self._loaded.model, keys)
        is_text = shape.takes_text(annotation)
        value: Any = text if is_text else text.strip()  # a key with a line end is no header
        structured = shape.nested(annotation) or shape.is_list(annotation) or shape.is_mapping(annotation)
        if structured and not is_text:
            stripped = text.strip()
            if stripped[:1] in {"{", "["}:
                try:
                    value = json.loads(stripped)
                except ValueError as error:
                    where = f", at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
                    problem = f"begins like JSON and is none{where}"
                    self._loaded.faults.append(ConfigError(".".join(keys), problem, source=source))
                    return
            elif shape.is_list(annotation):
                value = [part.strip() for part in text.split(",") if part.strip()]
        self.value(keys, value, source)

    def _meant(self, words: str) -> tuple[Keys, str | None]:
        """The setting that a variable means, less its prefix; and the word of it that is none."""
        model: type[BaseModel] | None = self._loaded.model
        path: Keys = ()
        annotation: Any = None
        for word in words.split(shape.NESTED):
            if model is None:
                if not shape.is_mapping(annotation):
                    return path, word
                path, annotation = (*path, word.lower()), None
                continue
            name = shape.field_named(model, word)
            if name is None:
                return path, word
            path = (*path, name)
            annotation = model.model_fields[name].annotation
            model = shape.nested(annotation)
        return path, None

    def _excused(self, name: str, layer: Layer, is_known: Callable[[str], bool]) -> bool:
        """Whether a name that is no setting here is somebody else's."""
        if isinstance(layer, Named) or is_known(name):
            return True
        stem = name.removesuffix(FILE)
        if stem != name and (stem in self._names or is_known(stem)):
            return True
        text = layer.get(name)
        return text is None or (isinstance(layer, Environment) and is_service_link(name, text.value))

    def _stranger(self, model: type[BaseModel], path: Keys, value: Any, source: str) -> None:
        """A key that is no field: kept, dropped or a fault, as the model says."""
        extra = model.model_config.get("extra")
        if extra == "allow":
            self._loaded.given.append(Given(path, value, source))
        elif extra != "ignore":
            problem = f"is no setting{shape.hint(path[-1], model.model_fields)}"
            self._loaded.faults.append(ConfigError(".".join(path), problem, source=source))


def _where(layer: Layer, name: str) -> str:
    text = layer.get(name)
    return text.source if text is not None else name
