"""Traffic: questions that repeat as people's do, asked by several threads at once."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic, perf_counter
from typing import NamedTuple

EXPONENT = 1.0  # Zipf's own; web queries lie near it (Breslau et al., "Web caching and Zipf-like distributions", 1999)


class Asked(NamedTuple):
    """One question that was asked: its answer or its error, and how long it took."""

    question: str
    answer: object | None
    error: Exception | None
    seconds: float


class Done(NamedTuple):
    """What a run did: ``failed`` of the ``asked`` questions raised; ``stopped`` says that it was ended early."""

    asked: int
    failed: int
    seconds: float
    stopped: bool


def zipf_questions(
    questions: Sequence[str], queries: int, *, seed: int = 0, exponent: float = EXPONENT
) -> Iterator[str]:
    """``queries`` questions; that of popularity rank r (ranks are dealt by ``seed``) comes with weight 1 / r^exponent.

    The same seed gives the same sequence.

    >>> first = list(zipf_questions(["a", "b", "c"], 5, seed=1))
    >>> first == list(zipf_questions(["a", "b", "c"], 5, seed=1)), len(first)
    (True, 5)
    """
    dice = random.Random(seed)  # noqa: S311  (traffic, not secrets)
    ranked = list(questions)
    dice.shuffle(ranked)
    cumulated = list(itertools.accumulate(1 / rank**exponent for rank in range(1, len(ranked) + 1)))
    for _ in range(queries if ranked else 0):
        yield dice.choices(ranked, cum_weights=cumulated)[0]


def paced(questions: Iterator[str], count: int, seconds: float, stop: threading.Event) -> Iterator[str]:
    """``count`` questions spread evenly over so many seconds; what is not asked by then is left out.

    >>> list(paced(iter("abc"), 3, 0.03, threading.Event()))
    ['a', 'b', 'c']
    """
    began = monotonic()
    for number, question in enumerate(questions):
        ahead = number * seconds / count - (monotonic() - began)
        if ahead > 0:
            stop.wait(ahead)
        if monotonic() - began >= seconds:
            return
        yield question


def run(
    questions: Iterable[str],
    ask: Callable[[str], object],
    *,
    concurrency: int = 4,
    progress: Callable[[Asked], None] | None = None,
    stop: threading.Event | None = None,
) -> Done:
    """Ask every question, at most ``concurrency`` at a time; what ``ask`` raises is counted and goes to ``progress``.

    ``progress`` is called after each question, never by two threads at once; what it raises ends the run and is raised
    here. After ``stop`` is set no question is begun; those under way are finished.
    """
    waiting = iter(questions)
    stop = stop or threading.Event()
    taking, telling = threading.Lock(), threading.Lock()
    asked, failed, broken = 0, 0, list[BaseException]()

    def work() -> None:
        nonlocal asked, failed
        try:
            while not stop.is_set() and not broken:
                with taking:
                    question = next(waiting, None)
                if question is None:
                    return
                outcome = _ask(ask, question)
                with telling:
                    asked += 1
                    failed += outcome.error is not None
                    if progress is not None:
                        progress(outcome)
        except BaseException as error:  # noqa: BLE001  (raised again by the caller's thread)
            broken.append(error)

    begun = perf_counter()
    threads = [threading.Thread(target=work, name=f"traffic-{number}", daemon=True) for number in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]
    return Done(asked, failed, perf_counter() - begun, stop.is_set())


def _ask(ask: Callable[[str], object], question: str) -> Asked:
    begun = perf_counter()
    try:
        answer = ask(question)
    except Exception as error:  # noqa: BLE001  (the app's errors are what the demo shows)
        return Asked(question, None, error, perf_counter() - begun)
    return Asked(question, answer, None, perf_counter() - begun)
