"""``RetryableRAGProcessor.retry_with_backoff``: its signature, and the flaws that must not come back."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from ragwatch import CircuitOpen, RetryableRAGProcessor, RetryBudget


class Sleeps(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


class Failing:
    def __init__(self, times: int, error: BaseException | None = None) -> None:
        self.left = times
        self.calls = 0
        self.error = error or RuntimeError("not yet")

    async def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


def test_the_signature_is_the_well_known_one() -> None:
    parameters = inspect.signature(RetryableRAGProcessor.retry_with_backoff).parameters
    assert [(name, parameters[name].default) for name in list(parameters)[1:5]] == [
        ("max_retries", 3),
        ("base_delay", 1.0),
        ("max_delay", 60.0),
        ("exponential_factor", 2.0),
    ]
    assert next(iter(parameters)) == "operation"


@pytest.mark.parametrize("owner", [RetryableRAGProcessor, RetryableRAGProcessor()])
async def test_on_the_class_and_on_an_instance(owner: Any) -> None:
    operation, sleeps = Failing(3), Sleeps()
    assert await owner.retry_with_backoff(operation, async_sleep=sleeps) == "done"
    assert (operation.calls, len(sleeps)) == (4, 3)


async def test_the_last_error_is_raised_as_it_was_after_the_extra_attempts() -> None:
    error = KeyError("gone")
    operation = Failing(99, error)
    with pytest.raises(KeyError) as caught:
        await RetryableRAGProcessor.retry_with_backoff(operation, max_retries=2, async_sleep=Sleeps())
    assert caught.value is error
    assert operation.calls == 3


async def test_no_delay_is_above_the_cap_jitter_included_and_jitter_survives_the_cap() -> None:
    sleeps = Sleeps()
    with pytest.raises(RuntimeError):
        await RetryableRAGProcessor.retry_with_backoff(
            Failing(500), max_retries=400, base_delay=1.0, max_delay=5.0, async_sleep=sleeps
        )
    assert max(sleeps) <= 5.0
    saturated = sleeps[10:]
    assert max(saturated) - min(saturated) > 2.5


async def test_it_grows_by_the_factor() -> None:
    sleeps = Sleeps()
    with pytest.raises(RuntimeError):
        await RetryableRAGProcessor.retry_with_backoff(
            Failing(99), max_retries=4, base_delay=1.0, max_delay=1000.0, exponential_factor=3.0, async_sleep=sleeps
        )
    assert all(wait <= 3.0**index for index, wait in enumerate(sleeps))


@pytest.mark.parametrize("error", [CircuitOpen("db", retry_after_s=1.0), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_rejections_and_cancellation_are_not_retried(error: BaseException) -> None:
    operation = Failing(99, error)
    with pytest.raises(type(error)):
        await RetryableRAGProcessor.retry_with_backoff(operation, async_sleep=Sleeps())
    assert operation.calls == 1


async def test_without_a_budget_every_call_has_all_its_retries() -> None:
    for _ in range(50):
        operation = Failing(99)
        with pytest.raises(RuntimeError):
            await RetryableRAGProcessor.retry_with_backoff(operation, async_sleep=Sleeps())
        assert operation.calls == 4


async def test_a_budget_bounds_the_extra_load() -> None:
    budget, calls = RetryBudget(ratio=0.0, burst=2, per_second=0.0), 0
    for _ in range(10):
        operation = Failing(99)
        with pytest.raises(RuntimeError):
            await RetryableRAGProcessor.retry_with_backoff(operation, async_sleep=Sleeps(), budget=budget)
        calls += operation.calls
    assert calls == 12


async def test_a_plain_function_and_a_lambda_are_operations_too() -> None:
    operation = Failing(1)
    found = await RetryableRAGProcessor.retry_with_backoff(lambda: operation(), async_sleep=Sleeps())
    assert (found, await RetryableRAGProcessor.retry_with_backoff(lambda: 7)) == ("done", 7)


async def test_a_write_within_an_ingest_step_is_retried_all_the_same() -> None:
    import ragwatch

    operation = Failing(1)
    with ragwatch.ingest("nightly"):
        assert await RetryableRAGProcessor.retry_with_backoff(operation, async_sleep=Sleeps()) == "done"
