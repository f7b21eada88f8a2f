"""Which questions are asked: from a file, in turn or repeating as people's do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from ragwatch.demo.golden import Golden
from ragwatch.demo.jsonl import grown_lines
from ragwatch.errors import ConfigError

_QUESTIONS = ("question", "query", "text")
_RELEVANT = ("relevant", "ids", "relevant_ids", "documents")


def read_questions(path: Path, source: str = "--questions") -> list[Golden]:
    """The questions of a file: one a line, or JSON Lines with ``question`` and, where known, ``relevant`` ids.

    A question may stand there several times, and is then asked so often. A line that judges one (``relevant``, or
    ``judgement`` as ``ragwatch explore`` writes it) asks nothing where the question stands there already: the last
    ``relevant`` is what answers it. ``ConfigError`` with the line of what cannot be read, and for a file without
    questions.
    """
    import json

    from ragwatch.demo.errors import DemoInputError

    try:
        lines = grown_lines(path)
    except DemoInputError as error:
        raise ConfigError(str(path), str(error).partition(": ")[2], source=source) from None
    found: list[str] = []
    relevant: dict[str, frozenset[str]] = {}
    known: set[str] = set()
    for number, line in lines:
        if not line.lstrip().startswith("{"):
            found.append(line.strip())
            known.add(line.strip())
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ConfigError(str(path), f"line {number} is no JSON: {error}", source=source) from None
        question = next((value[name] for name in _QUESTIONS if isinstance(value.get(name), str)), None)
        if question is None:
            raise ConfigError(str(path), f'line {number} has no "question"', source=source)
        question = question.strip()
        ids = next((value[name] for name in _RELEVANT if isinstance(value.get(name), list)), None)
        if ids is not None:
            relevant[question] = frozenset(map(str, ids))
        if (ids is None and "judgement" not in value) or question not in known:
            found.append(question)
        known.add(question)
    if not found:
        raise ConfigError(
            str(path), 'has no question in it: write one a line, or {"question": …, "relevant": [ids]}', source=source
        )
    return [Golden(question, relevant.get(question, frozenset())) for question in found]


def mixed(questions: Sequence[Golden], exponent: float, dice: Random) -> Iterator[Golden]:
    """Questions without end: each in turn for ``exponent`` 0, else that of rank r with weight 1 / r^exponent.

    Ranks are dealt by ``dice``; the same dice give the same sequence.

    >>> a, b = (Golden(text, frozenset()) for text in "ab")
    >>> [golden.question for golden in itertools.islice(mixed([a, b], 0, Random(1)), 3)]
    ['a', 'b', 'a']
    """
    if exponent <= 0:
        yield from itertools.cycle(questions)
    ranked = list(questions)
    dice.shuffle(ranked)
    weights = list(itertools.accumulate(1 / rank**exponent for rank in range(1, len(ranked) + 1)))
    while True:
        yield from dice.choices(ranked, cum_weights=weights, k=64)
