"""The app's failures pass untouched and are told apart; ours never reach it."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

import ragwatch
from ragwatch.sdk import guard
from tests.sdk.conftest import Watched
from tests.support.otlp_values import attributes_of


def test_the_exception_is_the_apps_own(watched: Watched) -> None:
    error = ValueError("mine")

    @ragwatch.retrieve
    def search() -> None:
        raise error

    with pytest.raises(ValueError, match="mine") as raised:
        search()
    assert raised.value is error
    assert raised.value.__cause__ is None
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "search"
    assert watched.span("retrieve").status.code == 2


class Throttled(Exception):
    """As a client names it."""


Throttled.__name__ = Throttled.__qualname__ = "RateLimitError"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionRefusedError(), "connection"),
        (Throttled(), "rate_limited"),
        (RuntimeError("Error code: 503"), "server_error"),
        (KeyError("x"), "other"),
    ],
)
def test_the_deepest_failing_step_is_the_cause(watched: Watched, error: Exception, kind: str) -> None:
    @ragwatch.query
    def answer() -> None:
        with ragwatch.tool("agent"), ragwatch.generate():
            raise error

    with pytest.raises(type(error)):
        answer()
    assert ragwatch.metrics().errors == {f"generate/{kind}": 1}
    line = watched.lines()[0]
    assert (line["outcome"], line["error_step"], line["error_class"]) == ("error", "generate", kind)


def test_an_error_that_the_app_handles_is_no_error_of_the_query(watched: Watched) -> None:
    with ragwatch.query("q"):
        try:
            with ragwatch.cache("redis"):
                raise ConnectionError
        except ConnectionError:
            pass
    metrics = ragwatch.metrics()
    assert (metrics.error_rate, metrics.errors) == (0.0, {})
    assert watched.lines()[0]["outcome"] == "ok"


async def test_cancellation_is_no_error(watched: Watched) -> None:
    @ragwatch.query
    async def answer() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(answer())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    metrics = ragwatch.metrics()
    assert (metrics.query_count, metrics.error_rate) == (1, None)
    assert watched.lines()[0]["outcome"] == "cancelled"


class Hostile:
    """An object of the app that raises at every touch."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __str__ = __repr__

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __iter__(self) -> Any:
        raise RuntimeError("iter")


def test_no_fault_of_ours_reaches_the_app(watched: Watched, settings: pytest.MonkeyPatch) -> None:
    settings.delenv("RAGWATCH_RAISE")
    hostile = Hostile()

    @ragwatch.query
    def answer(_question: Any) -> Any:
        with ragwatch.retrieve() as step:
            step.documents(hostile).set("x", hostile).answer(hostile).user(hostile if False else "u").hit(True)
            step.documents([hostile, {"id": hostile}])
        return hostile

    assert answer(hostile) is hostile
    assert ragwatch.metrics().query_count == 1
    assert ragwatch.telemetry()["faults"]
    guard.forget()


def test_an_exception_that_cannot_be_shown(watched: Watched, settings: pytest.MonkeyPatch) -> None:
    settings.delenv("RAGWATCH_RAISE")

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    @ragwatch.query
    def answer() -> None:
        raise Mute

    with pytest.raises(Mute):
        answer()
    assert ragwatch.metrics().errors == {"query/other": 1}
    guard.forget()


def test_a_rejection_is_neither_ok_nor_an_error(watched: Watched) -> None:
    breaker = ragwatch.CircuitBreaker("index-of-test-failures")
    breaker.open()

    @ragwatch.query
    def answer() -> None:
        with ragwatch.retrieve():
            breaker.call(int)

    with pytest.raises(ragwatch.CircuitOpen):
        answer()
    metrics = ragwatch.metrics()
    assert (metrics.rejected_rate, metrics.error_rate, metrics.errors) == (1.0, None, {})
    lines = watched.lines()
    assert [line["event"] for line in lines] == ["rag.breaker", "rag.query"]
    assert (lines[1]["outcome"], lines[1]["error_type"]) == ("rejected", "ragwatch.errors.CircuitOpen")
    assert metrics.breaker_states["index-of-test-failures"] == {"open": 1}
    assert [event.name for event in watched.span("retrieve").events] == ["rag.rejected"]


def test_attempts_and_fallbacks_stand_on_the_step(watched: Watched) -> None:
    calls: list[int] = []

    @ragwatch.retrieve
    @ragwatch.retry(base_delay=0, name="test-failures-search")
    def search() -> list[str]:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError
        return ["a"]

    with ragwatch.query("q"):
        search()
        breaker = ragwatch.CircuitBreaker("b-of-test-failures", fallback=lambda error: [])
        breaker.open()
        with ragwatch.rerank():
            breaker.call(list)
    assert watched.attributes("retrieve")["rag.attempts"] == 3
    assert [event.name for event in watched.span("retrieve").events] == ["rag.retry", "rag.retry"]
    query_line = watched.lines()[-1]
    assert query_line["attempts"] == {"retrieve": 3}
    assert query_line["outcome"] == "degraded"
    metrics = ragwatch.metrics()
    assert metrics.retries["test-failures-search"]["amplification"] == 3.0
    assert ragwatch.flush(20)
    again = watched.sink.metrics()["rag.step.retries"].sum.data_points
    found = {attributes_of(point.attributes)["step"]: point.as_double for point in again}
    assert {step: count for step, count in found.items() if count} == {"retrieve": 2.0}


def test_a_write_is_not_repeated_without_being_told(watched: Watched) -> None:
    calls: list[int] = []

    @ragwatch.retry(base_delay=0)
    def pay() -> None:
        calls.append(1)
        raise ConnectionError

    with pytest.raises(ConnectionError), ragwatch.tool("pay"):
        pay()
    assert len(calls) == 1
    with pytest.raises(ConnectionError), ragwatch.retrieve():
        pay()
    assert len(calls) > 2
    assert watched.spans()
