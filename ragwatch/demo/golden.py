"""Questions with the ids of the documents that answer them.

Three forms are read: JSON Lines with ``{"question": …, "relevant": [ids]}``, a test collection's ``queries.jsonl`` with
``qrels.tsv`` beside it (a relevance above 0 is relevant), and the demo's own file. A third of the demo's questions is
marked ``test`` and was never used for tuning.
"""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ragwatch.demo.errors import DemoInputError
from ragwatch.demo.jsonl import read_jsonl, read_text, text_field


class Golden(NamedTuple):
    """A question, the ids that answer it, and the part (``dev``, ``test``) that it belongs to, if any."""

    question: str
    relevant: frozenset[str]
    split: str | None = None


def packaged_golden(known: Collection[str]) -> list[Golden]:
    """The demo's own questions; names that this Python does not have (they come and go) are left out."""
    path = Path(str(importlib.resources.files("ragwatch.demo").joinpath("golden.jsonl")))
    found = (_question(path, line, value) for line, value in read_jsonl(path))
    kept = (golden._replace(relevant=golden.relevant.intersection(known)) for golden in found)
    return [golden for golden in kept if golden.relevant]


def load_golden(path: Path, known: Collection[str]) -> list[Golden]:
    """The questions of a file or of a test collection's directory.

    Raises ``DemoInputError`` with file and line for what cannot be read, and for ids that no document has.
    """
    if path.is_dir():
        found = _collection(path)
        if found is None:
            raise DemoInputError(path, "no labels", advice="queries.jsonl with qrels.tsv, or golden.jsonl, is wanted")
        path, lines = found
    elif path.name == "queries.jsonl" and (path.parent / "qrels.tsv").is_file():
        lines = _with_qrels(path, path.parent / "qrels.tsv")
    else:
        lines = last_words(
            (line, _question(path, line, value)) for line, value in read_jsonl(path, grows=True) if not _is_bad(value)
        )
    if not lines:
        raise DemoInputError(path, "no questions", advice='write {"question": …, "relevant": [ids]} a line')
    for line, golden in lines:
        _check(path, line, golden, known)
    return [golden for _, golden in lines]


def folder_golden(root: Path, known: Collection[str]) -> list[Golden] | None:
    """The questions that lie in the directory of the documents, or None."""
    return load_golden(root, known) if _has_labels(root) else None


def _has_labels(root: Path) -> bool:
    return (root / "golden.jsonl").is_file() or ((root / "queries.jsonl").is_file() and (root / "qrels.tsv").is_file())


def _collection(root: Path) -> tuple[Path, list[tuple[int, Golden]]] | None:
    if not _has_labels(root):
        return None
    golden = root / "golden.jsonl"
    if golden.is_file():
        return golden, last_words(
            (line, _question(golden, line, value))
            for line, value in read_jsonl(golden, grows=True)
            if not _is_bad(value)
        )
    return root / "qrels.tsv", _with_qrels(root / "queries.jsonl", root / "qrels.tsv")


def _question(path: Path, line: int, value: dict[str, Any]) -> Golden:
    question = text_field(path, line, value, ("question", "query", "text"))
    ids = next((value[name] for name in ("relevant", "ids", "relevant_ids", "documents") if name in value), None)
    if isinstance(ids, str | int):
        ids = [ids]
    if not isinstance(ids, list) or not ids or not all(isinstance(key, str | int) for key in ids):
        advice = 'write "relevant": ["id", …] with the ids of the documents that answer the question'
        raise DemoInputError(path, 'no list of ids in "relevant"', line=line, advice=advice)
    split = value.get("split")
    return Golden(question, frozenset(map(str, ids)), split if isinstance(split, str) else None)


def last_words(lines: Iterable[tuple[int, Golden]]) -> list[tuple[int, Golden]]:
    """Each question once, where it first stood: the last line that says what answers it is the one that counts.

    A file that grows as answers are judged is never rewritten; who thinks again adds a line.

    >>> a, b = Golden("why", frozenset("a")), Golden("how", frozenset("b"))
    >>> [(line, *golden.relevant) for line, golden in last_words([(1, a), (2, b), (3, a._replace(relevant={"c"}))])]
    [(3, 'c'), (2, 'b')]
    """
    found: dict[str, tuple[int, Golden]] = {}
    for line, golden in lines:
        found[golden.question] = line, golden
    return list(found.values())


def _is_bad(value: dict[str, Any]) -> bool:
    """A line of ``ragwatch explore`` that says that an answer was wrong, and not what would be right."""
    return value.get("judgement") == "bad" and "relevant" not in value


def _with_qrels(queries: Path, qrels: Path) -> list[tuple[int, Golden]]:
    """(line of the first judgement, question) for each query that has a relevant document, as trec_eval counts."""
    texts = {
        text_field(queries, line, value, ("id", "_id", "query_id")): text_field(
            queries, line, value, ("text", "query", "question")
        )
        for line, value in read_jsonl(queries)
    }
    relevant: dict[str, set[str]] = {}
    first: dict[str, int] = {}
    for number, line in enumerate(read_text(qrels).split("\n"), 1):
        fields = line.split()
        if not fields or (number == 1 and not fields[-1].lstrip("-").isdigit()):
            continue
        if len(fields) not in {3, 4} or not fields[-1].lstrip("-").isdigit():
            advice = "write query id, document id and relevance, parted by tabs"
            raise DemoInputError(qrels, "not a judgement", line=number, advice=advice)
        query, document, grade = fields[0], fields[-2], int(fields[-1])
        if query not in texts:
            raise DemoInputError(qrels, f'no query has the id "{query}"', line=number, advice=f"see {queries.name}")
        if grade > 0:
            relevant.setdefault(query, set()).add(document)
            first.setdefault(query, number)
    return [(first[key], Golden(texts[key], frozenset(ids))) for key, ids in relevant.items()]


def _check(path: Path, line: int, golden: Golden, known: Collection[str]) -> None:
    unknown = sorted(golden.relevant.difference(known))
    if not unknown:
        return
    sections = [key for key in known if key.startswith(f"{unknown[0]}#")][:3]
    near = sections or difflib.get_close_matches(unknown[0], known, 3)
    advice = f"did you mean {', '.join(near)}?" if near else "give ids of the documents that are indexed"
    raise DemoInputError(path, f'no document has the id "{unknown[0]}"', line=line, advice=advice)
