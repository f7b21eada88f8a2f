"""Locks in a forked child: whoever held one is not there to give it back, so each object makes itself a new one."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewed(Protocol):
    """What has something to do in a forked child."""

    def after_fork(self) -> None:
        """New locks; calls of the parent's other threads are not ours."""


_living: weakref.WeakSet[Renewed] = weakref.WeakSet()


def renewed_after_fork(what: Renewed) -> None:
    """Call ``what.after_fork()`` in every child that is forked while it lives."""
    _living.add(what)


def _renew() -> None:
    for what in tuple(_living):
        what.after_fork()


os.register_at_fork(after_in_child=_renew)
