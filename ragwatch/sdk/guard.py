"""One guard around every hook: a fault of ours is counted and logged once, and never reaches the app.

In our own tests the guard re-raises (``RAGWATCH_RAISE=1``), so that a fault is a failing test and not a quiet counter.
"""

from __future__ import annotations

import logging
import os
import threading

logger = logging.getLogger("ragwatch")
_seen: set[str] = set()
_lock = threading.Lock()
faults: dict[str, int] = {}
"""How often each place failed; ``ragwatch.telemetry()`` shows it."""


def fault(where: str, error: BaseException) -> None:
    """Count a fault of ours; log the first of each kind; raise it again in our own tests."""
    with _lock:
        faults[where] = faults.get(where, 0) + 1
    if os.environ.get("RAGWATCH_RAISE") == "1":
        raise error
    say_once(f"fault:{where}:{type(error).__name__}", "ragwatch: %s failed and is left out: %r", where, error)


def say_once(key: str, message: str, *values: object) -> None:
    """Log a warning the first time that ``key`` is seen in this process."""
    with _lock:
        if key in _seen or len(_seen) > 1000:
            return
        _seen.add(key)
    logger.warning(message, *values)


def forget() -> None:
    """Forget what has been said; a forked child and a test start anew."""
    global _lock  # noqa: PLW0603  (a lock that another thread held at the fork would stay locked in the child)
    _lock = threading.Lock()
    _seen.clear()
    faults.clear()
