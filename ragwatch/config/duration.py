"""How long, as people write it on a command line or in a URL."""

from __future__ import annotations

import re

EXAMPLES = "15m, 2h or 30s"
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def to_seconds(text: str) -> float:
    """The seconds that a text says; ``ValueError`` with what it should look like for anything else.

    >>> to_seconds("15m"), to_seconds("1.5h"), to_seconds("300ms")
    (900.0, 5400.0, 0.3)
    >>> to_seconds("soon")
    Traceback (most recent call last):
    ValueError: 'soon' should read like 15m, 2h or 30s
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} should read like {EXAMPLES}")
    return float(found.group(1)) * _SECONDS[found.group(2)]
