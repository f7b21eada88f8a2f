"""Who is woken first: the thread that hands questions over, never the app that answers them."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from time import sleep

import pytest

from ragwatch.bench.engine import Engine
from ragwatch.bench.load import Phase
from ragwatch.bench.priority import Priority
from ragwatch.demo.golden import Golden
from ragwatch.target.target import function_target

if sys.platform != "linux":
    pytest.skip("realtime priority of a thread is Linux'", allow_module_level=True)


def policy() -> int:
    return os.sched_getscheduler(threading.get_native_id()) & ~os.SCHED_RESET_ON_FORK


def may() -> bool:
    with Priority():
        return policy() == os.SCHED_RR


def test_the_app_runs_as_ever_and_so_does_the_caller_afterwards() -> None:
    seen: dict[str, set[int]] = {"function": set(), "coroutine": set()}

    def function(question: str) -> str:
        seen["function"].add(policy())
        sleep(0.02)
        return question

    async def coroutine(question: str) -> str:
        seen["coroutine"].add(policy())
        return question

    for app in (function, coroutine):
        questions = itertools.repeat(Golden("why?", frozenset()))
        with Engine(function_target(app.__name__, app), questions) as engine:
            tally = engine.run(Phase(200, 200, 0.5))
            engine.settle(5)
        assert tally.offered == 100
        assert policy() == os.SCHED_OTHER
    assert seen == {"function": {os.SCHED_OTHER}, "coroutine": {os.SCHED_OTHER}}


@pytest.mark.skipif(not may(), reason="this process may not set a realtime priority")
def test_the_thread_that_hands_over_is_first_until_it_cannot_keep_up() -> None:
    seen = []

    class Watched:
        """Questions whose giver looks at the thread that takes them."""

        def __init__(self, pause_s: float) -> None:
            self.pause_s = pause_s

        def __iter__(self) -> Watched:
            return self

        def __next__(self) -> Golden:
            seen.append(policy())
            sleep(self.pause_s)
            return Golden("why?", frozenset())

    for pause_s, last in ((0.0, os.SCHED_RR), (0.02, os.SCHED_OTHER)):
        seen.clear()
        with Engine(function_target("app", lambda question: question), Watched(pause_s)) as engine:
            engine.run(Phase(100, 100, 0.5))
        assert (seen[0], seen[-1]) == (os.SCHED_RR, last)
        assert policy() == os.SCHED_OTHER
