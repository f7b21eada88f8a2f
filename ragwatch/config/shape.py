"""What settings a model has: their paths, types, defaults, and the names of variables that set them."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from ragwatch.config.masking import named_like_a_secret

Keys = tuple[str, ...]
NESTED = "__"
_LISTS = (list, tuple, set, frozenset)


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that can be set; ``names`` are the variables that set it, the strongest first."""

    keys: Keys
    field: FieldInfo
    secret: bool
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.keys)


def settings_of(model: type[BaseModel], prefixes: tuple[str, ...]) -> dict[Keys, Setting]:
    """Every setting of a model, nested models gone into, by its path."""
    return {setting.keys: setting for setting in _settings(model, prefixes, (), frozenset())}


def _settings(
    model: type[BaseModel],
    prefixes: tuple[str, ...],
    above: tuple[tuple[str, tuple[str, ...]], ...],
    seen: frozenset[type],
) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        chain = (*above, (name, (name.upper(), *(alias.upper() for alias in aliases(field)))))
        inner = nested(field.annotation)
        if inner is not None and inner not in seen:
            yield from _settings(inner, prefixes, chain, seen | {inner})
            continue
        keys = tuple(part for part, _ in chain)
        yield Setting(keys, field, is_secret(name, field.annotation), tuple(_names(chain, prefixes)))


def _names(chain: tuple[tuple[str, tuple[str, ...]], ...], prefixes: tuple[str, ...]) -> list[str]:
    stems = [""]
    for place, (_, words) in enumerate(chain):
        stems = [f"{stem}{NESTED if place else ''}{word}" for stem in stems for word in words]
    return list(dict.fromkeys(f"{prefix}{stem}" for prefix in prefixes for stem in stems))


def aliases(field: FieldInfo) -> tuple[str, ...]:
    """The other names that a field says it goes by."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return tuple(choice for choice in choices if isinstance(choice, str))


def field_named(model: type[BaseModel], key: str) -> str | None:
    """The field that a key of a file or a part of a variable's name means: in any case, or by an alias."""
    if key in model.model_fields:
        return key
    lowered = key.lower()
    for name, field in model.model_fields.items():
        if lowered == name.lower() or lowered in {alias.lower() for alias in aliases(field)}:
            return name
    return None


def options(annotation: Any) -> list[Any]:
    """The types that an annotation allows, less None."""
    if get_origin(annotation) is Annotated:
        return options(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return [found for arg in get_args(annotation) if arg is not type(None) for found in options(arg)]
    return [annotation]


def nested(annotation: Any) -> type[BaseModel] | None:
    """The model that a field's value is, where it is one."""
    found = options(annotation)
    if len(found) == 1 and isinstance(found[0], type) and issubclass(found[0], BaseModel):
        return found[0]
    return None


def item_model(annotation: Any) -> type[BaseModel] | None:
    """The model that the items of a list or the values of a mapping are."""
    for option in options(annotation):
        if get_origin(option) in {*_LISTS, dict, Mapping}:
            found = [nested(arg) for arg in get_args(option) if arg is not Ellipsis]
            if found and found[-1] is not None:
                return found[-1]
    return None


def annotation_of(model: type[BaseModel], path: Keys) -> Any:
    """The type at a path; None where it has none of its own."""
    inner: type[BaseModel] | None = model
    annotation: Any = None
    for name in path:
        if inner is not None:
            if name not in inner.model_fields:
                return None
            annotation = inner.model_fields[name].annotation
        else:
            values = [get_args(option)[-1] for option in options(annotation) if get_origin(option) in {dict, Mapping}]
            annotation = values[0] if values else None
        inner = nested(annotation)
    return annotation


def origins(annotation: Any) -> set[Any]:
    """The classes that an annotation allows: ``list[str] | None`` is ``{list}``."""
    return {get_origin(option) or option for option in options(annotation)}


def is_list(annotation: Any) -> bool:
    """Whether a value is a list, set or tuple."""
    return bool(origins(annotation) & set(_LISTS))


def is_mapping(annotation: Any) -> bool:
    """Whether a value is a mapping, or one of several models, whose keys are free until it is known which."""
    if origins(annotation) & {dict, Mapping}:
        return True
    return nested(annotation) is None and any(
        isinstance(o, type) and issubclass(o, BaseModel) for o in options(annotation)
    )


def takes_text(annotation: Any) -> bool:
    """Whether a text is a value as it stands."""
    return str in origins(annotation)


def is_secret(name: str, annotation: Any) -> bool:
    """Whether a field holds a secret by its type, or is text under a name that says so."""
    if holds_secret(annotation):
        return True
    return named_like_a_secret(name) and not origins(annotation) & {bool, int, float}


def holds_secret(annotation: Any) -> bool:
    """Whether a secret type stands anywhere in an annotation."""
    for option in options(annotation):
        if isinstance(get_origin(option) or option, type):
            base = get_origin(option) or option
            if issubclass(base, SecretStr | SecretBytes | Secret):
                return True
        if any(
            holds_secret(arg) for arg in get_args(option) if arg is not Ellipsis and not isinstance(arg, str | list)
        ):
            return True
    return False


def hint(word: str, known: Iterable[str]) -> str:
    """A suggestion for a name that does not exist, or nothing.

    >>> hint("redis_ulr", ["redis_url", "log_level"]), hint("x", ["redis_url"])
    ("; did you mean 'redis_url'?", '')
    """
    by_lower: dict[str, str] = {}
    for name in known:
        by_lower.setdefault(name.lower(), name)
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""
