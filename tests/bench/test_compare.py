"""A comparison tells apart what differs, and not what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ragwatch.bench.compare import FALSE_ALARMS, FEWEST_RUNS, compare
from ragwatch.bench.tally import FINENESS

NULL_RUNS = 200
MOST_ALARMS = 18  # of 200 at 5 %: the 99 % point of the binomial distribution


def made(
    dice: np.random.Generator,
    *,
    runs: int,
    questions: int,
    between: float = 0.0,
    slower: float = 1.0,
    lost: float = 0.0,
) -> dict[str, Any]:
    """A report of an app with log-normal latencies whose runs differ by ``between``."""
    found = []
    for _ in range(runs):
        level = dice.normal(np.log(0.1 * slower), between)
        slices = []
        parts = 20 if runs < FEWEST_RUNS else 1
        for _ in range(parts):
            count = questions // parts
            buckets, times = np.unique(np.round(dice.normal(level, 0.5, count) * FINENESS), return_counts=True)
            slices.append(
                {
                    "latency": {str(int(bucket)): int(n) for bucket, n in zip(buckets, times, strict=True)},
                    "answered": int(count - dice.binomial(count, lost)),
                    "done": count,
                    "seconds": count / 50,
                    "recall": [float(dice.binomial(count, 0.7)), count],
                }
            )
        found.append({"phases": [{"slices": slices}]})
    return {"load": {"is_open": True}, "runs": found}


@pytest.mark.parametrize(("runs", "questions", "between", "units"), [(1, 1000, 0.0, "slices"), (5, 400, 0.1, "runs")])
def test_equals_are_told_apart_no_more_often_than_it_claims(
    runs: int, questions: int, between: float, units: str
) -> None:
    dice = np.random.default_rng(5)
    alarms = 0
    for _ in range(NULL_RUNS):
        verdict = compare(*(made(dice, runs=runs, questions=questions, between=between) for _ in range(2)))
        assert (verdict.units, verdict.false_alarms) == (units, FALSE_ALARMS)
        alarms += any(difference.verdict != "same" for difference in verdict.differences)
    assert alarms <= MOST_ALARMS


def test_a_slower_app_is_found_and_by_how_much() -> None:
    dice = np.random.default_rng(6)
    old, new = (made(dice, runs=5, questions=1000, between=0.03, slower=factor) for factor in (1.0, 1.3))
    verdict = compare(old, new)
    found = {difference.figure: difference for difference in verdict.differences}
    assert found["p95"].verdict == found["p50"].verdict == "worse"
    assert found["p95"].low is not None
    assert found["p95"].high is not None
    assert found["p95"].low < 0.3 < found["p95"].high
    assert verdict.regression == pytest.approx(0.3, abs=0.12)
    assert found["recall_at_5"].verdict == "same"
    assert {row.verdict for row in compare(new, old).differences if row.figure == "p95"} == {"better"}


def test_lost_answers_are_a_regression() -> None:
    dice = np.random.default_rng(7)
    verdict = compare(made(dice, runs=1, questions=1000), made(dice, runs=1, questions=1000, lost=0.2))
    assert {row.verdict for row in verdict.differences if row.figure == "answered"} == {"worse"}
    assert verdict.regression == pytest.approx(0.2, abs=0.05)


def test_a_quantile_with_too_little_beyond_it_is_not_compared() -> None:
    dice = np.random.default_rng(8)
    verdict = compare(made(dice, runs=1, questions=200), made(dice, runs=1, questions=200))
    assert {row.figure for row in verdict.differences} == {"p50", "p95", "answered", "recall_at_5"}
