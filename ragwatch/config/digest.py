"""The effective configuration as plain values, and as a hash that is its name in telemetry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from ragwatch.config import shape
from ragwatch.config.masking import SecretUrl, named_like_a_secret, reveal
from ragwatch.config.urls import mask_url


def config_hash(config: BaseModel) -> str:
    """Twelve digits of the SHA-256 of a configuration in force; secrets are left out, of URLs their passwords."""
    text = json.dumps(plain(config, secrets=False), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def plain(config: BaseModel, *, secrets: bool) -> dict[str, Any]:
    """Every setting by its dotted name as JSON values."""
    return dict(_rows(config, "", secrets))


def _rows(model: BaseModel, above: str, secrets: bool) -> Iterator[tuple[str, Any]]:
    fields = type(model).model_fields
    for name, value in {**model.__dict__, **(model.model_extra or {})}.items():
        info = fields.get(name)
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{above}{name}.", secrets)
        elif secrets or not _left_out(name, info.annotation if info else None, value):
            yield f"{above}{name}", _json(value, secrets)


def _left_out(name: str, annotation: Any, value: Any) -> bool:
    if isinstance(value, SecretUrl):
        return False
    return _is_secret(value) or (shape.is_secret(name, annotation) and not isinstance(value, dict | list | tuple))


def _is_secret(value: Any) -> bool:
    return isinstance(value, SecretStr | SecretBytes | Secret)


def _json(value: Any, secrets: bool) -> Any:
    if _is_secret(value):
        held = reveal(value)
        if isinstance(held, str):
            held = str.__str__(held)
            return held if secrets else mask_url(held) if isinstance(value, SecretUrl) else None
        return repr(held) if secrets else None
    if isinstance(value, BaseModel):
        return dict(_rows(value, "", secrets))
    if isinstance(value, Mapping):
        kept = {str(key): held for key, held in value.items() if secrets or not named_like_a_secret(str(key))}
        return {key: _json(held, secrets) for key, held in sorted(kept.items())}
    if isinstance(value, list | tuple):
        return [_json(held, secrets) for held in value]
    if isinstance(value, set | frozenset):
        return sorted((_json(held, secrets) for held in value), key=repr)
    if isinstance(value, str):
        return value if secrets else mask_url(value)
    return to_jsonable_python(value, fallback=str)
