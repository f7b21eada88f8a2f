"""A step says which breaker it asked, and what that was then; a query says what answered it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import ragwatch
from ragwatch.record import QueryRecord
from ragwatch.resilience import events
from ragwatch.sdk.app_info import forget
from ragwatch.sdk.setup import running
from tests.sdk.conftest import Watched
from tests.support.otlp_values import attributes_of


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture
def records(watched: Watched) -> list[QueryRecord]:
    """The queries of this process as they are counted."""
    found: list[QueryRecord] = []
    process = running()
    assert process is not None
    process[0].on_record = found.append
    return found


def last(records: list[QueryRecord]) -> QueryRecord:
    ragwatch.metrics()
    return records[-1]


def down() -> None:
    raise ConnectionError("down")


def test_the_state_is_that_of_the_call(watched: Watched, records: list[QueryRecord]) -> None:
    now = 0.0
    breaker = ragwatch.CircuitBreaker("index", failure_threshold=1, reset_timeout=10, clock=lambda: now)

    def ask(function: object) -> None:
        try:
            with ragwatch.query("q"), ragwatch.retrieve():
                breaker.call(function)  # type: ignore[arg-type]
        except (ConnectionError, ragwatch.CircuitOpen):
            pass

    states = []
    for function, at in ((list, 0.0), (down, 0.0), (list, 1.0), (list, 20.0), (list, 21.0)):
        now = at
        ask(function)
        states.append(last(records).steps[0].breakers["index"])
    assert states == ["closed", "closed", "open", "half_open", "closed"]
    spans = [attributes_of(span.attributes) for span in watched.spans() if span.name == "retrieve"]
    assert [span["rag.breaker.state"] for span in spans] == states
    assert {span["rag.breaker.name"] for span in spans} == {"index"}


def test_several_breakers_of_a_step_stand_side_by_side(watched: Watched, records: list[QueryRecord]) -> None:
    first, second = (ragwatch.CircuitBreaker(name) for name in ("first", "second"))
    first.force_open()
    with ragwatch.query("q"), ragwatch.generate():
        with pytest.raises(ragwatch.CircuitOpen):
            first.call(list)
        second.call(list)
        first.reset()
        first.call(list)
    assert last(records).steps[0].breakers == {"first": "closed", "second": "closed"}
    said = watched.attributes("generate")
    assert said["rag.breaker.name"] == ("first", "second")
    assert said["rag.breaker.state"] == ("closed", "closed")


def test_no_more_are_kept_than_a_step_may_say(watched: Watched, records: list[QueryRecord]) -> None:
    with ragwatch.query("q"), ragwatch.tool():
        for number in range(20):
            ragwatch.CircuitBreaker(f"b{number}").call(list)
    assert list(last(records).steps[0].breakers) == [f"b{number}" for number in range(8)]


def test_a_breaker_around_the_whole_query_is_the_query_s(records: list[QueryRecord]) -> None:
    breaker = ragwatch.CircuitBreaker("whole")
    with ragwatch.query("q"), breaker, ragwatch.retrieve():
        pass
    record = last(records)
    assert record.breakers == {"whole": "closed"}
    assert record.steps[0].breakers == {}


def test_coroutines_and_streams_say_it_as_well(records: list[QueryRecord]) -> None:
    breaker = ragwatch.CircuitBreaker("index")

    @ragwatch.retrieve
    @breaker
    async def search() -> list[str]:
        return ["a"]

    @ragwatch.generate
    @breaker
    def write() -> Iterator[str]:
        yield "a"

    async def ask() -> None:
        with ragwatch.query("q"):
            await search()
            list(write())

    asyncio.run(ask())
    assert [step.breakers for step in last(records).steps] == [{"index": "closed"}] * 2


def test_a_step_without_a_breaker_says_nothing(watched: Watched, records: list[QueryRecord]) -> None:
    with ragwatch.query("q"), ragwatch.retrieve():
        pass
    assert last(records).steps[0].breaker is None
    assert not [key for key in watched.attributes("retrieve") if key.startswith("rag.breaker")]


def test_outside_of_any_step_nothing_is_said(watched: Watched) -> None:
    assert ragwatch.CircuitBreaker("index").call(list) == []


def test_nobody_listens_once_ragwatch_is_off(watched: Watched) -> None:
    assert events.witness is not None
    ragwatch.shutdown(5)
    assert events.witness is None


def test_a_query_says_what_answered_it(watched: Watched, records: list[QueryRecord]) -> None:
    ragwatch.app_info(version="1.2", config="abc", index_version="i1", embedding_model="minilm", prompt_version="p7")
    with ragwatch.query("q"):
        with ragwatch.query("nested"):
            pass
        ragwatch.app_info(index_version="i2")  # what began before goes on with the index that it began with
    record = last(records)
    assert (record.version, record.config_hash, record.index_version) == ("1.2", "abc", "i1")
    assert (record.embedding_model, record.prompt_version, record.extra) == ("minilm", "p7", None)
    with ragwatch.query("q", prompt_version="trial"):
        pass
    record = last(records)
    assert (record.index_version, record.prompt_version) == ("i2", "trial")
    said = attributes_of(watched.spans()[-1].attributes)
    assert (said["rag.app.version"], said["rag.app.index_version"]) == ("1.2", "i2")
