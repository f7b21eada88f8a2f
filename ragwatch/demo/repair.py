"""The lost part of the index comes back: its documents go through ragwatch's document processor, one by one."""

from __future__ import annotations

import threading

from ragwatch.demo.faults import INDEX_INCOMPLETE, Faults
from ragwatch.demo.index import Index
from ragwatch.processing.processor import DocumentProcessor

PIPELINE = "documents"


class Repair:
    """Reads every lost document again and checks its vector; as each is done, searches find it."""

    def __init__(self, index: Index, faults: Faults) -> None:
        self._index = index
        self._faults = faults
        self._processor = DocumentProcessor(self._put_back, pipeline=PIPELINE, workers=2, breaker=None, retry=None)
        self._processor.process([])  # the pipeline is known, with nothing to do, before there is something
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, beside the traffic."""
        self._thread = threading.Thread(target=self._run, name="demo-repair", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until all documents are back."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        self._processor.process([key for key in self._index.ids if not self._faults.has(key)])
        self._faults.stop(INDEX_INCOMPLETE)

    def _put_back(self, key: str) -> None:
        document = self._index.document(key)
        if document is None:
            raise LookupError(f"no document {key}")
        self._index.embed(document.text[:500])
        self._faults.mend(key)
