"""An outage in four acts, so that the figures move: the app asks here before a step; acts are switched at run time."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")
RETRIEVER_DOWN = "retriever down"
SLOW_MODEL = "slow model"
INDEX_INCOMPLETE = "index incomplete"
CACHE_POISONED = "cache poisoned"
_ACTS = {
    RETRIEVER_DOWN: "every retrieval raises ConnectionError",
    SLOW_MODEL: "the model takes seconds to begin",
    INDEX_INCOMPLETE: "an index is deployed that lacks a fifth of the documents",
    CACHE_POISONED: "the cache gives answers that belong to other questions",
}


class Faults:
    """Which faults are on. Without any, each hook lets everything pass. Safe for threads.

    ``slow_s`` is how long the slow model takes to begin.
    """

    def __init__(self, *, slow_s: float = 1.5) -> None:
        self.slow_s = slow_s
        self._on: frozenset[str] = frozenset()
        self._mended: set[str] = set()
        self._changed = threading.Condition()

    def start(self, act: str) -> None:
        """Switch a fault on; raises ``KeyError`` for a name that no act has."""
        _ = _ACTS[act]
        self._mended.clear()
        self._set(self._on | {act})

    def stop(self, *acts: str) -> None:
        """Switch faults off, or all of them; whoever waits for a slow model goes on at once."""
        self._set(self._on - set(acts) if acts else frozenset())

    @property
    def on(self) -> frozenset[str]:
        """The faults that are on."""
        return self._on

    def before_retrieval(self) -> None:
        """Raise ``ConnectionError`` while the retriever is down."""
        if RETRIEVER_DOWN in self._on:
            raise ConnectionError("the vector store does not answer (played by --faults)")

    def before_generation(self) -> None:
        """Wait while the model is slow."""
        if SLOW_MODEL in self._on:
            with self._changed:
                self._changed.wait_for(lambda: SLOW_MODEL not in self._on, timeout=self.slow_s)

    def has(self, key: str) -> bool:
        """Whether a document is there; a fifth, always the same ones, is not while the index is incomplete."""
        return INDEX_INCOMPLETE not in self._on or zlib.crc32(key.encode()) % 5 != 0 or key in self._mended

    def mend(self, key: str) -> None:
        """Put a lost document back."""
        self._mended.add(key)

    def cached(self, key: str, cache: Mapping[str, T]) -> T:
        """The cached answer; while the cache is poisoned, the answer to another question where there is another."""
        if CACHE_POISONED in self._on:
            others = (answer for question, answer in cache.items() if question != key and answer != cache[key])
            return next(others, cache[key])
        return cache[key]

    def _set(self, on: frozenset[str]) -> None:
        with self._changed:
            self._on = on
            self._changed.notify_all()


def acts() -> Iterator[tuple[str, str]]:
    """(name, what it does) of each act, in the order in which an outage is played."""
    yield from _ACTS.items()
