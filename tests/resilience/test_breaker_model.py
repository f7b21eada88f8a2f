"""The breaker against its model, and the proof that this test can fail: planted faults are all found."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from ragwatch.resilience.breaker import CircuitBreaker
from tests.mutants.breaker import MUTANTS
from tests.resilience.machine import BreakerMachine

QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
MODEL = settings(max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=QUIET, database=None)
HUNT = settings(
    MODEL, max_examples=600, phases=[Phase.generate], report_multiple_bugs=False, print_blob=False, derandomize=True
)


class TestBreakerAgainstItsModel(BreakerMachine.TestCase):
    settings = MODEL


def test_the_unplanted_breaker_passes_the_hunt() -> None:
    run_state_machine_as_test(BreakerMachine, settings=settings(HUNT, max_examples=200))


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_fault_is_found(name: str) -> None:
    planted: type[CircuitBreaker] = MUTANTS[name]

    class Machine(BreakerMachine):
        breaker_class = planted

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=HUNT)
