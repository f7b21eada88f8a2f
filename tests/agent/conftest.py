"""One agent for tests that only look at what it answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.agent import Agent


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with Agent(tmp_path_factory.mktemp("agent"), "--max-body-bytes", "200000") as running:
        yield running
