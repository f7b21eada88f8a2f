"""A configuration that changed, or did not because the new one is bad: told to whoever listens (the SDK does)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """A reload found other values: the names that changed, never their values, and the hash before and after."""

    config: str
    settings: tuple[str, ...]
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ConfigRejected:
    """A reload found settings that cannot be used; the old ones stay in force."""

    config: str
    settings: tuple[str, ...]
    kept: str


Change = ConfigChanged | ConfigRejected
Listener = Callable[[Change], None]
_listeners: list[Listener] = []


class _Guard:
    """Guards the listeners; a forked child begins with a free lock."""

    lock = threading.Lock()


os.register_at_fork(after_in_child=lambda: setattr(_Guard, "lock", threading.Lock()))


def listen(listener: Listener) -> Callable[[], None]:
    """Call ``listener`` with every change from now on; call the result to end it."""
    with _Guard.lock:
        _listeners.append(listener)

    def stop() -> None:
        with _Guard.lock:
            if listener in _listeners:
                _listeners.remove(listener)

    return stop


def tell(change: Change) -> None:
    """Tell the listeners; one that fails keeps neither the others nor the reload from going on."""
    with _Guard.lock:
        listeners = tuple(_listeners)
    for listener in listeners:
        try:
            listener(change)
        except Exception:
            from logging import getLogger

            getLogger("ragwatch").exception("ragwatch: a listener of configuration changes failed")
