"""Reading the candidates again: how much of the question a document's first sentences, and its text, speak of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ragwatch.demo.text import sentences, stem, words

# Weights of coverage against a fused score of 1 for the first candidate, fitted by pairwise logistic regression on the
# dev questions (fitted 0.52 and 0.52; recall@5 of five folds 0.61, against 0.51 without).
SUMMARY_WEIGHT = 0.5
TEXT_WEIGHT = 0.5
OTHER_WORD = 0.7  # what another word for a word of the question is worth
MAX_SUMMARY = 300  # characters
MAX_TEXT = 1500
_stem = lru_cache(maxsize=50_000)(stem)


def reranked(
    concepts: Mapping[str, tuple[str, ...]],
    hits: Sequence[dict[str, Any]],
    idf: Callable[[str], float],
    *,
    weight: float = 1.0,
) -> list[dict[str, Any]]:
    """The hits in a new order, with new scores: fused score (1 for the best) plus weighted coverage of the question.

    ``concepts`` are the words of the question with the other words for each; a word counts by its ``idf``. ``weight``
    is how much coverage counts: long texts cover most words of any question.
    """
    wanted = [(_stem(word), {_stem(other) for other in others}, idf(_stem(word))) for word, others in concepts.items()]
    best = max((hit["score"] for hit in hits), default=1) or 1
    scored = []
    for hit in hits:
        body = body_of(hit["text"])
        about = _stems(" ".join(sentences(body[:MAX_TEXT])[:2])[:MAX_SUMMARY])
        text = _stems(hit["text"][:MAX_TEXT])
        covered = SUMMARY_WEIGHT * _coverage(wanted, about) + TEXT_WEIGHT * _coverage(wanted, text)
        score = hit["score"] / best + weight * covered
        scored.append({**hit, "score": score})
    return sorted(scored, key=lambda hit: -hit["score"])


def body_of(text: str) -> str:
    r"""A document without its first paragraph where that is a signature or a heading.

    >>> body_of("copytree(src, dst)\n\nRecursively copy a tree."), body_of("One paragraph.")
    ('Recursively copy a tree.', 'One paragraph.')
    """
    first, _, rest = text.partition("\n\n")
    return rest if rest and not first.rstrip().endswith((".", "!", "?", ":")) else text


def _stems(text: str) -> frozenset[str]:
    return frozenset(map(_stem, words(text)))


def _coverage(wanted: Sequence[tuple[str, set[str], float]], found: frozenset[str]) -> float:
    total = sum(weight for _, _, weight in wanted)
    if not total:
        return 0.0
    covered = sum(
        weight * (1 if word in found else OTHER_WORD if found & others else 0) for word, others, weight in wanted
    )
    return covered / total
