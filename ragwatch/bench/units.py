"""Durations, shares and rates as people write them."""

from __future__ import annotations

import re

from ragwatch.errors import ConfigError

_NUMBER = re.compile(r"\s*([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(us|µs|ms|s|m|h|%|/s)?\s*", re.IGNORECASE)
_SCALES = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "%": 0.01, "/s": 1.0}


def number(text: str, source: str) -> float:
    """A number with its unit, in seconds, as a share, or a second; ``ConfigError`` for anything else.

    >>> number("250ms", "--slo"), number("2m", "--duration"), number("5%", "--slo"), number("50/s", "--rate")
    (0.25, 120.0, 0.05, 50.0)
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ConfigError(text, "is no number; write 20, 20s, 250ms, 2m or 5%", source=source)
    return float(found.group(1)) * _SCALES[(found.group(2) or "s").lower()]


def positive(text: str, source: str) -> float:
    """The same for what must be above 0."""
    value = number(text, source)
    if value <= 0:
        raise ConfigError(text, "must be above 0", source=source)
    return value
