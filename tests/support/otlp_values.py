"""OTLP's values in a form that compares exactly: by type, and NaN with NaN."""

from __future__ import annotations

import math
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue


def value_of(message: AnyValue) -> Any:
    """What an ``AnyValue`` holds; arrays as tuples."""
    kind = message.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return tuple(value_of(item) for item in message.array_value.values)
    if kind == "kvlist_value":
        return {item.key: value_of(item.value) for item in message.kvlist_value.values}
    return getattr(message, kind)


def typed(value: Any) -> Any:
    """A value that equals another only when their types are equal too; lists and tuples are arrays."""
    if isinstance(value, list | tuple):
        return ["array", *(typed(item) for item in value)]
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else value.hex())
    return (type(value).__name__, value)


def attributes_of(messages: Any) -> dict[str, Any]:
    """Attributes as values; the last of a name wins."""
    return {message.key: value_of(message.value) for message in messages}
