"""The shapes in which instrumentors pack values: JSON and Python literals in strings, flattened indices, objects.

What cannot be read is the field's absence, and is counted in ``unreadable``.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ragwatch.conventions.keys import keys_of
from ragwatch.conventions.read_json import read_json
from ragwatch.conventions.table import REDACTED, number
from ragwatch.record import Document

MAX_TEXT: Final = 1 << 20
"""Longer values are not parsed: they are documents or pictures, and nothing that is looked for stands in them."""
MAX_DOCUMENTS: Final = 1000
unreadable: Final[Counter[str]] = Counter()
"""How often a packed value could not be read, by attribute."""

_IDS: Final = ("id", "id_", "node_id", "doc_id", "document_id", "ref_doc_id")
_IN_METADATA: Final = (*_IDS, "source", "file_path", "file_name", "url")
_NODE: Final = ("node", "document")
_TEXTS: Final = ("page_content", "content", "text", "document")


def unpack(value: object, key: str = "") -> Any:
    """A value out of JSON or Python's ``repr`` in a string; other values as they are; None where it is neither.

    >>> unpack('{"a": [1]}'), unpack("{'a': None}"), unpack([1]), unpack("plain")
    ({'a': [1]}, {'a': None}, [1], None)
    """
    if not isinstance(value, str):
        return value
    start = value[:1]
    if start not in {"{", "["} or len(value) > MAX_TEXT:
        return None
    try:
        return read_json(value)
    except (ValueError, RecursionError):
        pass
    if len(value) <= 20_000 and "'" in value:
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
    unreadable[key] += 1
    return None


def take_unreadable() -> dict[str, int]:
    """What could not be read since this was last asked, by attribute."""
    if not unreadable:
        return {}
    found = dict(unreadable)
    unreadable.clear()
    return found


def mapping(value: object, key: str = "") -> Mapping[str, Any]:
    """The mapping that a value is or holds as text; empty where it is none."""
    found = unpack(value, key)
    return found if isinstance(found, dict) else {}


def at(value: Any, *path: str | int) -> Any:
    """What stands below a path of keys and indices; None where the path ends early.

    >>> at({"a": [{"b": 7}]}, "a", 0, "b"), at({"a": 1}, "a", "b")
    (7, None)
    """
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list | tuple) or not -len(value) <= step < len(value):
                return None
            value = value[step]
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


_QUESTIONS: Final = ("question", "query", "input")


def question_in(arguments: Mapping[str, Any]) -> Any:
    """What a traced function was asked, by the usual names of its arguments; None where it has none of them.

    >>> question_in({"k": 5, "query": "why?"}), question_in({"k": 5})
    ('why?', None)
    """
    return next((arguments[name] for name in _QUESTIONS if name in arguments), None)


def flattened(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """The items of a list that was flattened into ``prefix.N.name`` attributes, in order.

    >>> flattened({"d.0.id": "a", "d.1.id": "b", "d.0.score": 0.5}, "d.")
    [{'id': 'a', 'score': 0.5}, {'id': 'b'}]
    """
    return [{name: attributes[key] for name, key in item} for item in keys_of(attributes).flat(prefix)]


def documents_of(items: Iterable[Any], *, keep_text: bool = False) -> tuple[Document, ...]:
    """Retrieved documents out of mappings of any framework, JSON strings of such, or reprs; ranks as they come.

    >>> documents_of([{"id": "a", "score": 0.5}, '{"node": {"id_": "b"}, "score": null}'])[1].id
    'b'
    """
    found: list[Document] = []
    for rank, item in enumerate(items, 1):
        if rank > MAX_DOCUMENTS:
            break
        found.append(_document(item, rank, keep_text))
    return tuple(found)


def put_documents(row: dict[str, Any], items: Sequence[Any]) -> None:
    """Put the documents and their number into a row; no more documents than are of use, and the whole number."""
    row["documents"] = documents_of(items)
    row["document_count"] = len(items)


def id_of(item: Any) -> str | None:
    """The id that a document of any framework names as such."""
    return _first(item, _IDS) if isinstance(item, dict) else None


def _document(item: Any, rank: int, keep_text: bool) -> Document:
    if isinstance(item, str):
        held = unpack(item, "document") if item[:1] in {"{", "["} else None
        if not isinstance(held, dict):
            return _from_repr(item, rank)
        item = held
    if not isinstance(item, dict):
        return Document(None, rank)
    inner = item
    for name in _NODE:
        held = item.get(name)
        if type(held) is dict:
            inner = held
            break
    how = "id"
    identity = _first(inner, _IDS)
    if identity is None and inner is not item:
        identity = _first(item, _IDS)
    body = next((held for name in _TEXTS if type(held := inner.get(name)) is str), None)
    digest = content_hash(body) if body is not None and body != REDACTED else None
    if identity is None:
        identity, how = _id_of_metadata(inner), "metadata"
        if identity is None:
            identity, how = digest, "content_hash"
    score = number(item.get("score"))
    return Document(
        identity,
        rank,
        number(inner.get("score")) if score is None and inner is not item else score,
        number(item["distance"]) if "distance" in item else None,
        how if identity is not None else None,
        digest,
        None,
        body if keep_text else None,
    )


def _id_of_metadata(holder: Mapping[str, Any]) -> str | None:
    found = holder.get("metadata")
    held = mapping(holder.get("meta") if found is None else found, "metadata")
    return _first(held, _IN_METADATA) if held else None


_REPR: Final = re.compile(r"(?:id_|id)=['\"]?([^,'\")]+)['\"]?.*?(?:score=([-\d.eE]+))?\)?>?$")


def _from_repr(item: str, rank: int) -> Document:
    """``<NodeWithScore(node=TextNode(id_=node-2), score=0.9)>`` and its like."""
    found = _REPR.search(item[:500])
    if found is None:
        return Document(None, rank)
    score = found.group(2)
    try:
        value = float(score) if score else None
    except ValueError:
        value = None
    return Document(found.group(1), rank, value, id_from="id")


def content_hash(body: str) -> str:
    """The hash by which equal texts are known to be equal."""
    return hashlib.blake2b(body.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _first(holder: Mapping[str, Any], names: Iterable[str]) -> str | None:
    for name in names:
        if name in holder:
            value = holder[name]
            kind = type(value)
            if (kind is str and value and value != REDACTED) or kind is int:
                return str(value)[:256]
    return None
