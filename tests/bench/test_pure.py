"""Spread, knee search, Universal Scalability Law, conditions, questions: rules that need no app."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwatch.bench.figures import broken, read_condition
from ragwatch.bench.knee import Knee, search
from ragwatch.bench.questions import mixed, read_questions
from ragwatch.bench.saturation import saturated
from ragwatch.bench.spread import Spread
from ragwatch.bench.usl import Law, fit
from ragwatch.demo.golden import Golden
from ragwatch.errors import ConfigError


@given(st.lists(st.floats(1e-5, 100), min_size=1, max_size=300), st.sampled_from([50.0, 90.0, 95.0, 99.0]))
@settings(max_examples=60)
def test_a_quantile_is_within_three_digits_of_the_observation_at_its_rank(values: list[float], percent: float) -> None:
    spread = Spread()
    for value in values:
        spread.add(value)
    rank = max(1, int(len(values) * percent / 100 + 0.5))  # the nearest, as HdrHistogram has it
    exact = sorted(values)[rank - 1]
    found = spread.quantile(percent)
    assert found is not None
    assert abs(found - exact) <= 0.0015 * exact + 2e-6


@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=50), st.lists(st.floats(1e-4, 10), min_size=1, max_size=50))
@settings(max_examples=30)
def test_two_spreads_together_are_the_spread_of_all(first: list[float], second: list[float]) -> None:
    together, one, other = Spread(), Spread(), Spread()
    for value in first:
        one.add(value)
        together.add(value)
    for value in second:
        other.add(value)
        together.add(value)
    one.merge(other)
    found, wanted = one.to_dict(), together.to_dict()
    assert found.pop("mean") == pytest.approx(wanted.pop("mean"))
    assert found == wanted


@given(knee=st.floats(1, 5000), start=st.floats(1, 5000))
def test_the_search_finds_the_knee_wherever_it_begins(knee: float, start: float) -> None:
    found = _searched(start, lambda rate: rate <= knee, trials=80)
    assert found.rate is not None
    assert found.broken_at is not None
    assert found.rate <= knee < found.broken_at <= found.rate * 1.06


def test_one_hiccup_is_no_knee() -> None:
    answers = iter([False] + [True] * 3)
    tries = iter(lambda: next(answers, None), None)
    found = _searched(100, lambda rate: next(tries, rate <= 200), trials=80)
    assert found.rate == pytest.approx(200, rel=0.06)


def test_promises_that_never_break_leave_the_end_open() -> None:
    found = _searched(10, lambda _: True, trials=5)
    assert found.broken_at is None
    assert found.rate == pytest.approx(10 * 1.25**4)


def _searched(start: float, holds: object, trials: int) -> Knee:
    tries = search(start, trials=trials)
    rate = next(tries)
    try:
        while True:
            rate = tries.send(holds(rate))  # type: ignore[operator]
    except StopIteration as stop:
        found: Knee = stop.value
        return found


@given(rate=st.floats(1, 1000), contention=st.floats(0, 0.5), coherency=st.floats(0, 0.01))
@settings(max_examples=40, deadline=None)
def test_the_law_is_found_again_under_noise(rate: float, contention: float, coherency: float) -> None:
    law, dice = Law(rate, contention, coherency, 1.0), Random(3)
    points = [(n, law.throughput(n) * dice.uniform(0.98, 1.02)) for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)]
    found = fit(points)
    assert found is not None
    assert all(found.throughput(n) == pytest.approx(law.throughput(n), rel=0.05) for n in (1, 8, 32))


def test_three_numbers_of_users_are_too_few_for_a_law() -> None:
    assert fit([(1, 10.0), (2, 19.0), (4, 30.0)]) is None


def test_a_condition_that_cannot_be_judged_is_not_passed_over() -> None:
    conditions = [read_condition("recall_at_5.low<0.6", "--fail-if"), read_condition("p95 > 2s", "--fail-if")]
    (unknown,) = broken(conditions, {"latency_s": {"p95": 1.0}})
    assert unknown.startswith(
        'recall_at_5.low<0.6: recall_at_5.low is unknown here (it needs questions with "relevant"'
    )
    assert broken(conditions, {"latency_s": {"p95": 2.5}, "recall_at_5": {"low": 0.7}}) == ["p95 > 2s: p95 is 2.5"]


@pytest.mark.parametrize("text", ["p95", "p95>", "p96>1s", "p95>fast", "p95=1s", "step.retrieve>1s"])
def test_a_condition_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="from --fail-if"):
        read_condition(text, "--fail-if")


def test_questions_come_in_turn_or_as_often_as_zipf_says() -> None:
    questions = [Golden(text, frozenset()) for text in "abcd"]
    turn = [golden.question for golden in itertools.islice(mixed(questions, 0, Random(1)), 8)]
    assert turn == list("abcdabcd")
    often = Counter(golden.question for golden in itertools.islice(mixed(questions, 1.0, Random(1)), 4000))
    shares = [count / 4000 for _, count in often.most_common()]
    assert shares == pytest.approx([12 / 25, 6 / 25, 4 / 25, 3 / 25], abs=0.03)


def test_a_file_of_questions_is_plain_or_golden(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text('how do I copy\n\n{"question": "how do I move", "relevant": ["shutil.move", 7]}\n')
    assert read_questions(path) == [
        Golden("how do I copy", frozenset()),
        Golden("how do I move", frozenset({"shutil.move", "7"})),
    ]


def test_a_question_is_asked_as_often_as_it_stands_there_and_judged_by_the_last_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text(
        'how do I copy\nhow do I copy\n{"question": "how do I move", "relevant": ["a"]}\n'
        '{"question": "how do I move", "judgement": "bad", "documents_found": ["a"]}\n'
        '{"question": "how do I copy", "relevant": ["c"]}\n{"question": "how do I move", "relevant": ["b"]}\n'
        '{"question": "why", "judgement": "bad"}\n{"question": "cut of'
    )
    copied = Golden("how do I copy", frozenset("c"))
    moved = Golden("how do I move", frozenset("b"))
    assert read_questions(path) == [copied, copied, moved, Golden("why", frozenset())]
    assert "line 8 is cut off" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n \n", "has no question in it"),
        ('why\n{"question": \n', "line 2 is no JSON"),
        ('{"question": ', "line 1 is no JSON"),
        ('{"q": 1}', 'line 1 has no "question"'),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_questions(path)


def test_behind_a_full_app_the_step_is_named_and_not_the_queue() -> None:
    def figures(retrieve: float, waiting: float) -> dict[str, object]:
        return {
            "steps": {"retrieve": {"share_s": retrieve}, "generate": {"share_s": 0.02}},
            "own_s": 0.001,
            "client": {"wait_s": {"mean": waiting}},
        }

    found = saturated(figures(0.02, 0.0), figures(0.5, 3.0))
    assert found is not None
    assert found["step"] == "retrieve"
    stuck = saturated(figures(0.02, 0.0), figures(0.021, 3.0))
    assert stuck is not None
    assert stuck["step"] == "waiting"
