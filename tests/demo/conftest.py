from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragwatch.demo.cache import open_index
from ragwatch.demo.corpus import PythonCorpus
from ragwatch.demo.index import Index

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "demo"
CRANFIELD = ROOT.parent / "shared" / "collections" / "cranfield"


@pytest.fixture(scope="session")
def python_index() -> Iterator[Index]:
    """The index of this Python, built once for all test processes and kept between runs."""
    with open_index(PythonCorpus(), CACHE) as index:
        yield index


@pytest.fixture(scope="session")
def cranfield() -> Path:
    if not (CRANFIELD / "corpus.jsonl").is_file():
        pytest.skip("the Cranfield collection is not beside the checkout (../shared/collections/cranfield)")
    return CRANFIELD


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Index]:
    """An index of six short documents."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in {
        "copy.md": "# Copying\n\nCopy a directory tree with everything in it.",
        "move.md": "# Moving\n\nMove a file to another directory.",
        "delete.md": "# Deleting\n\nRemove a directory tree. This cannot be undone.",
        "clock.md": "# Clock\n\nThe monotonic clock never goes backwards.",
        "zone.md": "# Zones\n\nA time zone knows its offset from UTC.",
        "json.md": "# JSON\n\nWrite an object as JSON text.",
    }.items():
        (docs / name).write_text(text)
    from ragwatch.demo.folder import FolderCorpus

    with open_index(FolderCorpus(docs), tmp_path / "cache") as index:
        yield index
