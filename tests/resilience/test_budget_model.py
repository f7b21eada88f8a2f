"""The retry budget against a plain count of what was earned and spent; planted faults are all found."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ragwatch import RetryBudget
from tests.mutants.budget import MUTANTS


class Budget(RuleBasedStateMachine):
    """Tokens in whole hundredths: exact where the real one counts in floats."""

    budget_class: type[RetryBudget] = RetryBudget

    @initialize(ratio=st.sampled_from((0, 10, 20, 50)), burst=st.integers(0, 5), floor=st.sampled_from((0, 1, 2)))
    def start(self, ratio: int, burst: int, floor: int) -> None:
        self.now = 0
        self.ratio, self.floor, self.cap = ratio, floor, burst * 100
        self.held = self.cap
        self.seen_at = 0
        options = {"ratio": ratio / 100, "burst": burst, "per_second": floor}
        self.budget = self.budget_class(**options, clock=lambda: float(self.now))

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


HUNT = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
    report_multiple_bugs=False,
    print_blob=False,
)


def test_the_unplanted_budget_passes_the_hunt() -> None:
    run_state_machine_as_test(Budget, settings=HUNT)


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_fault_is_found(name: str) -> None:
    planted = MUTANTS[name]

    class Machine(Budget):
        budget_class = planted

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=HUNT)
