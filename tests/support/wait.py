"""The only place where tests sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout_s: float = 10.0, *, what: str = "") -> T:
    """What ``condition`` returns as soon as it is true; an AssertionError when time is up.

    >>> wait_until(lambda: "there")
    'there'
    """
    until = time.monotonic() + timeout_s
    pause_s = 0.002
    while True:
        found = condition()
        if found:
            return found
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise AssertionError(f"not within {timeout_s:g} s: {what or condition}; last seen: {found!r}")
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, 0.1)
