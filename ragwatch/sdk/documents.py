"""Retrieved documents as values, from whatever a retriever returns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from ragwatch.record import Document
from ragwatch.sdk.guard import say_once

KeepText = Callable[[str | None], str | None]

_IDS = ("id", "id_", "doc_id", "document_id", "node_id", "chunk_id", "_id", "uuid", "pk")
_METADATA_IDS = ("id", "doc_id", "document_id", "chunk_id", "source", "file_path", "file_name", "url", "path")
_SCORES = ("score", "relevance_score", "similarity", "_score", "rerank_score", "certainty")
_DISTANCES = ("distance", "_distance", "vector_distance")
_TEXTS = ("text", "page_content", "content", "chunk", "body", "passage", "snippet")
_DATES = ("date", "updated_at", "modified", "last_modified", "published", "created_at", "timestamp", "mtime")
MAX_DOCUMENTS = 1000
"""A retrieval of more is cut here; its count is kept whole."""
MAX_ID_LENGTH = 256
MAX_ID_WORDS = 3
"""A string of more words is a text, not an id: it stays in the process, and a hash of it tells it apart."""


def to_documents(hits: Iterable[Any], *, keep_text: KeepText) -> tuple[Document, ...]:
    """The documents of a retrieval, ranked from 1 in the order given.

    An item is a string (its id; its text where it has several lines or more than three words), a mapping, a
    ``(document, score)`` pair, an ``(id, score)`` pair, or an object with the usual fields of LangChain
    (``page_content``, ``metadata``, ``id``), of LlamaIndex (``node``, ``score``, ``node_id``) or of Haystack (``id``,
    ``content``, ``score``, ``meta``). ``{"documents": […]}`` and Chroma's lists (``{"ids": [[…]], "distances":
    [[…]]}``) are opened. ``keep_text`` decides what text may stay.

    >>> [d.id for d in to_documents(["a", {"id": 7, "score": 0.5}, ("c", 0.25)], keep_text=lambda text: None)]
    ['a', '7', 'c']
    >>> to_documents({"ids": [["x"]], "distances": [[0.1]]}, keep_text=lambda text: None)[0].distance
    0.1
    """
    return tuple(_document(item, rank, keep_text) for rank, item in enumerate(items_of(hits)[:MAX_DOCUMENTS], 1))


def items_of(hits: Iterable[Any]) -> Sequence[Any]:
    """The hits one by one, out of whatever holds them."""
    if isinstance(hits, Mapping):
        return _opened(hits)
    if isinstance(hits, str):
        return (hits,)
    return hits if isinstance(hits, list | tuple) else _nodes(hits)


def _opened(result: Mapping[str, Any]) -> Sequence[Any]:
    for key in ("documents", "source_documents", "context", "nodes", "hits", "matches", "points", "results"):
        inner = result.get(key)
        if isinstance(inner, list | tuple) and not isinstance(result.get("ids"), list | tuple):
            return inner
    ids = result.get("ids")
    if isinstance(ids, list | tuple):
        first = ids[0] if ids and isinstance(ids[0], list | tuple) else ids
        return [
            {"id": identity, "distance": _at(result.get("distances"), i), "text": _at(result.get("documents"), i),
             "metadata": _at(result.get("metadatas"), i)}
            for i, identity in enumerate(first)
        ]  # fmt: skip
    return (result,)


def _at(lists: Any, index: int) -> Any:
    inner = lists[0] if isinstance(lists, list | tuple) and lists and isinstance(lists[0], list | tuple) else lists
    return inner[index] if isinstance(inner, list | tuple) and index < len(inner) else None


def _nodes(hits: Any) -> Sequence[Any]:
    for name in ("source_nodes", "nodes", "documents", "points", "matches", "hits"):
        inner = getattr(hits, name, None)
        if isinstance(inner, list | tuple):
            return inner
    return list(hits)


def _document(item: Any, rank: int, keep_text: KeepText) -> Document:
    score: float | None = None
    if isinstance(item, tuple | list) and len(item) == 2 and _number(item[1]) is not None:
        item, score = item[0], _number(item[1])
    if isinstance(item, str) and is_text(item, MAX_ID_WORDS):
        item = {"text": item}
    if isinstance(item, str | int):
        return Document(str(item)[:MAX_ID_LENGTH], rank, score, id_from="id")
    if isinstance(item, Mapping):
        read: Callable[[str], Any] = item.get
    else:
        read = _reader(item)
    node = read("node") or read("document")
    inner = (
        None if node is None or isinstance(node, str) else (node.get if isinstance(node, Mapping) else _reader(node))
    )
    metadata = _first(("metadata", "meta", "payload"), read, inner)
    meta: Callable[[str], Any] | None = metadata.get if isinstance(metadata, Mapping) else None
    if score is None:
        score = _number(_first(_SCORES, read, inner))
    distance = _number(_first(_DISTANCES, read, inner))
    text = _first(_TEXTS, read, inner)
    text = text if isinstance(text, str) else node if isinstance(node, str) else None
    content_hash = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest() if text else None
    identity = _first(_IDS, read, inner)
    found = "id"
    if identity is None and meta is not None:
        identity, found = _first(_METADATA_IDS, meta, None), "metadata"
    if identity is None:
        identity, found = content_hash, "content_hash"
    return Document(
        None if identity is None else str(identity)[:MAX_ID_LENGTH],
        rank,
        score,
        distance,
        None if identity is None else found,
        content_hash,
        _date(_first(_DATES, read, meta)),
        keep_text(text),
    )


def is_text(item: str, words: int) -> bool:
    """Whether a string is a text rather than an id: too long for one, of several lines, or of more than ``words``."""
    if len(item) <= MAX_ID_LENGTH and "\n" not in item and len(item.split(None, words)) <= words:
        return False
    say_once(
        "texts",
        "ragwatch: documents came as strings of several words; they are taken for texts and told apart by hash. "
        'Where they are ids, say so: step.documents([{"id": name}, ...])',
    )
    return True


def _reader(item: Any) -> Callable[[str], Any]:
    return lambda name: getattr(item, name, None)


def _first(names: Iterable[str], read: Callable[[str], Any], inner: Callable[[str], Any] | None) -> Any:
    for name in names:
        value = read(name)
        if value is not None and value != "" and not callable(value):
            return value
        if inner is not None:
            value = inner(name)
            if value is not None and value != "" and not callable(value):
                return value
    return None


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, bool | str | bytes):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < 1e300 else None


def _date(value: Any) -> float | None:
    """Seconds since the epoch; a number is taken as such, text as ISO 8601."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day).timestamp()  # noqa: DTZ001  (a bare date is local)
    number = _number(value)
    if number is not None:
        return number / 1000 if number > 1e11 else number
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None
    return None
