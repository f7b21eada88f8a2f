"""What a run asks of the place where its documents run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ragwatch.processing.work import Done


class Workers(Protocol):
    """Where documents run."""

    def submit(self, batch: Sequence[tuple[int, Any]]) -> None:
        """Hand out documents."""

    def withdraw(self) -> list[int]:
        """Take back what has not begun."""

    def poll(self, timeout_s: float) -> list[Done]:
        """What has ended."""

    def next_timeout(self) -> float | None:
        """Seconds until a call is late."""

    def close(self) -> None:
        """End."""
