"""How good a retrieval is, against labelled questions, each figure with its 95 % interval.

Definitions as in trec_eval and Manning, Raghavan, Schütze, "Introduction to Information Retrieval" (2008), chapter 8.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from math import log2
from typing import NamedTuple

from ragwatch.demo.golden import Golden
from ragwatch.kpi.quality import Estimate, mean_interval, wilson


class Evaluation(NamedTuple):
    """The figures of a run, each a mean over questions with its 95 % interval (Wilson for ``hit``, t else)."""

    k: int
    recall: Estimate
    hit: Estimate
    mrr: Estimate
    ndcg: Estimate
    average_precision: Estimate


def evaluate(
    golden: Iterable[Golden], search: Callable[[str], Sequence[str]], *, k: int = 5, cut: int | None = 10
) -> Evaluation:
    """Run ``search`` (question → ids, best first) over the questions.

    ``recall`` and ``hit`` are at ``k``; MRR and nDCG at ``cut`` (None: the whole list); MAP over the whole list. Raises
    ``ValueError`` where there is no question.

    >>> found = evaluate([Golden("q", frozenset({"a", "b"}))], lambda question: ["a", "x", "b"], k=2)
    >>> found.recall.value, found.hit.value, found.mrr.value, round(found.average_precision.value, 3)
    (0.5, 1.0, 1.0, 0.833)
    """
    rows = []
    for question in golden:
        ids, relevant = list(search(question.question)), question.relevant
        rows.append(
            (
                recall(ids[:k], relevant),
                float(hit(ids[:k], relevant)),
                reciprocal_rank(ids[:cut], relevant),
                ndcg(ids[:cut], relevant),
                average_precision(ids, relevant),
            )
        )
    if not rows:
        raise ValueError("there is no question to evaluate with")
    recalls, hits, ranks, gains, precisions = zip(*rows, strict=True)
    share = wilson(sum(hits), len(hits))
    assert share is not None  # noqa: S101  (there is at least one row)
    return Evaluation(k, _mean(recalls), share, _mean(ranks), _mean(gains), _mean(precisions))


def recall(ids: Sequence[str], relevant: Collection[str]) -> float:
    """The share of the relevant documents that was found: |found ∩ relevant| / |relevant|.

    >>> recall(["a", "x"], {"a", "b"})
    0.5
    """
    return len(set(ids).intersection(relevant)) / len(relevant) if relevant else 0.0


def hit(ids: Sequence[str], relevant: Collection[str]) -> bool:
    """Whether any relevant document was found.

    >>> hit(["x", "a"], {"a", "b"})
    True
    """
    return not set(relevant).isdisjoint(ids)


def reciprocal_rank(ids: Sequence[str], relevant: Collection[str]) -> float:
    """One over the rank of the first relevant document; 0 where there is none. Its mean is the MRR (Voorhees 1999).

    >>> reciprocal_rank(["x", "a"], {"a"})
    0.5
    """
    return next((1 / rank for rank, key in enumerate(ids, 1) if key in relevant), 0.0)


def ndcg(ids: Sequence[str], relevant: Collection[str]) -> float:
    """Normalised discounted cumulative gain with gain 1 for a relevant document, Σ 1 / log2(rank + 1) over the ideal.

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20 (2002).

    >>> ndcg(["a", "x"], {"a"}), round(ndcg(["x", "a"], {"a"}), 3)
    (1.0, 0.631)
    """
    gain = sum(1 / log2(rank + 1) for rank, key in enumerate(ids, 1) if key in relevant)
    ideal = sum(1 / log2(rank + 1) for rank in range(1, min(len(relevant), len(ids)) + 1))
    return gain / ideal if ideal else 0.0


def average_precision(ids: Sequence[str], relevant: Collection[str]) -> float:
    """The mean over the relevant documents of the precision at the rank of each; 0 for one that was not found.

    >>> average_precision(["a", "x", "b"], {"a", "b"})
    0.8333333333333333
    """
    found, total = 0, 0.0
    for rank, key in enumerate(ids, 1):
        if key in relevant:
            found += 1
            total += found / rank
    return total / len(relevant) if relevant else 0.0


def _mean(values: Sequence[float]) -> Estimate:
    estimate = mean_interval(sum(values), sum(value * value for value in values), len(values), bounds=(0.0, 1.0))
    assert estimate is not None  # noqa: S101  (there is at least one value)
    return estimate
