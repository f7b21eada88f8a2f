"""What pybreaker and tenacity do is on the step, in the log and among the KPIs like ragwatch's own."""

from __future__ import annotations

import pybreaker
import pytest
import tenacity

import ragwatch
from tests.sdk.conftest import Watched
from tests.support.wait import wait_until


def test_tenacitys_attempts_are_on_the_step(watched: Watched) -> None:
    answers = iter((ConnectionError("away"), TimeoutError("slow"), ["a", "b"]))

    @ragwatch.retrieve
    @tenacity.retry(wait=tenacity.wait_none(), stop=tenacity.stop_after_attempt(3))
    def search(question: str) -> list[str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    ragwatch.observe_tenacity(search, name="observed-search")
    with ragwatch.query("q"):
        assert search("why?") == ["a", "b"]
    span = watched.span("retrieve")
    assert watched.attributes("retrieve")["rag.attempts"] == 3
    assert [event.name for event in span.events] == ["rag.retry", "rag.retry"]
    assert ragwatch.metrics().retries["observed-search"]["amplification"] == 3


def test_pybreakers_states_are_in_the_log_and_the_kpis(watched: Watched) -> None:
    breaker = ragwatch.observe_pybreaker(pybreaker.CircuitBreaker(fail_max=1, name="observed-index"))

    def down() -> None:
        raise ConnectionError

    with ragwatch.query("q"), ragwatch.retrieve():
        for _ in range(2):
            with pytest.raises(pybreaker.CircuitBreakerError):
                breaker.call(down)
    assert ragwatch.metrics().breaker_states["observed-index"] == {"open": 1}
    assert [event.name for event in watched.span("retrieve").events] == ["rag.breaker", "rag.rejected"]
    assert watched.attributes("retrieve")["rag.breaker.state"] == "open"
    (line,) = (line for line in watched.lines() if line["event"] == "rag.breaker")
    assert (line["breaker"], line["from"], line["to"]) == ("observed-index", "closed", "open")


def test_a_breaker_that_lost_its_store_says_so(watched: Watched) -> None:
    store = ragwatch.RedisState("redis://127.0.0.1:1/0", refresh_s=60.0)
    breaker = ragwatch.CircuitBreaker("alone-of-test-observed", shared=store)
    lines = wait_until(lambda: [line for line in watched.lines() if line["event"] == "rag.breaker.shared"])
    (line,) = lines
    assert (line["level"], line["breaker"], line["shared"]) == ("warning", "alone-of-test-observed", False)
    assert not breaker.shared
    store.close()
