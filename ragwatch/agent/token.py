"""The token that senders and readers show: a bearer token, or, in a browser, a password."""

from __future__ import annotations

import base64
import binascii
import hmac


def authorised(header: str | None, token: str | None, *, password: bool = False) -> bool:
    """Whether an ``Authorization`` header shows the token; no token is asked of anyone when none is set.

    ``password``: also as the password of HTTP's basic authentication, with any user name, which is how a browser that
    follows a link can show it.

    >>> authorised("Bearer s3cret", "s3cret"), authorised("Bearer guess", "s3cret"), authorised(None, None)
    (True, False, True)
    >>> authorised("Basic bWU6czNjcmV0", "s3cret", password=True), authorised("Basic bWU6czNjcmV0", "s3cret")
    (True, False)
    """
    if token is None:
        return True
    scheme, _, shown = (header or "").partition(" ")
    if password and scheme.lower() == "basic":
        return hmac.compare_digest(_password(shown), token.encode())
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())


def _password(credentials: str) -> bytes:
    """What stands behind the colon (RFC 7617); empty where it cannot be read."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
