"""The small PromQL for pictures of an agent: what it says, and what it refuses."""

from __future__ import annotations

import math

import pytest

from ragwatch.errors import RagwatchError
from ragwatch.monitoring.promql_eval import Samples, Vector, evaluate
from ragwatch.monitoring.promql_tree import parse


def sampled() -> Samples:
    samples = Samples()
    for second in range(11):
        restarted = second if second < 6 else second - 6
        shown: list[tuple[str, dict[str, str], float]] = [
            ("a_total", {"app": "x", "kind": "one"}, float(second)),
            ("a_total", {"app": "x", "kind": "two"}, 2.0 * second),
            ("reset_total", {}, float(restarted)),
            ("level", {"app": "x"}, 3.0),
            *(("d_bucket", {"le": edge}, count * second) for edge, count in (("1", 1.0), ("2", 3.0), ("+Inf", 4.0))),
        ]
        if second < 4:
            shown.append(("gone", {}, 1.0))
        samples.add(second, shown)
    return samples


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(rate(a_total[5s]))", {(): 3.0}),
        ("sum by (kind) (increase(a_total[5s]))", {(("kind", "one"),): 5.0, (("kind", "two"),): 10.0}),
        ('a_total{kind=~"t.*"} * 2 + 1', {(("app", "x"), ("kind", "two")): 41.0}),
        ('a_total{kind!="one"} > 100', {}),
        ('sum(a_total{kind!="one"} > bool 100)', {(): 0.0}),
        ("gone", {}),
        ("sum(gone) or 0 * sum(level)", {(): 0.0}),
        ("sum(level) / (sum(level) > 5)", {}),
        ("sum by (kind) (a_total) / scalar(sum(level))", {(("kind", "one"),): 10 / 3, (("kind", "two"),): 20 / 3}),
        ("histogram_quantile(0.5, sum by (le) (rate(d_bucket[5s])))", {(): 1.5}),
        ("histogram_quantile(0.99, sum by (le) (rate(d_bucket[5s])))", {(): 2.0}),
        ("sqrt(sum(level) ^ 2) - 1", {(): 2.0}),
        ("max by (app) (a_total) unless level", {}),
        ("count(a_total)", {(): 2.0}),
    ],
)
def test_what_it_says(query: str, expected: Vector) -> None:
    found = evaluate(parse(query), sampled(), 10)
    assert isinstance(found, dict)
    assert found == pytest.approx(expected)


def test_a_reset_is_no_fall() -> None:
    found = evaluate(parse("sum(increase(reset_total[9s]))"), sampled(), 10)
    assert isinstance(found, dict)
    assert found[()] == pytest.approx(8.0, abs=1.5)


def test_nothing_by_nothing_is_no_number() -> None:
    found = evaluate(parse("0 * sum(level) / (0 * sum(level))"), sampled(), 10)
    assert isinstance(found, dict)
    assert math.isnan(found[()])


@pytest.mark.parametrize(
    "query", ["topk(1, up)", "up offset 5m", "a / on (x) b", "sum(up", "rate(sum(up))", "1 2", '"x"']
)
def test_what_it_cannot_do_is_said(query: str) -> None:
    with pytest.raises(RagwatchError, match=r"only a Prometheus|needs a range"):
        evaluate(parse(query), sampled(), 10)
