"""Retry budgets with one planted fault each."""

from __future__ import annotations

from ragwatch.resilience.retry_budget import RetryBudget


class EarnsTwice(RetryBudget):
    def earn(self) -> None:
        super().earn()
        super().earn()


class EarnsPastTheBurst(RetryBudget):
    def earn(self) -> None:
        self._tokens += self.ratio

    def _refill(self) -> None:
        earned = max(0.0, self._tokens - self.burst)
        self._tokens -= earned
        super()._refill()
        self._tokens += earned


class EarnsNothing(RetryBudget):
    def earn(self) -> None:
        """Only the floor is left."""


class BeginsEmpty(RetryBudget):
    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._tokens = 0.0


class SpendsHalf(RetryBudget):
    def spend(self) -> bool:
        spent = super().spend()
        self._tokens += 0.5 * spent
        return spent


class LendsOne(RetryBudget):
    def spend(self) -> bool:
        with self._lock:
            self._refill()
            if self._tokens <= 0:
                return False
            self._tokens -= 1
            return True


class NeverRefuses(RetryBudget):
    def spend(self) -> bool:
        super().spend()
        return True


class NoFloor(RetryBudget):
    def _refill(self) -> None:
        self._then = self._clock()


class FloorPastTheBurst(RetryBudget):
    def _refill(self) -> None:
        now = self._clock()
        self._tokens += (now - self._then) * self.per_second
        self._then = now


class TimeIsCountedAgain(RetryBudget):
    def _refill(self) -> None:
        then = self._then
        super()._refill()
        self._then = then


MUTANTS: dict[str, type[RetryBudget]] = {kind.__name__: kind for kind in RetryBudget.__subclasses__()}
