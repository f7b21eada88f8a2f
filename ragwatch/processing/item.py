"""What a document is to the ledger: where it came from, and a digest of its content."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Key = Callable[[Any], "str | tuple[str, str]"]
MAX_SOURCE = 1000
MAX_NAME = 500
"""A text that is longer, or has more than one line, is content and no name."""
BLOCK = 1 << 20
_IDS = ("id", "doc_id", "document_id", "path", "uri", "url")
_ORIGINS = ("source", "name", "file_path", "filename", "file_name")
"""What several documents may have in common, such as the pages of a file."""
_TEXTS = ("page_content", "text", "content", "body")


EMPTY = hashlib.blake2b(b"", digest_size=16).hexdigest()
"""The digest of no content: that two files are empty says nothing about either."""


class Item(NamedTuple):
    """One document on its way. ``source`` is unique within a pipeline; an equal ``digest`` is equal content."""

    source: str
    digest: str
    document: Any
    too_large: int = 0
    """Its bytes, where they are more than may be."""


def identify(document: Any, key: Key | None = None, max_bytes: int | None = None) -> Item:
    """The item of a document: a path, a URI or other text, a mapping, or any object.

    ``key`` gives the source, or source and digest. A file's digest is its content's, read in blocks; one of more than
    ``max_bytes`` is not read at all. Pages and chunks that only name what they were cut from are told apart by content.

    >>> identify({"id": "a", "text": "one"}).source
    'a'
    >>> pages = [{"page_content": text, "metadata": {"source": "a.pdf"}} for text in ("one", "two")]
    >>> [identify(page).source[:6] for page in pages], len({identify(page).source for page in pages})
    (['a.pdf#', 'a.pdf#'], 2)
    >>> identify("https://example.com/a") == identify("https://example.com/a")
    True
    """
    found = _identified(document, key, max_bytes)
    if found.source.isascii():
        return found
    # a file's name need not be UTF-8: the bytes that are not stand in the ledger as escapes
    return found._replace(source=found.source.encode("utf-8", "backslashreplace").decode())


def _identified(document: Any, key: Key | None, max_bytes: int | None) -> Item:
    given = key(document) if key is not None else None
    size = _size(document) if max_bytes is not None else 0
    if max_bytes is not None and size > max_bytes:
        name = given[0] if isinstance(given, tuple) else given or _name_of(document)
        return Item(str(name)[:MAX_SOURCE], f"{size} bytes", document, size)
    if isinstance(given, tuple):
        return Item(str(given[0])[:MAX_SOURCE], str(given[1]), document)
    source = given
    path = _path_of(document)
    if path is not None:
        return Item((source or str(document))[:MAX_SOURCE], _digest_file(path), document)
    if isinstance(document, str | bytes):
        data = document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        named = source or (document if isinstance(document, str) and _is_name(document) else digest)
        return Item(named[:MAX_SOURCE], digest, document)
    digest = _digest(document)
    return Item((source or _id_of(document) or _of_origin(document, digest))[:MAX_SOURCE], digest, document)


def _size(document: Any) -> int:
    """Bytes of a file or of a text; 0 where that cannot be told without reading it."""
    path = _path_of(document)
    if path is not None:
        try:
            return path.stat().st_size
        except OSError:
            return 0
    if isinstance(document, str | bytes):
        return len(document)
    return max((len(text) for name in _TEXTS if isinstance(text := _read(document, name), str)), default=0)


def _name_of(document: Any) -> str:
    if isinstance(document, Path) or (isinstance(document, str) and _is_name(document)):
        return str(document)
    return _id_of(document) or _of_origin(document, _digest(document))


def _is_name(text: str) -> bool:
    return len(text) <= MAX_NAME and "\n" not in text


def _path_of(document: Any) -> Path | None:
    if isinstance(document, Path):
        return document
    if isinstance(document, str) and len(document) < 4096 and "\n" not in document and "\0" not in document:
        # os.path: a third of pathlib's time for the many documents that are no files
        return Path(document) if os.path.isfile(document) else None  # noqa: PTH113
    return None


def _digest_file(path: Path) -> str:
    """The digest of a file; of one that cannot be read, that it cannot be: the user's function will say why."""
    found = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                found.update(block)
    except OSError as error:
        return f"unreadable:{error.errno}:{path}"
    return found.hexdigest()


def _id_of(document: Any) -> str | None:
    for holder in (document, _read(document, "metadata"), _read(document, "meta")):
        for name in _IDS:
            value = _read(holder, name)
            if isinstance(value, str | int | Path) and value != "":
                return str(value)
    return None


def _of_origin(document: Any, digest: str) -> str:
    """A name for what says only where it was cut from: that, and its own content."""
    for holder in (document, _read(document, "metadata"), _read(document, "meta")):
        for name in _ORIGINS:
            value = _read(holder, name)
            if isinstance(value, str | Path) and value != "":
                return f"{value}"[: MAX_SOURCE - 13] + f"#{digest[:12]}"
    return digest


def _digest(document: Any) -> str:
    for name in _TEXTS:
        text = _read(document, name)
        if isinstance(text, str):
            return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    try:
        data = json.dumps(document, sort_keys=True).encode()
    except (TypeError, ValueError):
        try:
            data = pickle.dumps(document)
        except Exception:  # noqa: BLE001  (an object of the app's that cannot be pickled)
            data = repr(document).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _read(holder: Any, name: str) -> Any:
    if holder is None:
        return None
    value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
    return None if callable(value) else value
