"""Privacy: what people asked, what documents say and what models answered stays here unless the app says otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ragwatch.config.otel_env import Content
from ragwatch.conventions.own import documents_from, pack_documents
from ragwatch.conventions.own import hashed as hashed  # noqa: PLC0414  (the SDK's own name for it)
from ragwatch.sdk.documents import MAX_ID_LENGTH
from ragwatch.sdk.guard import say_once
from ragwatch.semconv import CONTENT_KEYS, CONTENT_PREFIXES, CONTENT_SUFFIXES, DOCUMENTS, EXCEPTION_STACKTRACE

TRUNCATED_CHARACTERS = 100
MAX_KNOWN = 10_000


class ContentPolicy:
    """Decides what becomes of text: ``off`` leaves it out, ``truncated`` keeps 100 characters, ``full`` keeps all.

    >>> ContentPolicy("off").text("who is it?") is None, ContentPolicy("full").text("who is it?")
    (True, 'who is it?')
    """

    __slots__ = ("_clean", "_known", "length_limit", "mode")

    def __init__(self, mode: Content, length_limit: int | None = None) -> None:
        self.mode = mode
        self.length_limit = length_limit
        """Characters that an exported attribute value may have (``OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT``)."""
        self._known: dict[object, bool] = {}
        self._clean: set[str] = set()

    def text(self, value: str | None) -> str | None:
        """The text as it may leave the process, or None."""
        if value is None or self.mode == "off":
            return None
        return value if self.mode == "full" else value[:TRUNCATED_CHARACTERS]

    def is_content(self, key: object) -> bool:
        """Whether an attribute of that name carries text (cached by name)."""
        known = self._known.get(key)
        if known is None:
            if not isinstance(key, str):  # what cannot be read is kept in
                say_once("attribute-name", "ragwatch: an attribute whose name is no string is left out")
                return True
            known = (
                key in CONTENT_KEYS
                or key in _IN_PART
                or key.startswith(CONTENT_PREFIXES)
                or key.endswith(CONTENT_SUFFIXES)
            )
            if len(self._known) < MAX_KNOWN:
                self._known[key] = known
        return known

    def attributes(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """The attributes that may leave the process; the very same mapping where all of them may.

        Names that carry no text are remembered, so that the usual span costs one comparison of sets.
        """
        clean = self._clean
        if self.mode == "full" or found.keys() <= clean:
            return found
        kept: dict[str, Any] = {}
        for key, value in found.items():
            if not self.is_content(key):
                kept[key] = value
                if len(clean) < MAX_KNOWN:
                    clean.add(key)
            elif (held := self.attribute(key, value)) is not None:
                kept[key] = held
        return kept

    def exported(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """The attributes as they leave the process: less content, and no value longer than the limit."""
        kept = self.attributes(found)
        if self.length_limit is None:
            return kept
        return {key: _cut(value, self.length_limit) for key, value in kept.items()}

    def attribute(self, key: str, value: Any) -> Any:
        """The attribute's value as it may leave the process; None where it may not."""
        if self.mode == "full" or not self.is_content(key):
            return value
        if key in _IN_PART:
            return _IN_PART[key](value, self.text)
        if self.mode == "off":
            return None
        return value[:TRUNCATED_CHARACTERS] if isinstance(value, str) else None

    def status(self, description: str) -> str:
        """A status description as it may leave the process: of ``TimeoutError: a b c`` the name of the type."""
        if self.mode == "full":
            return description
        found = _TYPE_NAME.match(description)
        return self.text(description) or (found.group(1) if found else "")


def _without_messages(value: Any, _keep: Callable[[str | None], str | None]) -> str | None:
    """A traceback's frames and types: what stands behind the type, and the lines that follow, may quote anything."""
    if not isinstance(value, str):
        return None
    kept: list[str] = []
    within = False
    for line in value.splitlines():
        if line.startswith("Traceback (most recent call last):"):
            within = True
            kept.append("Traceback (most recent call last):")
        elif within and line.startswith("  "):
            kept.append(line)
        elif within:
            within = False
            found = _LAST_LINE.match(line)
            kept.append(found.group(1) if found else "")
    return "\n".join(kept)


def _without_text(value: Any, keep: Callable[[str | None], str | None]) -> str | None:
    """Retrieved documents that somebody else wrote: their ids, scores and numbers, and of the text what may leave."""
    found = documents_from(value)
    if found is None:
        return None
    return pack_documents(
        tuple(
            item._replace(text=keep(item.text), id=item.id if item.id is None else item.id[:MAX_ID_LENGTH])
            for item in found
        )
    )


_IN_PART: dict[str, Callable[[Any, Callable[[str | None], str | None]], str | None]] = {
    EXCEPTION_STACKTRACE: _without_messages,
    DOCUMENTS: _without_text,
}
"""Attributes of which a part may always leave."""
_TYPE_NAME = re.compile(r"((?:\w+\.)*[A-Z]\w*(?:Error|Exception|Timeout|Interrupt|Exit)|[A-Z_]+|[1-5]\d\d)(?=:|$)")
_LAST_LINE = re.compile(r"((?:\w+\.)*\w+)(?=:|$)")


def _cut(value: Any, limit: int) -> Any:
    if isinstance(value, str | bytes):
        return value[:limit]
    if isinstance(value, tuple | list):
        return tuple(_cut(item, limit) for item in value)
    if isinstance(value, Mapping):
        return {key: _cut(inner, limit) for key, inner in value.items()}
    return value
