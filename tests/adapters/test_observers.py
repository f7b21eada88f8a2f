"""pybreaker, tenacity and stamina, the real ones, as KPIs and events of ragwatch."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pybreaker
import pytest
import stamina
import tenacity

import ragwatch
from ragwatch import ConfigError
from ragwatch.resilience.events import AttemptFailed, Event, Rejection, Transition, listen
from ragwatch.resilience.tallies import TALLIES
from tests.support.wait import wait_until


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    events: list[Event] = []
    stop = listen(events.append)
    yield events
    stop()


def counts(metric: str, name: str) -> dict[str, float]:
    """The series of one breaker or operation, by their last label."""
    found = {key[1][-1]: value for key, value in TALLIES.totals().items() if key[0] == metric and key[1][0] == name}
    return {label: value for label, value in found.items() if value}


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, error: type[Exception] = ConnectionError) -> None:
        self.left, self.error = failures, error

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return "here"

    async def later(self) -> str:
        return self()


# -- pybreaker --------------------------------------------------------------------------------------------------------


def test_pybreaker_opens_rejects_probes_and_closes(heard: list[Event]) -> None:
    breaker = ragwatch.observe_pybreaker(pybreaker.CircuitBreaker(fail_max=2, reset_timeout=0.05), name="py-1")
    down = breaker(Flaky(2).__call__)
    with pytest.raises(ConnectionError):
        down()
    with pytest.raises(pybreaker.CircuitBreakerError):  # it trips: pybreaker hides the exception, but it was called
        down()
    for _ in range(2):
        with pytest.raises(pybreaker.CircuitBreakerError), breaker.calling():
            pytest.fail("the block ran")
    assert counts("rag.breaker.calls", "py-1") == {"failure": 2, "rejected": 2}
    assert TALLIES.levels()["rag.breaker.state", ("py-1", "open")] == 1
    until = time.monotonic() + 0.06
    wait_until(lambda: time.monotonic() > until)
    assert down() == "here"
    assert counts("rag.breaker.calls", "py-1") == {"failure": 2, "rejected": 2, "ok": 1}
    assert TALLIES.levels()["rag.breaker.state", ("py-1", "closed")] == 1
    went = [(event.before, event.after) for event in heard if isinstance(event, Transition)]
    assert went == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    assert sum(isinstance(event, Rejection) for event in heard) == 2
    assert TALLIES.totals()["rag.breaker.open_time", ("py-1",)] >= 0.05


def test_pybreaker_is_observed_once_and_keeps_its_answers() -> None:
    breaker = pybreaker.CircuitBreaker(name="py-2")
    assert ragwatch.observe_pybreaker(ragwatch.observe_pybreaker(breaker)) is breaker
    assert breaker.call(Flaky(0)) == "here"
    assert list(breaker.call(lambda: (n for n in range(3)))) == [0, 1, 2]
    assert counts("rag.breaker.calls", "py-2") == {"ok": 2}


def test_a_failed_probe_of_pybreaker_is_no_rejection() -> None:
    breaker = ragwatch.observe_pybreaker(pybreaker.CircuitBreaker(fail_max=1, reset_timeout=0, name="py-3"))
    for _ in range(3):
        with pytest.raises(pybreaker.CircuitBreakerError):
            breaker.call(Flaky(1))
    assert counts("rag.breaker.calls", "py-3") == {"failure": 3}


# -- tenacity ---------------------------------------------------------------------------------------------------------


def test_tenacity_decorated(heard: list[Event]) -> None:
    flaky = Flaky(2)

    @tenacity.retry(stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_fixed(0.01))
    def fetch() -> str:
        return flaky()

    assert ragwatch.observe_tenacity(fetch, name="ten-1") is fetch
    assert fetch() == "here"
    assert fetch() == "here"
    assert counts("rag.retry.calls", "ten-1") == {"ok": 2}
    assert TALLIES.totals()["rag.retry.attempts", ("ten-1",)] == 4
    assert TALLIES.totals()["rag.retry.wasted", ("ten-1",)] >= 0.02
    failed = [event for event in heard if isinstance(event, AttemptFailed)]
    assert [(e.attempt, e.delay_s, e.result, type(e.error)) for e in failed] == [
        (1, 0.01, None, ConnectionError),
        (2, 0.01, None, ConnectionError),
    ]


def test_tenacity_gives_up_or_will_not_retry() -> None:
    retrying = ragwatch.observe_tenacity(
        tenacity.Retrying(
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_none(),
            retry=tenacity.retry_if_exception_type(ConnectionError) | tenacity.retry_if_result(lambda value: not value),
            reraise=True,
            name="ten-2",
        ),
    )
    with pytest.raises(ConnectionError):
        retrying.copy()(Flaky(9))

    def block(error: Exception | None) -> str:
        for attempt in retrying:
            with attempt:
                if error is not None:
                    raise error
                return "here"
        return "never"

    with pytest.raises(ValueError, match="bad"):
        block(ValueError("bad"))
    assert block(None) == "here"
    with pytest.raises(tenacity.RetryError):
        retrying(lambda: "")
    names = {"Flaky", "test_tenacity_gives_up_or_will_not_retry.<locals>.<lambda>", "ten-2"}
    found = {name: counts("rag.retry.calls", name) for name in names}
    assert list(found.values()).count({"exhausted": 1}) == 2
    assert found["ten-2"] == {"not_retryable": 1, "ok": 1}


async def test_tenacity_async() -> None:
    flaky = Flaky(1)

    async def wanted(state: tenacity.RetryCallState) -> bool:
        return state.outcome is not None and state.outcome.failed

    @tenacity.retry(retry=wanted, wait=tenacity.wait_none())
    async def fetch() -> str:
        return await flaky.later()

    ragwatch.observe_tenacity(ragwatch.observe_tenacity(fetch, name="ten-3"))
    assert await fetch() == "here"
    assert counts("rag.retry.calls", "ten-3") == {"ok": 1}
    assert TALLIES.totals()["rag.retry.attempts", ("ten-3",)] == 2


# -- stamina ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _stamina() -> Iterator[None]:
    stop = ragwatch.observe_stamina()
    with stamina.set_testing(True, attempts=3):
        yield
    stop()


@pytest.mark.usefixtures("_stamina")
def test_stamina_sync(heard: list[Event]) -> None:
    flaky, hopeless = Flaky(1), Flaky(9)

    @stamina.retry(on=ConnectionError)
    def fetch_docs() -> str:
        return flaky()

    @stamina.retry(on=ConnectionError)
    def fetch_nothing() -> str:
        return hopeless()

    assert [fetch_docs() for _ in range(3)] == ["here"] * 3
    with pytest.raises(ConnectionError):
        fetch_nothing()
    names = {key[1][0] for key in TALLIES.totals() if key[0] == "rag.retry.calls"}
    (docs,) = (name for name in names if name.endswith("fetch_docs"))
    (nothing,) = (name for name in names if name.endswith("fetch_nothing"))
    assert counts("rag.retry.calls", docs) == {"ok": 3}
    assert TALLIES.totals()["rag.retry.attempts", (docs,)] == 4
    assert counts("rag.retry.calls", nothing) == {"exhausted": 1}
    assert TALLIES.totals()["rag.retry.attempts", (nothing,)] == 3
    failed = [(event.operation, event.result) for event in heard if isinstance(event, AttemptFailed)]
    assert failed == [(docs, None), (nothing, None), (nothing, None), (nothing, "exhausted")]


@pytest.mark.usefixtures("_stamina")
async def test_stamina_async() -> None:
    flaky = Flaky(1)

    @stamina.retry(on=ConnectionError)
    async def fetch_async() -> str:
        return await flaky.later()

    assert await fetch_async() == "here"
    (name,) = (k[1][0] for k in TALLIES.totals() if k[0] == "rag.retry.attempts" and k[1][0].endswith("fetch_async"))
    assert TALLIES.totals()["rag.retry.attempts", (name,)] == 2


def test_stamina_unobserved_again_and_tenacity_left_alone() -> None:
    original = tenacity.BaseRetrying.__init__
    stop = ragwatch.observe_stamina()
    assert ragwatch.observe_stamina() is stop
    mine = tenacity.Retrying(name="mine")
    assert mine(Flaky(0)) == "here"
    assert counts("rag.retry.calls", "mine") == {}
    stop()
    assert tenacity.BaseRetrying.__init__ is original


@pytest.mark.parametrize("observe", [ragwatch.observe_pybreaker, ragwatch.observe_tenacity])
def test_what_cannot_be_observed_is_refused(observe: object) -> None:
    with pytest.raises(ConfigError, match="is "):
        observe(print)  # type: ignore[operator]
