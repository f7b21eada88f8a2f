"""The RAG app: query cache → embed → retrieve → rerank → generate. Plain code, as somebody would write it.

Each step is a method of its own, so that it can be decorated, or replaced in a subclass. Safe for threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragwatch.demo.faults import Faults
from ragwatch.demo.generate import Usage, Writer, writer_from_environment
from ragwatch.demo.index import Index, Ranked, fuse
from ragwatch.demo.rerank import reranked

CANDIDATES = 100  # of each search, before fusion
RERANKED = 60  # that the reranker reads; recall@60 on the dev questions is 0.89, recall@5 before it 0.51
VECTOR_WEIGHT = 0.3  # of the vectors against BM25 in the fusion; the vectors alone find less (0.35 against 0.55)
Hit = dict[str, Any]  # id, score, title, text, date


class Known(NamedTuple):
    """A cached answer, with the documents that it was written from."""

    text: str
    documents: list[Hit]


class Rag:
    """Answers questions from an index.

    ``cache_size`` is in answers. ``writer`` defaults to what the environment says (see ``generate``); ``faults`` are
    the outages that are being played.
    """

    def __init__(
        self,
        index: Index,
        *,
        top_k: int = 5,
        cache_size: int = 512,
        writer: Writer | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.index = index
        self.top_k = top_k
        self.writer: Writer = writer if writer is not None else writer_from_environment()
        self.faults = faults or Faults()
        self._cache: OrderedDict[str, Known] = OrderedDict()
        self._cache_size = cache_size
        self._lock = threading.Lock()
        self.cache_hits = 0

    def answer(self, question: str) -> str:
        """The answer to a question, from the cache or made anew; raises what a step raises."""
        known = self.lookup(question)
        if known is not None:
            return known.text
        vector = self.embed(question)
        found = self.retrieve(question, vector, top_k=RERANKED)
        best = self.rerank(question, found, top_k=self.top_k)
        text = "".join(self.generate(question, best))
        self.remember(question, text, best)
        return text

    def lookup(self, question: str) -> Known | None:
        """The cached answer with its documents, or None."""
        key = normal(question)
        with self._lock:
            if key not in self._cache:
                return None
            self._cache.move_to_end(key)
            self.cache_hits += 1
            return self.faults.cached(key, self._cache)

    def embed(self, question: str) -> NDArray[np.float32]:
        """The question as a vector."""
        return self.index.embed(question)

    def retrieve(self, question: str, vector: NDArray[np.float32], top_k: int = RERANKED) -> list[Hit]:
        """The documents that match by words or by meaning, fused by reciprocal rank."""
        self.faults.before_retrieval()
        ranked = fuse(
            (self.index.search(question, CANDIDATES), 1.0), (self.index.nearest(vector, CANDIDATES), VECTOR_WEIGHT)
        )
        return self._hits(ranked, top_k)

    def by_words(self, question: str, top_k: int = RERANKED) -> list[Hit]:
        """The documents that match by words alone: full-text search goes on while the vector store is away."""
        return self._hits(self.index.search(question, CANDIDATES), top_k)

    def _hits(self, ranked: Ranked, top_k: int) -> list[Hit]:
        there = [(number, score) for number, score in ranked if self.faults.has(self.index.ids[number])][:top_k]
        documents = self.index.documents([number for number, _ in there])
        return [
            {
                "id": document.id,
                "score": score,
                "title": document.title,
                "text": document.text,
                "date": self.index.modified(document),
            }
            for document, (_, score) in zip(documents, there, strict=True)
        ]

    def rerank(self, question: str, docs: list[Hit], top_k: int = 5) -> list[Hit]:
        """The best ``top_k`` after reading the candidates again."""
        return reranked(self.index.concepts(question), docs, self.index.idf, weight=self.index.coverage_weight)[:top_k]

    def generate(self, question: str, docs: list[Hit]) -> Generator[str, None, Usage]:
        """The answer in chunks as it is written; returns what it cost."""
        self.faults.before_generation()
        return (yield from self.writer.write(question, docs))

    def remember(self, question: str, text: str, documents: list[Hit]) -> None:
        """Put an answer into the cache; the one that was not asked for longest goes."""
        with self._lock:
            self._cache[normal(question)] = Known(text, documents)
            self._cache.move_to_end(normal(question))
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)

    def search(self, question: str, top_k: int = 5) -> list[Hit]:
        """The documents that an answer would be written from, past cache and generator; for evaluation."""
        return self.rerank(question, self.retrieve(question, self.embed(question), top_k=RERANKED), top_k=top_k)


def normal(question: str) -> str:
    """What questions that are one to the cache have in common: words without case, spacing and final marks.

    >>> normal("  How do I copy  a file? ") == normal("how do I copy a file")
    True
    """
    return " ".join(question.casefold().split()).rstrip("?!. ")
