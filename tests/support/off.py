"""No test leaves ragwatch on in its own process: a ``conftest`` imports the fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import ragwatch
from ragwatch.sdk import guard


@pytest.fixture(autouse=True)
def off_afterwards() -> Iterator[None]:
    """Switch ragwatch off when the test is over."""
    yield
    ragwatch.shutdown(0.1)
    guard.forget()
