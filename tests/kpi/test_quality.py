"""Intervals agree with scipy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ragwatch.kpi.quality import mean_interval, t_quantile, wilson


@given(st.integers(1, 500), st.data())
def test_wilson_agrees_with_scipy(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    estimate = wilson(hits, n)
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert estimate is not None
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 2000), st.floats(0.6, 0.9995))
def test_t_quantile_agrees_with_scipy(degrees: int, p: float) -> None:
    assert t_quantile(p, degrees) == pytest.approx(stats.t.ppf(p, degrees), rel=1e-6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50).filter(lambda values: max(values) - min(values) > 1e-6))
def test_mean_interval_agrees_with_scipy(values: list[float]) -> None:
    estimate = mean_interval(sum(values), sum(value**2 for value in values), len(values))
    low, high = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values))
    assert estimate is not None
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-6)


def test_no_observation_is_no_figure() -> None:
    assert wilson(0, 0) is None
    assert mean_interval(0.0, 0.0, 0) is None


def test_one_observation_says_nothing_of_the_spread() -> None:
    estimate = mean_interval(0.5, 0.25, 1, bounds=(0.0, 1.0))
    assert estimate is not None
    assert (estimate.low, estimate.high) == (0.0, 1.0)
