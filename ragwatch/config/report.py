"""Every setting of a model with its value, its source and what it overrode: what ``ragwatch config`` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ragwatch.config import shape
from ragwatch.config.loaded import Loaded
from ragwatch.config.masked_repr import masked
from ragwatch.config.masking import SecretUrl, named_like_a_secret, shown


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as it may be shown: no field holds a secret."""

    name: str
    value: str
    source: str
    overrode: tuple[tuple[str, str], ...]
    """(source, value) of those that were not strong enough, the strongest first."""
    default: str
    names: tuple[str, ...]
    kind: str
    meaning: str
    secret: bool

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        held = asdict(self)
        held["overrode"] = [{"source": source, "value": value} for source, value in self.overrode]
        held["names"] = list(self.names)
        return held


def model_rows(loaded: Loaded, made: BaseModel | None) -> list[Row]:
    """A model's settings; where it could not be made, the values are those that the sources gave."""
    rows = []
    for keys, setting in shape.settings_of(loaded.model, loaded.prefixes).items():
        given = loaded.on(keys)
        default = _default(setting)
        if made is not None:
            value = _held(made, keys)
        else:
            value = _part(given[0].keys, keys, given[0].value) if given else default
        secret = setting.secret
        as_url = any(option is SecretUrl for option in shape.options(setting.field.annotation))
        rows.append(
            Row(
                name=setting.name,
                value=_shown(value, secret=secret, as_url=as_url),
                source=given[0].source if given else "default",
                overrode=tuple(
                    (other.source, _shown(_part(other.keys, keys, other.value), secret=secret, as_url=as_url))
                    for other in given[1:]
                ),
                default=_shown(default, secret=secret, as_url=as_url),
                names=setting.names,
                kind=_kind(setting.field.annotation),
                meaning=setting.field.description or "",
                secret=secret,
            )
        )
    known = {row.name.split(".")[0] for row in rows}
    for extra in loaded.given:
        if extra.keys[0] not in known:  # the model allows them
            known.add(extra.keys[0])
            secret = named_like_a_secret(extra.keys[0])
            rows.append(
                Row(".".join(extra.keys), shown(extra.value, secret=secret), extra.source, (), "", (), "", "", secret)
            )
    return rows


def _shown(value: Any, *, secret: bool, as_url: bool) -> str:
    if value is PydanticUndefined:
        return "none: it must be set"
    if isinstance(value, BaseModel):
        return ", ".join(f"{name}={held!r}" for name, held in masked(value))
    return shown(SecretUrl(value) if as_url and isinstance(value, str) else value, secret=secret)


def _held(made: BaseModel, keys: shape.Keys) -> Any:
    value: Any = made
    for key in keys:
        value = getattr(value, key, None)
    return value


def _part(written: shape.Keys, wanted: shape.Keys, value: Any) -> Any:
    """The wanted setting's part of a value that stands for something above it."""
    for key in wanted[len(written) :]:
        value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
    if len(written) > len(wanted):
        return {".".join(written[len(wanted) :]): value}
    return value


def _default(setting: shape.Setting) -> Any:
    field = setting.field
    if field.default_factory is not None:
        try:
            return field.get_default(call_default_factory=True, validated_data={})
        except Exception:  # noqa: BLE001  (a factory may need the other values)
            return None
    return field.default


def _kind(annotation: Any) -> str:
    names = [getattr(option, "__name__", None) or str(option) for option in shape.options(annotation)]
    texts = [
        str(option) if "[" in str(option) else name
        for name, option in zip(names, shape.options(annotation), strict=True)
    ]
    return " or ".join(text.replace("typing.", "").replace("pydantic.types.", "") for text in texts)
