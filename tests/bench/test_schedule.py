"""When questions are due."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ragwatch.bench.load import Phase
from ragwatch.bench.schedule import arrivals

RATES = st.floats(0.5, 200)


@given(first=RATES, last=RATES, seconds=st.floats(0.5, 20))
def test_as_many_are_due_as_the_rate_says_within_the_phase_and_in_order(
    first: float, last: float, seconds: float
) -> None:
    due = list(arrivals(Phase(first, last, seconds)))
    assert abs(len(due) - (first + last) / 2 * seconds) <= 1
    assert all(0 <= at < seconds for at in due)
    assert all(before <= after for before, after in pairwise(due))


@given(first=RATES, last=RATES, share=st.floats(0.1, 0.9))
def test_a_ramp_has_its_share_of_questions_at_every_moment(first: float, last: float, share: float) -> None:
    at = 10 * share
    due = sum(when < at for when in arrivals(Phase(first, last, 10)))
    assert abs(due - (first * at + (last - first) * at * at / 20)) <= 1


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    counts = [len(list(arrivals(Phase(10, 10, 10), Random(seed)))) for seed in range(400)]
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    assert abs(mean - 100) < 2
    assert 0.75 < variance / mean < 1.3


def test_the_same_dice_give_the_same_arrivals() -> None:
    phase = Phase(5, 50, 4)
    assert list(arrivals(phase, Random(7))) == list(arrivals(phase, Random(7)))
