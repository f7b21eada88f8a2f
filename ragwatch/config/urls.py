"""URLs as they may be shown: without the credentials in them. Light, so that the SDK can use it."""

from __future__ import annotations

import re

MASK = "***"
_CREDENTIALS = re.compile(
    r"(?i)(?<![a-z0-9+.-])(?P<scheme>https?://)(?P<held>[^/?#\s]*|[^/?#\s:\[]*:(?!\d+(?:[/?#\s]|$))\S*)@"
    r"|(?<![a-z0-9+.-])(?P<other>(?!https?:)[a-z][a-z0-9+.-]*://)(?P<rest>\S*)@"
)
"""Outside of http, and where the port is no number, an @ in a path is rarer than an unquoted slash in a password."""
_PARAMETER = re.compile(
    r"(?i)(?P<name>[?&;](?:[\w.-]*(?:key|token|password|passwd|pwd|secret|signature|sig|auth|credential)s?))=[^&#;\s]+"
)


def mask_url(text: str) -> str:
    """The text with the credentials of each URL in it replaced.

    >>> mask_url("redis://app:s3cret@cache:6379/0?timeout=5&password=x")
    'redis://app:***@cache:6379/0?timeout=5&password=***'
    >>> mask_url("https://0123abcd@sentry.example/1"), mask_url("http://qdrant:6333")
    ('https://***@sentry.example/1', 'http://qdrant:6333')
    """
    return _PARAMETER.sub(rf"\g<name>={MASK}", _CREDENTIALS.sub(_without_password, text))


def _without_password(found: re.Match[str]) -> str:
    scheme = found["scheme"] or found["other"]
    user, colon, _ = (found["held"] or found["rest"] or "").partition(":")
    return f"{scheme}{user}:{MASK}@" if colon else f"{scheme}{MASK}@"  # a name alone is a token more often than a user
