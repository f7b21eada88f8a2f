"""Making an index: documents into an SQLite FTS5 table for BM25, and into vectors by TF-IDF and truncated SVD."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragwatch.demo.document import Document
from ragwatch.demo.text import camel_parts, compound_parts, stems, words

DATABASE = "documents.db"
VECTORS = "vectors.npz"
META = "meta.json"
DIMENSIONS = 300  # recall@50 of the vectors alone on the dev questions: 128 0.46, 256 0.53, 400 0.57
MAX_FEATURES = 20_000
MAX_VECTOR_TEXT = 1500  # characters; what a document is about stands first, and half of the build is cutting words
COMMON = 20  # documents that a word must occur in before compounds are cut with it
_SCHEMA = """
CREATE TABLE document (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, text TEXT NOT NULL,
                       source TEXT NOT NULL, prior REAL NOT NULL);
CREATE VIRTUAL TABLE lexicon USING fts5(title, body, content='', tokenize="porter unicode61 remove_diacritics 2");
"""


def build_index(documents: Sequence[Document], folder: Path) -> None:
    """Write an index of the documents into an existing empty directory."""
    cut = [words(document.text[:MAX_VECTOR_TEXT]) for document in documents]
    common = common_words(cut)
    titles = [title_words(document, common) for document in documents]
    _write_database(documents, titles, folder / DATABASE)
    _write_vectors([title * 2 + body for title, body in zip(titles, cut, strict=True)], folder / VECTORS)


def common_words(cut: Iterable[list[str]]) -> frozenset[str]:
    """The words of three letters and more that occur in many documents: what compounds are made of."""
    counts: Counter[str] = Counter()
    for found in cut:
        counts.update(set(found))
    return frozenset(word for word, n in counts.items() if n >= COMMON and len(word) >= 3 and word.isalpha())


def title_words(document: Document, common: frozenset[str]) -> list[str]:
    """The words of title and id, and the words inside them.

    >>> title_words(Document("shutil.copytree", "shutil.copytree", "", ""), frozenset({"copy", "tree"}))
    ['shutil', 'copytree', 'copy', 'tree']
    """
    named = document.title if document.title == document.id else f"{document.title} {document.id}"
    found = words(document.title)
    inner = [part for word in words(named) for part in compound_parts(word, common)]
    return [*found, *camel_parts(document.title), *inner]


def _write_database(documents: Sequence[Document], titles: Sequence[list[str]], path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_SCHEMA)
        with database:
            database.executemany(
                "INSERT INTO document VALUES (?, ?, ?, ?, ?, ?)", ((n, *doc) for n, doc in enumerate(documents))
            )
            database.executemany(
                "INSERT INTO lexicon(rowid, title, body) VALUES (?, ?, ?)",
                ((n, " ".join(titles[n]), document.text) for n, document in enumerate(documents)),
            )
            database.execute("INSERT INTO lexicon(lexicon) VALUES ('optimize')")


def _write_vectors(cut: Sequence[list[str]], path: Path) -> None:
    """TF-IDF (sublinear, unit length) and truncated SVD; latent semantic indexing.

    Deerwester et al., "Indexing by latent semantic analysis", JASIS 41 (1990).
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        analyzer=stems, sublinear_tf=True, min_df=2 if len(cut) > 50 else 1, max_features=MAX_FEATURES, dtype=np.float32
    )
    if not any(stems(found) for found in cut):  # nothing but stop words
        cut = [[*found, "(none)"] for found in cut]
    weights = vectorizer.fit_transform(cut)
    terms = vectorizer.get_feature_names_out()
    rank = min(DIMENSIONS, len(cut) - 1, len(terms) - 1)
    if rank < 1:  # one document, or one word: nothing to reduce
        components = np.eye(len(terms), dtype=np.float32)
    else:
        components = TruncatedSVD(rank, n_iter=4, random_state=0).fit(weights).components_.astype(np.float32)
    vectors = unit(np.asarray(weights @ components.T, dtype=np.float32))
    np.savez(
        path,
        vectors=vectors,
        components=np.ascontiguousarray(components.T),  # a row a term: a query reads a few rows
        idf=vectorizer.idf_.astype(np.float32),
        terms=np.frombuffer("\n".join(terms).encode(), dtype=np.uint8),
    )


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors at length 1; the zero vector stays."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
