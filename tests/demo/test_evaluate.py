from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwatch.demo.evaluate import average_precision, evaluate, hit, ndcg, recall, reciprocal_rank
from ragwatch.demo.golden import Golden

KEYS = st.lists(st.sampled_from("abcdefgh"), unique=True)


def test_figures_carry_their_intervals_and_n() -> None:
    golden = [Golden(str(n), frozenset({"a"})) for n in range(10)]
    found = evaluate(golden, lambda question: ["a"] if int(question) < 8 else ["x"], k=5)
    assert found.hit.value == 0.8
    assert (round(found.hit.low, 3), round(found.hit.high, 3)) == (0.49, 0.943)  # Wilson
    assert found.recall.n == 10
    assert found.recall.low == pytest.approx(0.8 - 2.262 * 0.4216 / 10**0.5, abs=1e-3)  # Student's t, 9 degrees
    assert found.recall.high == 1.0


def test_without_a_question_there_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no question"):
        evaluate([], lambda question: [])


def test_ndcg_is_one_when_all_that_fits_is_relevant() -> None:
    assert ndcg(["a", "b"], {"a", "b", "c"}) == 1.0
    assert ndcg([], {"a"}) == 0.0


@given(KEYS, st.frozensets(st.sampled_from("abcdefgh"), min_size=1))
def test_every_figure_is_a_share_and_order_only_helps(ids: list[str], relevant: frozenset[str]) -> None:
    best = sorted(ids, key=lambda key: key not in relevant)
    for figure in (recall, ndcg, reciprocal_rank, average_precision):
        assert 0 <= figure(ids, relevant) <= figure(best, relevant) <= 1
    assert hit(ids, relevant) == (recall(ids, relevant) > 0)
