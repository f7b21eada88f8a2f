"""The index as the app reads it: words by BM25, meaning by vectors, one list by reciprocal rank fusion.

Safe for threads: the vectors are read only, and each thread that searches borrows an SQLite connection of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from types import MappingProxyType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ragwatch.demo.build import DATABASE, VECTORS, unit
from ragwatch.demo.document import Document
from ragwatch.demo.text import query_words, stems

TITLE_WEIGHT = 2.0
RRF_K = 60
MATCHES = 3000  # documents that BM25 scores before priors reorder them; a question seldom matches more
NO_MEANINGS: Mapping[str, tuple[str, ...]] = MappingProxyType({})
Ranked = list[tuple[int, float]]  # (document number, score), best first


class Index:
    """An index on disk, opened; ``close`` it, or use it in a ``with``.

    ``thesaurus`` names words that documents may have for a word of a question; both searches look for them too.
    ``coverage_weight`` says how much a reranker should count on the words of a document, ``root`` where the documents'
    sources are.
    """

    def __init__(
        self,
        folder: Path,
        thesaurus: Mapping[str, tuple[str, ...]] = NO_MEANINGS,
        *,
        coverage_weight: float = 1.0,
        root: Path | None = None,
    ) -> None:
        self.folder = folder
        self.thesaurus = thesaurus
        self.coverage_weight = coverage_weight
        self._root = root
        self._modified: dict[str, float | None] = {}
        self._connections: LifoQueue[sqlite3.Connection] = LifoQueue()
        with np.load(folder / VECTORS, allow_pickle=False) as stored:
            self._vectors: NDArray[np.float32] = stored["vectors"]
            self._components: NDArray[np.float32] = stored["components"]
            self._idf: NDArray[np.float32] = stored["idf"]
            terms = stored["terms"].tobytes().decode().split("\n")
        self._terms = {term: column for column, term in enumerate(terms)}
        with self._database() as database:
            rows = database.execute("SELECT id, prior FROM document ORDER BY number").fetchall()
        self.ids: tuple[str, ...] = tuple(key for key, _ in rows)
        self._factors: NDArray[np.float32] = np.exp(np.array([prior for _, prior in rows], dtype=np.float32))
        self._fallback_idf = float(self._idf.max()) if len(self._idf) else 1.0

    def __len__(self) -> int:
        return len(self.ids)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that no search holds."""
        while True:
            try:
                self._connections.get_nowait().close()
            except Empty:
                return

    def concepts(self, question: str) -> dict[str, tuple[str, ...]]:
        """The words of a question that carry meaning, each with the other words that documents may have for it."""
        return {
            word: self.thesaurus.get(word) or self.thesaurus.get(word.removesuffix("s"), ())
            for word in query_words(question)
        }

    def search(self, question: str, limit: int) -> Ranked:
        """The documents that share words with the question, by BM25 (k1 = 1.2, b = 0.75, Porter stems) and prior.

        Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond" (2009); FTS5 weighs a column by
        counting its words that many times.
        """
        query = " OR ".join(f'"{word}"' for word in self._wanted(question))
        if not query:
            return []
        statement = """
            SELECT rowid, -bm25(lexicon, ?, 1.0) AS score FROM lexicon WHERE lexicon MATCH ? ORDER BY score DESC LIMIT ?
        """
        with self._database() as database:
            rows = database.execute(statement, (TITLE_WEIGHT, query, max(limit, MATCHES))).fetchall()
        scored = [(number, score * float(self._factors[number])) for number, score in rows]
        scored.sort(key=lambda item: -item[1])
        return scored[:limit]

    def embed(self, question: str) -> NDArray[np.float32]:
        """The question as a unit vector; the zero vector where it shares no word with the documents."""
        counts: dict[int, int] = {}
        for term in stems(self._wanted(question)):
            if (column := self._terms.get(term)) is not None:
                counts[column] = counts.get(column, 0) + 1
        if not counts:
            return np.zeros(self._components.shape[1], dtype=np.float32)
        columns = list(counts)
        weights = (1 + np.log(np.array(list(counts.values()), dtype=np.float32))) * self._idf[columns]
        return unit(np.asarray(weights @ self._components[columns], dtype=np.float32))

    def _wanted(self, question: str) -> list[str]:
        found = self.concepts(question)
        return list(dict.fromkeys([*found, *(word for others in found.values() for word in others)]))

    def nearest(self, vector: NDArray[np.float32], limit: int) -> Ranked:
        """The documents with the greatest cosine to the vector, above 0, by cosine and prior."""
        scores = (self._vectors @ vector) * self._factors
        limit = min(limit, len(scores))
        best = np.argpartition(-scores, limit - 1)[:limit]
        best = best[np.argsort(-scores[best], kind="stable")]
        return [(int(number), float(scores[number])) for number in best if scores[number] > 0]

    def documents(self, numbers: Sequence[int]) -> list[Document]:
        """The documents of these numbers, in this order."""
        marks = ",".join("?" * len(numbers))
        with self._database() as database:
            rows = database.execute(
                f"SELECT number, id, title, text, source, prior FROM document WHERE number IN ({marks})",  # noqa: S608
                list(numbers),
            )
            found = {row[0]: Document(*row[1:]) for row in rows}
        return [found[number] for number in numbers]

    def document(self, key: str) -> Document | None:
        """The document with this id, or None."""
        with self._database() as database:
            row = database.execute(
                "SELECT id, title, text, source, prior FROM document WHERE id = ?", (key,)
            ).fetchone()
        return Document(*row) if row else None

    def modified(self, document: Document) -> float | None:
        """When the file that a document was read from was last changed (seconds since the epoch); None without one."""
        name = document.source.partition(":")[0]
        if self._root is not None and name not in self._modified:
            try:
                self._modified[name] = (self._root / name).stat().st_mtime
            except OSError:  # a document that was made by looking at a C module
                self._modified[name] = None
        return self._modified.get(name)

    def idf(self, term: str) -> float:
        """How rare a stem is: smoothed inverse document frequency; a stem that no document has is the rarest."""
        column = self._terms.get(term)
        return float(self._idf[column]) if column is not None else self._fallback_idf

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connections.get_nowait()
        except Empty:
            address = f"{(self.folder / DATABASE).resolve().as_uri()}?mode=ro&immutable=1"
            connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        try:
            yield connection
        finally:
            self._connections.put(connection)


def fuse(*rankings: tuple[Ranked, float], k: int = RRF_K) -> Ranked:
    """One ranking out of several, each with its weight: the sum of weight / (k + rank).

    Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
    SIGIR 2009.

    >>> [number for number, _ in fuse(([(7, 9.0), (8, 1.0)], 1.0), ([(8, 0.5), (9, 0.4)], 1.0))]
    [8, 7, 9]
    """
    scores: dict[int, float] = {}
    for ranking, weight in rankings:
        for rank, (number, _) in enumerate(ranking, 1):
            scores[number] = scores.get(number, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
