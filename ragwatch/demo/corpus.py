"""What is indexed: the documentation of this Python, or the user's own directory.

A corpus has a name, a fingerprint that changes when its content does (cheap: nothing is parsed for it), its documents,
and the questions that come with it.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ragwatch.demo.builtin import builtin_documents
from ragwatch.demo.document import Document, merged
from ragwatch.demo.folder import FolderCorpus
from ragwatch.demo.library import library, parse_library, sources
from ragwatch.demo.stdlib import stdlib_documents
from ragwatch.demo.thesaurus import MEANINGS
from ragwatch.demo.topics import topic_documents
from ragwatch.demo.usage import priors


class Corpus(Protocol):
    """Where documents come from."""

    @property
    def name(self) -> str:
        """A short name, fit for a file name."""

    @property
    def root(self) -> Path:
        """The directory that the documents' sources are relative to."""

    @property
    def thesaurus(self) -> Mapping[str, tuple[str, ...]]:
        """Words of questions, and the words that the documents may have for them."""

    @property
    def coverage_weight(self) -> float:
        """How much it says about a document that it has the words of a question; see ``rerank``."""

    def fingerprint(self) -> str:
        """A digest that changes when the documents do."""

    def documents(self) -> list[Document]:
        """All documents; ids are unique."""


class PythonCorpus:
    """The documentation of the Python that runs this: standard library, built-in and C modules, language reference."""

    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    thesaurus: Mapping[str, tuple[str, ...]] = MEANINGS
    coverage_weight = 1.0

    @property
    def root(self) -> Path:
        """The standard library."""
        return library()

    def fingerprint(self) -> str:
        """A digest over the interpreter's version and the names, sizes and times of the library's files."""
        root = library()
        digest = hashlib.blake2b(f"{sys.version} {platform.platform()} {root}".encode(), digest_size=16)
        for path in sources(root):
            status = path.stat()
            digest.update(f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def documents(self) -> list[Document]:
        """Every public name that says something about itself; the reference's entry for a name stands with it."""
        parsed = parse_library()
        named = merged([*stdlib_documents(parsed), *builtin_documents()])
        sections, notes = topic_documents({document.id for document in named})
        likely = priors([document.id for document in named], parsed)
        return [
            document._replace(
                text="\n\n".join(filter(None, [document.text, notes.get(document.id)])), prior=likely[document.id]
            )
            for document in named
        ] + sections


def open_corpus(docs: Path | None = None) -> PythonCorpus | FolderCorpus:
    """The user's directory if one is given, else this Python's documentation; raises ``DemoInputError``."""
    return PythonCorpus() if docs is None else FolderCorpus(docs)
