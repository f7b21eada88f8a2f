"""The retry budget against a list of what was earned and spent."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ragwatch import RetryBudget


class Budget(RuleBasedStateMachine):
    """Tokens in whole hundredths: exact where the real one counts in floats."""

    @initialize(ratio=st.sampled_from((0, 10, 20, 50)), burst=st.integers(0, 5), floor=st.sampled_from((0, 1, 2)))
    def start(self, ratio: int, burst: int, floor: int) -> None:
        self.now = 0
        self.ratio, self.floor, self.cap = ratio, floor, burst * 100
        self.held = self.cap
        self.seen_at = 0
        self.budget = RetryBudget(ratio=ratio / 100, burst=burst, per_second=floor, clock=lambda: float(self.now))

    @rule(seconds=st.integers(0, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(calls=st.integers(1, 5))
    def earn(self, calls: int) -> None:
        for _ in range(calls):
            self.budget.earn()
            self.held = min(self.cap, self.held + self.ratio)

    @rule()
    def spend(self) -> None:
        self.held = min(self.cap, self.held + (self.now - self.seen_at) * self.floor * 100)
        self.seen_at = self.now
        may = self.held >= 100
        assert self.budget.spend() == may
        if may:
            self.held -= 100


class TestBudget(Budget.TestCase):
    settings = settings(max_examples=200, stateful_step_count=40, deadline=None, database=None)
