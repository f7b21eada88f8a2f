"""Load on a server whose latencies, stalls and capacity are known, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import pytest

from ragwatch.bench.load import Phase
from ragwatch.bench.questions import mixed
from ragwatch.bench.session import Plan, Session
from ragwatch.demo.golden import Golden
from ragwatch.target.asking import ask, switch_on
from ragwatch.target.url import Mapped, url_target
from tests.support.patient import patient
from tests.support.procs import Process

QUESTIONS = [Golden(f"question {number}", frozenset()) for number in range(7)]


@contextmanager
def server(*options: str) -> Iterator[str]:
    with Process.python("-m", "tests.support.known_server", *options) as process:
        yield process.wait_line("^http://")


def benched(url: str, *phases: Phase, **plan: Any) -> dict[str, Any]:
    switch_on("test-bench")
    target = url_target(Mapped(url), connections=256)
    found = Session(target, lambda dice: mixed(QUESTIONS, 0, dice), Plan(phases, **plan)).run()
    target.close()
    return found


@patient
def test_the_percentiles_are_those_of_the_server() -> None:
    with server("--median", "0.1") as url:
        found = benched(url, Phase(200, 200, 5.0))
        with urlopen(url) as reply:
            taken = sorted(json.load(reply))
    assert found["answered"] == len(taken) == 1000
    assert found["steps"] == {}
    for name, rank in (("p50", 500), ("p95", 950), ("p99", 990)):
        assert found["latency_s"][name] == pytest.approx(taken[rank - 1], rel=0.05), name


@patient
def test_a_stall_of_the_server_is_seen_whole() -> None:
    """Of 4 s at 50/s all stood still for one: a quarter of the questions waited, evenly from 1 s to nothing."""
    with server("--fixed", "0.005", "--stall", "1.0", "2.0") as url:
        found = benched(url, Phase(50, 50, 4.0))
        assert found["latency_s"]["max"] == pytest.approx(1.0, rel=0.1)
        assert found["latency_s"]["p90"] == pytest.approx(0.6, rel=0.15)
        assert found["latency_s"]["p50"] < 0.1


@patient
def test_the_knee_of_a_server_is_its_capacity() -> None:
    """Four places of 40 ms each: 100 a second, and not one more."""
    with server("--fixed", "0.04", "--places", "4") as url:
        found = benched(url, Phase(10, 10, 1.2), find_knee=True, limit=64)
        target = url_target(Mapped(url))
        assert ask(target, "are you well again", {}).error is None
        target.close()
    assert found["knee"]["rate"] == pytest.approx(100, rel=0.1)
    assert found["knee"]["most_throughput"] == pytest.approx(100, rel=0.1)
    assert found["knee"]["usl"]["lambda"] == pytest.approx(25, rel=0.3)
