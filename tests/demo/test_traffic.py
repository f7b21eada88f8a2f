from __future__ import annotations

import threading
from collections import Counter

import pytest

from ragwatch.demo.traffic import Asked, run, zipf_questions


def test_a_few_questions_make_most_of_the_traffic() -> None:
    questions = [f"q{n}" for n in range(100)]
    counts = Counter(zipf_questions(questions, 10_000, seed=3))
    (_, first), (_, second) = counts.most_common(2)
    assert first / second == pytest.approx(2, rel=0.2)
    assert sum(n for _, n in counts.most_common(20)) > 6000


def test_a_seed_is_a_sequence() -> None:
    questions = ["a", "b", "c", "d"]
    assert list(zipf_questions(questions, 50, seed=1)) == list(zipf_questions(questions, 50, seed=1))
    assert list(zipf_questions(questions, 50, seed=1)) != list(zipf_questions(questions, 50, seed=2))
    assert list(zipf_questions([], 5)) == []


def test_every_question_is_asked_once_and_errors_are_counted() -> None:
    seen: list[Asked] = []

    def ask(question: str) -> str:
        if question == "3":
            raise ConnectionError(question)
        return question * 2

    done = run(map(str, range(10)), ask, concurrency=3, progress=seen.append)
    assert (done.asked, done.failed, done.stopped) == (10, 1, False)
    assert sorted(outcome.question for outcome in seen) == list(map(str, range(10)))
    failed = [outcome for outcome in seen if outcome.error is not None]
    assert [(outcome.question, outcome.answer, type(outcome.error)) for outcome in failed] == [
        ("3", None, ConnectionError)
    ]
    assert all(outcome.seconds >= 0 for outcome in seen)


def test_no_more_than_the_bound_are_asked_at_once() -> None:
    lock, now, most = threading.Lock(), 0, 0
    together = threading.Barrier(3)

    def ask(question: str) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(10)  # passes only when three are inside
        with lock:
            now -= 1

    assert run(map(str, range(9)), ask, concurrency=3).asked == 9
    assert most == 3


def test_a_stop_ends_the_run_after_what_is_under_way() -> None:
    stop = threading.Event()
    asked: list[str] = []

    def ask(question: str) -> None:
        asked.append(question)
        if len(asked) == 5:
            stop.set()

    done = run(map(str, range(1000)), ask, concurrency=1, stop=stop)
    assert (done.asked, done.stopped, len(asked)) == (5, True, 5)


def test_an_error_of_progress_is_raised_by_the_caller() -> None:
    def progress(outcome: Asked) -> None:
        raise BrokenPipeError(outcome.question)

    with pytest.raises(BrokenPipeError):
        run(["a", "b", "c"], str.upper, concurrency=2, progress=progress)
