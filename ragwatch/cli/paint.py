"""Colour for a terminal, and none anywhere else (``NO_COLOR``, a pipe, a dumb terminal)."""

from __future__ import annotations

import os
import sys
from typing import TextIO

_CODES = {"red": "31", "yellow": "33", "green": "32", "cyan": "36", "bold": "1", "dim": "2"}
OUTCOME_STYLES = {
    "error": "red",
    "rejected": "yellow",
    "degraded": "yellow",
    "incomplete": "yellow",
    "cancelled": "dim",
}


def coloured(stream: TextIO | None = None) -> bool:
    """Whether a stream (standard output) may be coloured."""
    out = sys.stdout if stream is None else stream
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, on: bool) -> str:
    r"""The text in a style, where colour is on.

    >>> paint("failed", "red", False), paint("failed", "red", True)
    ('failed', '\x1b[31mfailed\x1b[0m')
    """
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if on and style else text
