"""The user's own documents: a directory of Markdown, text, HTML and JSON Lines.

A small file is one document under its relative path (``guide/install.md``); a big one is cut at its headings
(``guide/install.md#on-linux``), and a long section between paragraphs (``guide/install.md#on-linux.2``). JSON Lines
documents keep their own ids and are never cut, so that labels made for them hold.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from ragwatch.demo.document import Document
from ragwatch.demo.errors import DemoInputError
from ragwatch.demo.jsonl import read_jsonl, read_text, text_field
from ragwatch.demo.topics import cut

MAX_DOCUMENT = 3000  # characters; past this a file is cut at its headings
MAX_SECTION = 2000
MARKDOWN = frozenset({".md", ".markdown"})
PLAIN = frozenset({".txt", ".text", ".rst"})
HTML = frozenset({".html", ".htm"})
LINES = frozenset({".jsonl", ".ndjson"})
READ = MARKDOWN | PLAIN | HTML | LINES
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
Section = tuple[str, str]  # heading, body


class FolderCorpus:
    """A directory of documents; raises ``DemoInputError`` where it is not one or cannot be read."""

    thesaurus: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    # Measured on Cranfield (abstracts of 150 words), nDCG@10: 0.40 at 0.2, 0.38 at 1, 0.41 without a reranker.
    coverage_weight = 0.2

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = re.sub(r"\W+", "-", root.resolve().name).strip("-") or "documents"
        advice = "give the directory that holds the documents"
        try:
            if not root.exists():
                raise DemoInputError(root, "no such directory", advice=advice)
            if not root.is_dir():
                raise DemoInputError(root, "not a directory", advice=advice)
            next(root.iterdir(), None)
        except PermissionError:
            advice = "check the owner and mode of the directory"
            raise DemoInputError(root, "no permission to read", advice=advice) from None

    def files(self) -> list[Path]:
        """The files that hold documents, in a stable order; hidden ones and the labels beside a corpus are not."""
        try:
            top = {path.name for path in self.root.iterdir()}
        except OSError as error:
            _unreadable(error)
        if "corpus.jsonl" in top:  # a test collection: what lies beside is about it, not of it
            return [self.root / "corpus.jsonl"]
        labels = {self.root / "queries.jsonl", self.root / "golden.jsonl"}
        found: list[Path] = []
        for folder, subfolders, names in os.walk(self.root, onerror=_unreadable):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            paths = (Path(folder, name) for name in sorted(names) if not name.startswith("."))
            found.extend(path for path in paths if path not in labels and path.suffix.lower() in READ)
        return found

    def fingerprint(self) -> str:
        """A digest over the names, sizes and times of the files."""
        digest = hashlib.blake2b(str(self.root.resolve()).encode(), digest_size=16)
        for path in self.files():
            status = path.stat()
            digest.update(f"{path.relative_to(self.root)} {status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def documents(self) -> list[Document]:
        """All documents; raises ``DemoInputError`` for a broken file, an id that comes twice, an empty directory."""
        found: dict[str, Document] = {}
        for path in self.files():
            for line, document in self._read(path):
                if document.id in found:
                    raise DemoInputError(
                        path,
                        f'the id "{document.id}" comes twice (first in {found[document.id].source})',
                        line=line,
                        advice="give each document an id of its own",
                    )
                found[document.id] = document
        if not found:
            raise DemoInputError(
                self.root, "no documents", advice=f"put files there that end in {', '.join(sorted(READ))}"
            )
        return list(found.values())

    def _read(self, path: Path) -> Iterator[tuple[int | None, Document]]:
        name = path.relative_to(self.root).as_posix()
        if path.suffix.lower() in LINES:
            for line, value in read_jsonl(path):
                key = text_field(path, line, value, ("id", "_id"))
                title = str(value.get("title") or "")
                yield line, Document(key, title or key, text_field(path, line, value, ("text",)), f"{name}:{line}")
            return
        text = read_text(path)
        if path.suffix.lower() in HTML:
            page = _Page()
            page.feed(text)
            page.close()
            sections = page.sections()
        else:
            sections = markdown_sections(text) if path.suffix.lower() in MARKDOWN else [("", text)]
        for document in _documents(name, sections):
            yield None, document


def _unreadable(error: OSError) -> NoReturn:
    advice = "check the owner and mode of the directory"
    raise DemoInputError(str(error.filename), f"cannot be read ({error.strerror})", advice=advice) from None


def markdown_sections(text: str) -> list[Section]:
    r"""(heading, body) of each part of a Markdown text; a ``#`` in a code block is no heading.

    >>> markdown_sections("# A\none\n## B\ntwo")
    [('A', 'one'), ('B', 'two')]
    """
    sections: list[tuple[str, list[str]]] = [("", [])]
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        heading = None if fenced else _HEADING.match(line)
        if heading:
            sections.append((heading[2], []))
        else:
            sections[-1][1].append(line)
    return [(title, "\n".join(body).strip()) for title, body in sections if title or "\n".join(body).strip()]


def _documents(name: str, sections: list[Section]) -> Iterator[Document]:
    title = next((heading for heading, _ in sections if heading), "") or name
    whole = "\n\n".join("\n\n".join(filter(None, section)) for section in sections).strip()
    if len(whole) <= MAX_DOCUMENT:
        if whole:
            yield Document(name, title, whole, name)
        return
    used: dict[str, int] = {}
    for heading, body in sections:
        slug = re.sub(r"\W+", "-", heading.lower()).strip("-") or "top"
        for piece in cut(body, MAX_SECTION):
            used[slug] = used.get(slug, 0) + 1
            key = f"{name}#{slug}" + (f".{used[slug]}" if used[slug] > 1 else "")
            full = title if heading in {"", title} else f"{title}: {heading}"
            yield Document(key, full, piece, name)


class _Page(HTMLParser):
    """The text of an HTML page by headings; scripts, styles and navigation are left out."""

    SKIPPED = frozenset({"script", "style", "nav", "template", "noscript", "svg"})
    BLOCKS = frozenset({"p", "div", "li", "tr", "pre", "section", "article", "table", "ul", "ol", "dt", "dd", "br"})
    HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._found: list[tuple[list[str], list[str]]] = [([], [])]
        self._skipping = 0
        self._in_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Begin a section at a heading, a paragraph at a block."""
        self._skipping += tag in self.SKIPPED
        if tag in self.HEADINGS:
            self._in_heading = True
            self._found.append(([], []))
        elif tag in self.BLOCKS:
            self._found[-1][1].append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        """End what the start began."""
        self._skipping -= tag in self.SKIPPED and self._skipping > 0
        if tag in self.HEADINGS:
            self._in_heading = False

    def handle_data(self, data: str) -> None:
        """Text of the heading or of the body."""
        if not self._skipping:
            self._found[-1][0 if self._in_heading else 1].append(data)

    def sections(self) -> list[Section]:
        """(heading, body), empty ones left out."""
        found = []
        for heading, body in self._found:
            paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", "".join(body))]
            text = "\n\n".join(part for part in paragraphs if part)
            title = " ".join("".join(heading).split())
            if text or title:
                found.append((title, text))
        return found
