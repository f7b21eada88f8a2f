"""``pydoc_data.topics``, the language reference that ``help()`` shows, in sections.

A description of a known name (``str.split(sep=None, maxsplit=-1)`` and the paragraphs below it) belongs to that name's
document and not to a section.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterator

from ragwatch.demo.document import Document

MAX_SECTION = 2000  # characters; past this a section is cut between paragraphs
_UNDERLINE = re.compile(r"^(\*{3,}|={3,}|-{3,}|~{3,}|\^{3,}|\"{3,})$")
_ENTRY = re.compile(r"^(?:class |exception |classmethod |static )?([A-Za-z_][\w.]*)(\(.*|)$")


def topic_texts() -> dict[str, str]:
    """Topic → text, as this Python's ``help()`` has it."""
    texts: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    return texts


def topic_documents(
    known: Collection[str], texts: dict[str, str] | None = None
) -> tuple[list[Document], dict[str, str]]:
    """The sections (``topics/with.1``), and what the reference says about each of the ``known`` ids.

    Topics overlap (``compound`` repeats ``with``); a part stands once, in the shortest topic that has it.
    """
    sections: list[Document] = []
    notes: dict[str, str] = {}
    seen: set[str] = set()
    for topic, text in sorted((topic_texts() if texts is None else texts).items(), key=lambda item: len(item[1])):
        number = 0
        for heading, body in _sections(text):
            if body in seen:
                continue
            seen.add(body)
            rest = []
            for name, part in _entries(body):
                if name is not None and name in known:
                    notes.setdefault(name, part)
                else:
                    rest.append(part)
            for piece in cut("\n\n".join(rest), MAX_SECTION):
                number += 1
                title = f"{topic}: {heading}" if heading else topic
                sections.append(Document(f"topics/{topic}.{number}", title, piece, f"topic {topic}"))
    return sections, notes


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(heading, body) of each part; a heading is a line with a rule below it."""
    heading, body = "", list[str]()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line and _UNDERLINE.match(following) and len(following) >= len(line.rstrip()):
            yield heading, "\n".join(body)
            heading, body = line.strip().replace('"', ""), []
        elif not (_UNDERLINE.match(line) and number and lines[number - 1].strip()):
            body.append(line)
    yield heading, "\n".join(body)


def _entries(body: str) -> Iterator[tuple[str | None, str]]:
    """(name, text) of each description list entry, (None, text) for what stands between."""
    name: str | None = None
    part: list[str] = []
    for block in re.split(r"\n\s*\n", body.strip("\n")):
        first = block.split("\n", 1)[0]
        if not first.startswith(" ") and part:
            yield name, "\n\n".join(part)
            name, part = None, []
        if not part:
            entry = _ENTRY.match(first) if "\n" not in block or first.endswith(")") else None
            name = entry[1] if entry else None
        part.append(block)
    if part:
        yield name, "\n\n".join(part)


def cut(text: str, size: int) -> list[str]:
    r"""The text in pieces of about ``size`` characters, cut between paragraphs.

    >>> cut("one\n\ntwo\n\nthree", 9)
    ['one\n\ntwo', 'three']
    """
    pieces: list[str] = []
    piece = ""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if piece and len(piece) + len(paragraph) > size:
            pieces.append(piece)
            piece = paragraph
        else:
            piece = f"{piece}\n\n{paragraph}" if piece else paragraph
    return [part for part in [*pieces, piece] if part.strip()]
