"""What may be shown of a setting: secrets never, URLs without their passwords."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from pydantic import Secret, SecretBytes, SecretStr

from ragwatch.config.urls import MASK, mask_url

MAX_SHOWN = 200
_SECRET_WORDS = frozenset({
    "key", "apikey", "token", "password", "passwd", "passphrase", "pwd", "secret", "credential", "credentials", "dsn",
})  # fmt: skip


class SecretUrl(SecretStr):
    """A URL that may hold a password: shown with the password masked, whole from ``get_secret_value()``.

    >>> SecretUrl("redis://:s3cret@cache:6379/0")
    SecretUrl('redis://:***@cache:6379/0')
    """

    def _display(self) -> str:
        return mask_url(self.get_secret_value())


class Revealed(str):
    """A secret as plain text, for the client that needs it; what a debugger or a traceback shows of it is masked.

    >>> key = Revealed("sk-1")
    >>> key, f"Bearer {key}", {"key": key}
    ('***', 'Bearer sk-1', {'key': '***'})
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)

    def get_secret_value(self) -> str:
        """The text, as ``SecretStr`` gives it."""
        return str.__str__(self)


def named_like_a_secret(name: str) -> bool:
    """Whether a setting's name says that it holds a secret: its last word is key, token, password and the like.

    >>> [named_like_a_secret(name) for name in ("pinecone_api_key", "max_tokens", "DB_PASSWORD", "keyspace")]
    [True, False, True, False]
    """
    return re.split(r"[._-]+", name.lower())[-1] in _SECRET_WORDS


def reveal(value: Any) -> Any:
    """A setting's value as plain Python: secrets become ``Revealed`` text."""
    if isinstance(value, SecretStr):
        return Revealed(value.get_secret_value())
    if isinstance(value, SecretBytes | Secret):
        return value.get_secret_value()
    return value


def shown(value: Any, *, secret: bool) -> str:
    """A value for people: a secret as four digits of its hash, so that two can be told apart.

    >>> shown("sk-1", secret=True), shown(None, secret=True), shown("redis://:pw@h", secret=False)
    ('set (sha256 …26f3)', 'unset', 'redis://:***@h')
    """
    if value is None:
        return "unset"
    if isinstance(value, SecretUrl):
        return _short(mask_url(value.get_secret_value())) or "set (empty)"
    if secret or isinstance(value, SecretStr | SecretBytes | Secret):
        held = reveal(value)
        data = held if isinstance(held, bytes) else str(held).encode()
        return f"set (sha256 …{hashlib.sha256(data).hexdigest()[-4:]})" if data else "set (empty)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {shown(held, secret=named_like_a_secret(str(key)))}" for key, held in value.items())
        return _short(f"{{{inner}}}")
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return _short(f"[{', '.join(shown(held, secret=False) for held in items)}]")
    return _short(mask_url(str(value)))


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
