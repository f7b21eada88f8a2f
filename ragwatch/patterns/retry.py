"""``RetryableRAGProcessor``: retry with backoff under its well-known signature, on the same retry as everything."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ragwatch.resilience.retry import Retry
from ragwatch.resilience.retry_budget import RetryBudget
from ragwatch.resilience.retry_policy import RetryPolicy

T = TypeVar("T")


class RetryableRAGProcessor:
    """Calls an operation until it succeeds, with exponential backoff and full jitter under the cap."""

    @staticmethod
    async def retry_with_backoff(
        operation: Callable[[], Awaitable[T] | T],
        max_retries: int = 3,
        base_delay: float = 1.0,
        max_delay: float = 60.0,
        exponential_factor: float = 2.0,
        *,
        name: str = "rag-processor",
        budget: RetryBudget | None = None,
        async_sleep: Callable[[float], Awaitable[Any]] | None = None,
    ) -> T:
        """What the operation (a function, a coroutine function, a lambda that makes an awaitable) returns at last.

        ``max_retries`` counts the extra attempts; delays are seconds and never above ``max_delay``, jitter included.
        Any ``Exception`` is retried but a cancellation and a rejection (``CircuitOpen``); the last one is raised as it
        was. The operation is taken to be safe to repeat. ``budget`` bounds the extra load; without one there is no
        bound. ``name`` is the ``operation`` of its KPIs. ``async_sleep`` replaces ``asyncio.sleep``.

        >>> import asyncio
        >>> answers = iter([ConnectionError("away"), "here"])
        >>> async def fetch():
        ...     answer = next(answers)
        ...     if isinstance(answer, Exception): raise answer
        ...     return answer
        >>> asyncio.run(RetryableRAGProcessor.retry_with_backoff(fetch, base_delay=0.001))
        'here'
        """
        policy = RetryPolicy(
            name,
            max_retries=max_retries,
            base_delay=base_delay,
            max_delay=max_delay,
            exponential_factor=exponential_factor,
            retry_on=Exception,
            idempotent=True,
        )

        async def attempt() -> Any:
            found = operation()
            return await found if inspect.isawaitable(found) else found

        found: T = await Retry(policy, budget=budget, async_sleep=async_sleep).acall(attempt)
        return found
