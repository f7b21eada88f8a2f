"""The ledger against its model, and the proof that this test can fail: planted faults are all found."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from ragwatch.processing.ledger import Ledger
from tests.mutants.ledger import MUTANTS
from tests.processing.machine import LedgerMachine

QUIET = list(HealthCheck)
MODEL = settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=QUIET, database=None)
HUNT = settings(
    MODEL, max_examples=200, phases=[Phase.generate], report_multiple_bugs=False, print_blob=False, derandomize=True
)


class TestLedgerAgainstItsModel(LedgerMachine.TestCase):
    settings = MODEL


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_fault_is_found(name: str) -> None:
    planted: type[Ledger] = MUTANTS[name]

    class Machine(LedgerMachine):
        ledger_class = planted

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=HUNT)
