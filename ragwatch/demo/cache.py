"""The built index, kept on disk: made once for a corpus, checked when opened, made again where it is damaged."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ragwatch.demo import build, builtin, corpus, document, folder, library, stdlib, text, topics, usage
from ragwatch.demo.build import META, build_index
from ragwatch.demo.errors import DemoInputError
from ragwatch.demo.index import Index

KEPT = 4  # indexes of one corpus, the newest; older ones are removed when a new one is made
_MAKERS = (build, builtin, corpus, document, folder, library, stdlib, text, topics, usage)


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/ragwatch/demo``, or ``~/.cache/ragwatch/demo``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ragwatch" / "demo"


def open_index(source: corpus.Corpus, cache_dir: Path) -> Index:
    """The index of a corpus: from the cache, or built and put there.

    Of several processes that come at once, one builds and the others wait. Raises ``DemoInputError`` where the corpus
    has no usable documents or the directory cannot be written.
    """
    place = cache_dir / f"{source.name}-{_key(source)}"
    found = _opened(place, source)
    if found is not None:
        return found
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _alone(cache_dir / f"{source.name}.lock"):
            found = _opened(place, source)
            if found is None:
                _build(source, place)
                _forget_old(cache_dir, source.name)
                found = _open(place, source)
            return found
    except OSError as error:
        advice = "give a directory that can be written"
        raise DemoInputError(cache_dir, f"the index cannot be kept there ({error.strerror})", advice=advice) from error


def _key(source: corpus.Corpus) -> str:
    """What the index depends on: the documents, the code that makes it, the libraries that it is made with."""
    digest = hashlib.blake2b(source.fingerprint().encode(), digest_size=10)
    for module in _MAKERS:
        digest.update(Path(str(module.__file__)).read_bytes())
    for name in ("numpy", "scikit-learn"):
        with contextlib.suppress(PackageNotFoundError):
            digest.update(version(name).encode())
    return digest.hexdigest()


def _opened(place: Path, source: corpus.Corpus) -> Index | None:
    """The index there if it is whole: every file has the digest that was noted when it was made."""
    try:
        noted = json.loads((place / META).read_text("utf-8"))
        if any(_digest(place / name) != value for name, value in noted["files"].items()):
            return None
        return _open(place, source)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _open(place: Path, source: corpus.Corpus) -> Index:
    return Index(place, source.thesaurus, coverage_weight=source.coverage_weight, root=source.root)


def _build(source: corpus.Corpus, place: Path) -> None:
    documents = source.documents()
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        build_index(documents, work)
        files = {path.name: _digest(path) for path in sorted(work.iterdir())}
        (work / META).write_text(json.dumps({"documents": len(documents), "files": files}), "utf-8")
        shutil.rmtree(place, ignore_errors=True)  # a damaged one
        work.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _forget_old(cache_dir: Path, name: str) -> None:
    indexes = sorted(cache_dir.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in indexes[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
