"""An async input beside the thread that reads it: a bounded queue that neither side can be stuck in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterator
from queue import Empty, Full, Queue
from typing import Any

NOTHING_YET: Any = object()
"""What an input gives that has nothing at the moment."""
WAIT_S = 0.05
FULL_WAIT_S = 0.005
_END: Any = object()


class Feed(Iterator[Any]):
    """The documents that ``fill`` puts in; ``NOTHING_YET`` while there is none, the input's own error at its end."""

    def __init__(self, size: int) -> None:
        self._queue: Queue[Any] = Queue(maxsize=size)
        self._error: Exception | None = None

    async def fill(self, documents: AsyncIterable[Any]) -> None:
        """Put in all of them, as there is room."""
        try:
            async for document in documents:
                await self._put(document)
        except Exception as error:  # noqa: BLE001  (it is raised where the input is read)
            self._error = error
        await self._put(_END)

    async def _put(self, document: Any) -> None:
        while True:
            try:
                self._queue.put_nowait(document)
            except Full:
                await asyncio.sleep(FULL_WAIT_S)
            else:
                return

    def __next__(self) -> Any:
        """The next document, or ``NOTHING_YET`` after a moment."""
        try:
            document = self._queue.get(timeout=WAIT_S)
        except Empty:
            return NOTHING_YET
        if document is not _END:
            return document
        if self._error is not None:
            raise self._error
        raise StopIteration
