"""The repr of a model with every secret masked: those that have a secret's type, and those that are only named so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from ragwatch.config import shape
from ragwatch.config.masking import named_like_a_secret, shown
from ragwatch.config.urls import mask_url


class Shown(str):
    """Text whose repr has no quotes.

    >>> [Shown("a")]
    [a]
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str.__str__(self)


def masked(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """Each field and what may be shown of its value.

    >>> class Store(BaseModel):
    ...     url: str = "redis://:s3cret@h"
    ...     token: str = "abc"
    >>> dict(masked(Store()))
    {'url': 'redis://:***@h', 'token': set (sha256 …15ad)}
    """
    fields = type(model).model_fields
    for name, value in {**model.__dict__, **(model.model_extra or {})}.items():
        info = fields.get(name)
        is_secret = named_like_a_secret(name) if info is None else shape.is_secret(name, info.annotation)
        yield name, _masked(value, is_secret=is_secret)


def _masked(value: Any, *, is_secret: bool) -> Any:
    if isinstance(value, BaseModel):
        inner = ", ".join(f"{name}={held!r}" for name, held in masked(value))
        return Shown(f"{type(value).__name__}({inner})")
    if isinstance(value, dict):
        return {key: _masked(held, is_secret=is_secret or named_like_a_secret(str(key))) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return (
            type(value)(_masked(held, is_secret=is_secret) for held in value) if type(value) in {list, tuple} else value
        )
    if isinstance(value, str):
        return Shown(shown(value, secret=True)) if is_secret else mask_url(value)
    return value
