"""``Document``, the unit that is indexed, retrieved and cited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Document(NamedTuple):
    """One piece of documentation: ``id`` is stable and cited, ``source`` says where it was read.

    ``prior`` is the logarithm of how much likelier than another document it is to be what somebody wants, before any
    question is asked.
    """

    id: str
    title: str
    text: str
    source: str
    prior: float = 0.0


def merged(documents: Iterable[Document]) -> list[Document]:
    """The documents by id, in order of first sight; of two with one id the longer text stands.

    A name often has two homes, a C and a Python version (``heapq.heappush``), and one of them says more.

    >>> [d.text for d in merged([Document("a", "a", "short", "x"), Document("a", "a", "longer", "y")])]
    ['longer']
    """
    found: dict[str, Document] = {}
    for document in documents:
        known = found.get(document.id)
        if known is None or len(document.text) > len(known.text):
            found[document.id] = document
    return list(found.values())
