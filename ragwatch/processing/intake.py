"""The input of a run: documents one by one, each with its name and digest, whatever the input does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from ragwatch.processing.book import Book
from ragwatch.processing.failure import failure_of
from ragwatch.processing.feed import NOTHING_YET
from ragwatch.processing.item import Item, Key, identify
from ragwatch.processing.telemetry import name_of

READ_S = 0.05
"""How long reading may take before what was read is handed out: a slow input holds nothing up."""


class Intake:
    """Reads ``documents`` as there is room. One that fails ends there; ``error`` is raised once what was read is done.

    ``parked`` are other contents of documents that have no outcome yet: they wait for it.
    """

    def __init__(self, documents: Iterable[Any], book: Book, key: Key | None, max_bytes: int | None) -> None:
        self._source = iter(documents)
        self._book = book
        self._key = key
        self._max_bytes = max_bytes
        self.parked: deque[Item] = deque()
        self.at_end = False
        self.error: Exception | None = None

    def take(self, room: int) -> list[Item]:
        """At most ``room`` new documents, after those that need not wait any longer."""
        if not self.parked:
            return self._read(room) if room else []
        items = [item for item in self.parked if item.source not in self._book.busy]
        self.parked = deque(item for item in self.parked if item.source in self._book.busy)
        return items + self._read(room)

    def _read(self, room: int) -> list[Item]:
        items: list[Item] = []
        until = time.monotonic() + READ_S
        for _ in range(room):
            try:
                document = next(self._source)
            except StopIteration:
                self.at_end = True
                break
            except Exception as error:  # noqa: BLE001  (raised at the end)
                self.error, self.at_end = error, True
                break
            if document is NOTHING_YET:
                break
            try:
                items.append(identify(document, self._key, self._max_bytes))
            except Exception as error:  # noqa: BLE001  (key=, or an attribute of the app's object)
                self._refuse(document, error)
            if time.monotonic() > until:
                break
        return items

    def _refuse(self, document: Any, error: Exception) -> None:
        """A document that cannot be told from others is not in the ledger: the next run tries it again."""
        failure = failure_of(error)
        name = name_of(document) or type(document).__qualname__
        reason = f"cannot be told apart: {failure.error_type}: {failure.message}"
        self._book.say(name, "failed", reason=reason, error_type=failure.error_type)
