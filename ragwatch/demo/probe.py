"""Probes: searches for documents that are known to be there, as an operator without labels would send them.

A known item and a few words of its own text make a question whose answer is certain (Azzopardi and de Rijke, "Automatic
construction of known-item finding test beds", SIGIR 2006). A part of the index that is missing shows at once: the same
documents are asked for round by round, so that one round is like the other where chance would have half or double it.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import ragwatch
from ragwatch.demo.index import Index
from ragwatch.demo.rerank import body_of
from ragwatch.demo.text import query_words

PERIOD_S = 0.1
"""From one question to the next; a slow machine waits a quarter of it at least."""
WORDS = 8
ROUND = 100
"""Documents that are asked for in turn."""


class Probe:
    """Asks for some documents in turn until it is stopped; ``find`` is the app's own retrieval."""

    def __init__(self, index: Index, find: Callable[..., list[dict[str, Any]]], *, seed: int = 0) -> None:
        self._index = index
        self._find = find
        known = random.Random(seed).sample(index.ids, min(ROUND, len(index.ids)))  # noqa: S311  (no secret)
        self._known = itertools.cycle(known)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-probe", daemon=True)
        self.asked = 0

    def start(self) -> None:
        """Begin, beside the traffic."""
        self._thread.start()

    def stop(self) -> None:
        """End after the probe that is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = monotonic()
        while not self._stop.wait(max(PERIOD_S / 4, began + PERIOD_S - monotonic())):
            began = monotonic()
            document = self._index.document(next(self._known))
            if document is not None:
                opening = query_words(body_of(document.text)[:300])[:WORDS]
                self._ask(document.id, " ".join([document.title, *opening]))

    def _ask(self, key: str, question: str) -> None:
        with ragwatch.tool("probe"):
            trace_id = ragwatch.trace_id()
            try:
                found = self._find(question, self._index.embed(question))
            except (ragwatch.Rejected, ConnectionError):
                return  # whether the document is there is not known
        if trace_id is not None:
            self.asked += 1
            ragwatch.relevance(trace_id, key in [hit["id"] for hit in found], source="probe")
