"""Load on an app whose latencies, stalls and capacity are known."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random
from time import sleep
from typing import Any

import pytest

import ragwatch
from ragwatch.bench.load import Phase, Think
from ragwatch.bench.questions import mixed
from ragwatch.bench.screen import facts
from ragwatch.bench.session import Plan, Session
from ragwatch.demo.golden import Golden
from ragwatch.target.asking import switch_on
from ragwatch.target.target import function_target
from ragwatch.target.url import Mapped, url_target
from tests.support.known_app import KnownApp, as_json, served
from tests.support.patient import patient

QUESTIONS = [Golden(f"question {number}", frozenset({"a", "b"})) for number in range(7)]


def benched(call: Callable[..., Any], *phases: Phase, **plan: Any) -> dict[str, Any]:
    switch_on("test-bench")
    target = function_target("test:app", call)
    return Session(target, lambda dice: mixed(QUESTIONS, 0, dice), Plan(phases, **plan)).run()


@patient
def test_the_live_table_counts_answers_over_the_time_that_is_gone() -> None:
    switch_on("test-bench")
    target = function_target("test:app", lambda question: question)
    session = Session(target, lambda dice: mixed(QUESTIONS, 0, dice), Plan((Phase(50, 50, 60.0),)))
    thread = threading.Thread(target=session.run)
    thread.start()
    try:
        sleep(2.0)
        assert session.engine is not None
        ((_, figures),) = session.engine.snapshot()
        assert figures["throughput"] == pytest.approx(50, rel=0.2)
    finally:
        session.stop.set()
        thread.join()


@patient
def test_a_stall_is_seen_whole_by_an_open_loop() -> None:
    """Of 4 s at 100/s all stood still for one: a quarter of the questions waited, evenly from 1 s to nothing."""
    found = benched(KnownApp(lambda: 0.002, stall=(1.0, 2.0)).answer, Phase(100, 100, 4.0))
    assert found["latency_s"]["max"] == pytest.approx(1.0, rel=0.1)
    assert found["latency_s"]["p90"] == pytest.approx(0.6, rel=0.15)
    assert found["latency_s"]["p50"] < 0.1


@patient
def test_steps_tokens_cost_and_accuracy_come_from_the_queries_themselves() -> None:
    found = benched(KnownApp(lambda: 0.01).answer, Phase(40, 40, 1.0))
    assert set(found["steps"]) == {"retrieve", "generate"}
    assert found["steps"]["retrieve"]["n"] == 40
    assert found["steps"]["retrieve"]["p50"] == pytest.approx(0.01, rel=0.5)
    assert found["tokens"] == {"input": 400, "output": 200, "calls": 40, "known": 40}
    assert found["cost_usd"] == pytest.approx(0.04)
    assert found["recall_at_5"] == {"value": 0.5, "low": 0.5, "high": 0.5, "n": 40}
    assert found["hit_at_5"]["n"] == 40


@patient
def test_the_knee_is_found_and_the_step_that_gives_way() -> None:
    """Four places of 40 ms each: 100 a second, and not one more."""
    plan = {"find_knee": True, "today": 50.0, "limit": 64}
    found = benched(KnownApp(lambda: 0.04, places=4).answer, Phase(10, 10, 1.2), **plan)
    knee = found["knee"]
    assert knee["rate"] == pytest.approx(100, rel=0.1)
    assert knee["broken_at"] > knee["rate"]
    assert knee["most_throughput"] == pytest.approx(100, rel=0.1)
    assert knee["saturates"]["step"] == "retrieve"
    assert knee["headroom"] == pytest.approx(1.0, abs=0.2)
    assert knee["usl"]["r2"] > 0.9
    assert knee["usl"]["lambda"] == pytest.approx(25, rel=0.3)
    assert found["answered"] > 0


@patient
def test_errors_are_counted_by_class() -> None:
    dice = Random(2)

    def app(question: str) -> str:
        if dice.random() < 0.5:
            raise TimeoutError("the store did not answer")
        return question

    found = benched(app, Phase(100, 100, 1.0))
    assert found["errors"] == found["errors_by_class"]["timeout"]
    assert 30 < found["errors"] < 70
    assert found["error_rate"] == found["errors"] / 100
    assert found["error_examples"] == {"timeout": "TimeoutError: the store did not answer"}


@patient
def test_users_wait_for_their_answer_and_think() -> None:
    found = benched(
        KnownApp(lambda: 0.03).answer, Phase(4, 4, 2.0, is_open=False), think=Think(0.02, 0.02), warm_up_s=0.2
    )
    assert found["throughput"] == pytest.approx(4 / 0.05, rel=0.15)
    assert found["phases"][0]["name"] == "4 users"
    assert found["concurrency"] is not None


def test_phases_and_runs_are_kept_apart() -> None:
    found = benched(KnownApp(lambda: 0.002).answer, Phase(20, 20, 0.5), Phase(20, 60, 0.5), runs=3, warm_up_s=0.1)
    assert [phase["name"] for phase in found["phases"]] == ["20/s", "20→60/s"]
    assert [phase["requests"] for phase in found["phases"]] == [30, 60]
    assert len(found["runs"]) == 3
    assert found["requests"] == 90


async def _coroutine(question: str) -> str:
    await asyncio.sleep(0.01)
    return question


async def _stream(question: str) -> AsyncIterator[str]:
    yield question
    await asyncio.sleep(0.02)
    yield "!"


def _generator(question: str) -> Iterator[str]:
    yield question
    sleep(0.02)
    yield "!"


@pytest.mark.parametrize(("app", "streams"), [(_coroutine, False), (_stream, True), (_generator, True)])
@patient
def test_every_kind_of_function_is_driven(app: Callable[..., Any], streams: bool) -> None:
    found = benched(app, Phase(50, 50, 0.6))
    assert found["answered"] == 30
    assert (found["first_chunk_s"] is not None) == streams
    if streams:
        assert found["first_chunk_s"]["p50"] < 0.015 < found["latency_s"]["p50"]


def test_a_coroutine_that_hangs_times_out() -> None:
    async def hangs(question: str) -> str:
        await asyncio.sleep(60)
        return question

    found = benched(hangs, Phase(10, 10, 0.5), timeout_s=0.2)
    assert found["errors_by_class"] == {"timeout": 5}


@patient
def test_users_whose_app_never_waits_share_the_event_loop() -> None:
    async def busy(question: str) -> str:
        return question

    found = benched(busy, Phase(4, 4, 0.5, is_open=False))
    assert found["latency_s"]["max"] < 0.25


@patient
def test_stopping_reports_what_there_is() -> None:
    switch_on("test-bench")
    stop = threading.Event()
    target = function_target("test:app", KnownApp(lambda: 0.005).answer)
    session = Session(target, lambda dice: mixed(QUESTIONS, 0, dice), Plan((Phase(50, 50, 60.0),)), stop=stop)
    threading.Timer(0.6, stop.set).start()
    found = session.run()
    assert found["interrupted"]
    assert 15 < found["answered"] < 60
    assert found["throughput"] == pytest.approx(50, rel=0.25)


@patient
def test_a_search_for_the_knee_that_is_stopped_reports_what_it_tried() -> None:
    switch_on("test-bench")
    stop = threading.Event()
    target = function_target("test:app", KnownApp(lambda: 0.01, places=4).answer)
    plan = Plan((Phase(10, 10, 1.0),), find_knee=True)
    session = Session(target, lambda dice: mixed(QUESTIONS, 0, dice), plan, stop=stop)
    threading.Timer(2.5, stop.set).start()
    found = session.run()
    assert found["interrupted"]
    assert found["answered"] > 0
    assert found["knee"]["rate"] is None
    assert len(found["knee"]["users"]) >= 1


def test_documents_that_a_plain_function_returns_are_judged() -> None:
    def app(question: str) -> dict[str, Any]:
        return {"answer": question, "documents": [{"id": "b"}, {"id": "x"}]}

    found = benched(app, Phase(20, 20, 0.5))
    assert found["recall_at_5"] == {"value": 0.5, "low": 0.5, "high": 0.5, "n": 10}
    assert found["mrr"]["value"] == 1.0


@pytest.mark.parametrize(("brings", "judged"), [("step", 20), ("answer", 20), ("nothing", 2)])
def test_answers_out_of_the_cache_are_judged_where_their_documents_are_known(brings: str, judged: int) -> None:
    """Two questions, ten times each: but for the first time out of the cache."""
    cached: dict[str, list[dict[str, Any]]] = {}

    def app(question: str) -> Any:
        with ragwatch.cache() as step:
            known = cached.get(question)
            step.hit(known is not None)
            if known is not None and brings == "step":
                step.documents(known)
        if known is None:
            with ragwatch.retrieve() as step:
                known = cached[question] = [{"id": "b"}, {"id": "x"}]
                step.documents(known)
        return {"answer": "so", "documents": known} if brings == "answer" else "so"

    golden = [Golden("one", frozenset({"a", "b"})), Golden("two", frozenset({"b"}))]
    switch_on("test-bench")
    target = function_target("test:app", app)
    found = Session(target, lambda dice: mixed(golden, 0, dice), Plan((Phase(20, 20, 1.0),))).run()
    assert found["cache_hit_rate"] == 0.9
    assert (found["answered"], found["judged"]) == (20, judged)
    assert found["recall_at_5"]["value"] == 0.75
    said = "all 20 answers" if judged == 20 else "2 of 20 answers"
    assert any(said in line.plain for line in facts(found))


def test_what_failed_is_no_answer_that_could_be_judged() -> None:
    def app(question: str) -> str:
        with ragwatch.retrieve() as step:
            step.documents([{"id": "a"}])
        raise TimeoutError

    found = benched(app, Phase(20, 20, 0.5))
    assert (found["errors"], found["judged"], found["recall_at_5"]) == (10, 0, None)


def test_a_url_is_asked_and_its_documents_judged() -> None:
    seen: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> tuple[int, str, bytes]:
        seen.append(body)
        if len(seen) % 5 == 0:
            return 503, "text/plain", b"overloaded"
        return as_json({"data": [{"text": "so"}], "documents": [{"id": "a"}, {"id": "x"}], "got": body["question"]})

    with served(answer) as url:
        target = url_target(Mapped(url, answer="data.0.text"))
        switch_on("test-bench")
        plan = Plan((Phase(50, 50, 1.0),))
        found = Session(target, lambda dice: mixed(QUESTIONS, 0, dice), plan, options={"top_k": 3}).run()
        target.close()
    assert found["answered"] == 40
    assert found["errors_by_class"] == {"server_error": 10}
    assert found["recall_at_5"]["value"] == 0.5
    assert found["steps"] == {}
    assert seen[0]["top_k"] == 3
    assert "traceparent" in {name.lower() for name in seen[0]["headers"]}


@patient
def test_more_than_it_can_carry_is_said() -> None:
    found = benched(KnownApp(lambda: 0.1).answer, Phase(100, 100, 0.5), limit=2)
    assert found["client"]["is_bottleneck"]
    assert any("raise --max-in-flight" in note for note in found["client"]["notes"])
    assert found["latency_s"]["max"] > 1
