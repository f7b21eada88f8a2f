"""What breakers, retry policies and limits have counted in this process, by name: the source of their KPIs.

Each object keeps plain counters under its own lock, so that a call costs no look-up here; whoever wants the totals
reads them out. The counters of an object that is gone stay in the totals, and a forked child begins at zero.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter, deque
from typing import Protocol

Series = tuple[str, tuple[str, ...]]
"""(metric of the catalogue, values of its labels after service and environment)"""


class Tally(Protocol):
    """The counters of one object; they outlive it."""

    def totals(self) -> dict[Series, float]:
        """Counters so far: they only grow."""

    def levels(self) -> dict[Series, float]:
        """Gauges as they are now."""

    def forget(self) -> None:
        """Begin again at zero, in a forked child."""


class Tallies:
    """The tallies of a process, added up by series."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: dict[int, Tally] = {}
        self._leaving: deque[Tally] = deque()
        """Owners that the garbage collector took: a finalizer may run anywhere, so it takes no lock."""
        self._retired: Counter[Series] = Counter()

    def enter(self, owner: object, tally: Tally) -> None:
        """Count what ``tally`` holds for as long as ``owner`` lives, and its totals ever after."""
        with self._lock:
            self._settle()
            self._living[id(tally)] = tally
        weakref.finalize(owner, self._leaving.append, tally).atexit = False

    def totals(self) -> dict[Series, float]:
        """Every counter."""
        with self._lock:
            self._settle()
            found = Counter(self._retired)
            for tally in self._living.values():
                found.update(tally.totals())
        return dict(found)

    def levels(self) -> dict[Series, float]:
        """Every gauge."""
        found: Counter[Series] = Counter()
        with self._lock:
            self._settle()
            for tally in self._living.values():
                found.update(tally.levels())
        return dict(found)

    def forget(self) -> None:
        """Begin again at zero: a forked child has done nothing yet."""
        self._lock = threading.Lock()
        self._leaving.clear()
        self._retired.clear()
        for tally in self._living.values():
            tally.forget()

    def _settle(self) -> None:
        while self._leaving:
            tally = self._leaving.popleft()
            if self._living.pop(id(tally), None) is not None:
                self._retired.update(tally.totals())


TALLIES = Tallies()
os.register_at_fork(after_in_child=TALLIES.forget)
