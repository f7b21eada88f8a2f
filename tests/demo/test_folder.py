from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ragwatch.demo.errors import DemoInputError
from ragwatch.demo.folder import FolderCorpus


def test_small_files_are_documents_under_their_path(tmp_path: Path) -> None:
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "install.md").write_text("# Install it\n\nRun the installer.\n")
    (tmp_path / "notes.txt").write_text("\ufeffPlain text.", "utf-8")
    (tmp_path / "page.html").write_text(
        "<title>Page</title><nav>menu</nav><h1>Start</h1><p>One &amp; two.</p><script>no()</script>"
    )
    (tmp_path / ".hidden.md").write_text("no")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    found = {document.id: document for document in FolderCorpus(tmp_path).documents()}
    assert sorted(found) == ["guide/install.md", "notes.txt", "page.html"]
    assert found["guide/install.md"].title == "Install it"
    assert found["notes.txt"].text == "Plain text."
    assert found["page.html"].text == "Page\n\nStart\n\nOne & two."


def test_a_big_file_is_cut_at_its_headings(tmp_path: Path) -> None:
    part = "word " * 200
    text = f"# Guide\n\n{part}\n\n## On Linux\n\n{part}\n\n```\n# no heading\n```\n\n"
    text += f"## On Linux\n\n{part}\n\n{part}\n\n{part}"
    (tmp_path / "guide.md").write_text(text)
    found = FolderCorpus(tmp_path).documents()
    assert [document.id for document in found] == [
        "guide.md#guide",
        "guide.md#on-linux",
        "guide.md#on-linux.2",
        "guide.md#on-linux.3",
    ]
    assert found[1].title == "Guide: On Linux"
    assert "# no heading" in found[1].text


def test_json_lines_keep_their_ids(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"id": 7, "title": "Seven", "text": "t"}\n\n{"_id": "x", "text": "u"}\n')
    assert [(d.id, d.title, d.text) for d in FolderCorpus(tmp_path).documents()] == [
        ("7", "Seven", "t"),
        ("x", "x", "u"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"id": "a", "text": "x"}\n{"id": ', "docs.jsonl, line 2: not JSON"),
        ('{"id": "a", "text": "x"}\n[1]\n', "docs.jsonl, line 2: not a JSON object"),
        (
            '{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}',
            'line 2: the id "a" comes twice (first in docs.jsonl:1)',
        ),
        ('{"id": "a", "body": "x"}', 'docs.jsonl, line 1: no "text"; the line has "id", "body"'),
        ('{"text": "x"}', 'docs.jsonl, line 1: no "id" or "_id"'),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "docs.jsonl").write_text(content)
    with pytest.raises(DemoInputError) as caught:
        FolderCorpus(tmp_path).documents()
    assert said in str(caught.value)


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("one\ntwo é".encode("latin-1"))
    with pytest.raises(DemoInputError, match=r"a\.txt, line 2: not UTF-8; save the file as UTF-8"):
        FolderCorpus(tmp_path).documents()


def test_a_directory_without_documents_says_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(DemoInputError, match=r"no documents; put files there that end in .*\.md"):
        FolderCorpus(tmp_path).documents()


def test_what_is_no_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DemoInputError, match="no such directory"):
        FolderCorpus(tmp_path / "missing")
    with pytest.raises(DemoInputError, match="not a directory"):
        FolderCorpus(tmp_path / "file")


@contextmanager
def without_rights() -> Iterator[None]:
    """Where the tests run as root, which may read everything: for a while as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_missing_permission_is_said(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "a.md").write_text("text")
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "b.md").write_text("text")
    corpus = FolderCorpus(tmp_path / "open")
    (tmp_path / "open" / "b.md").chmod(0)
    (tmp_path / "closed").chmod(0)
    try:
        with without_rights(), pytest.raises(DemoInputError, match=r"closed: no permission to read; check the owner"):
            FolderCorpus(tmp_path / "closed")
        with without_rights(), pytest.raises(DemoInputError, match=r"(no permission to read|cannot be read)"):
            corpus.documents()
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("one")
    before = FolderCorpus(tmp_path).fingerprint()
    assert FolderCorpus(tmp_path).fingerprint() == before
    (tmp_path / "a.md").write_text("other")
    assert FolderCorpus(tmp_path).fingerprint() != before
