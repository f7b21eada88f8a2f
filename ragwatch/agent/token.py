"""The bearer token that senders and readers show."""

from __future__ import annotations

import hmac


def authorised(header: str | None, token: str | None) -> bool:
    """Whether an ``Authorization`` header shows the token; no token is asked of anyone when none is set.

    >>> authorised("Bearer s3cret", "s3cret"), authorised("Bearer guess", "s3cret"), authorised(None, None)
    (True, False, True)
    """
    if token is None:
        return True
    scheme, _, shown = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())
