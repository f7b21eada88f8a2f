"""Words: how documents and questions are cut, and how identifiers are taken apart.

``copytree``, ``copy_tree`` and ``CopyTree`` all hold the words *copy* and *tree*; people ask with those.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

STOP_WORDS = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being below between both but by
    can could did do does doing down each few for from further get had has have having he her here hers him his how i if
    in into is it its itself just let make me more most must my no nor not of off on once one only or other our out over
    own same she should so some such than that the their them then there these they this those through to too under
    until up use using very want was way we were what when where which while who whom why will with without would you
    your python
    """.split()  # noqa: SIM905  (a list of words reads as text)
)
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(`*])|\n\s*\n|\n(?=\s*(?:[-*•]|>>>|\d+\.)\s)")


def words(text: str) -> list[str]:
    """The words of a text in lower case; an underscore parts words.

    >>> words("os.path.join joins path_like Names")
    ['os', 'path', 'join', 'joins', 'path', 'like', 'names']
    """
    return [word.lower() for word in _WORD.findall(text)]


def query_words(question: str) -> list[str]:
    """The words of a question that carry meaning, each once; all of them where every one is a stop word.

    >>> query_words("How do I copy a directory tree?"), query_words("what is it")
    (['copy', 'directory', 'tree'], ['what', 'is', 'it'])
    """
    found = list(dict.fromkeys([*words(question), *camel_parts(question)]))
    return [word for word in found if word not in STOP_WORDS] or found


def camel_parts(text: str) -> list[str]:
    """The words inside CamelCase names.

    >>> camel_parts("ThreadPoolExecutor runs HTTPServer")
    ['thread', 'pool', 'executor', 'http', 'server']
    """
    parts: list[str] = []
    for word in _WORD.findall(text):
        pieces = _CAMEL.findall(word)
        if len(pieces) > 1 and not word.isdigit():
            parts.extend(piece.lower() for piece in pieces)
    return parts


def compound_parts(word: str, known: Collection[str]) -> list[str]:
    """A lower-case compound taken apart into two known words; [] where it cannot be.

    >>> compound_parts("copytree", {"copy", "tree"}), compound_parts("lambda", {"copy", "tree"})
    (['copy', 'tree'], [])
    """
    if len(word) < 6:
        return []
    cuts = [(word[:at], word[at:]) for at in range(3, len(word) - 2) if word[:at] in known and word[at:] in known]
    return list(max(cuts, key=lambda cut: min(map(len, cut)))) if cuts else []


def stem(word: str) -> str:
    """The word without plural and verb endings: Harman's S stemmer, and *-ing*, *-ed*, *-er* cut.

    Harman, "How effective is suffixing?", JASIS 42 (1991).

    >>> [stem(word) for word in ("queries", "copies", "files", "copying", "sorted", "class", "string")]
    ['query', 'copy', 'file', 'copy', 'sort', 'class', 'string']
    """
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed"):
        head = word.removesuffix(ending)
        if head != word and len(head) > 3 and any(vowel in head for vowel in "aeiouy"):
            word = head[:-1] if len(head) > 4 and head[-1] == head[-2] and head[-1] not in "ls" else head
            break
    return word.removesuffix("e") if len(word) > 4 else word


def stems(found: Iterable[str]) -> list[str]:
    """The stems of words that are no stop words."""
    return [stem(word) for word in found if word not in STOP_WORDS]


def sentences(text: str) -> list[str]:
    r"""The sentences of a text, white space made single.

    >>> sentences("Copy a tree. The result\nis new.\n\nSee also move")
    ['Copy a tree.', 'The result is new.', 'See also move']
    """
    parts = (" ".join(part.split()) for part in _SENTENCE.split(text))
    return [part for part in parts if part]
