"""What the assembler tells its owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ragwatch.assembly.node import Origin
from ragwatch.record import QueryRecord, Step


class Events(NamedTuple):
    """What the assembler tells its owner."""

    query: Callable[[QueryRecord], None]
    loose: Callable[[Step, Origin], None]
    tally: Callable[[str, str], None]
    """(metric, reason)"""
    counted: Callable[[str, Callable[[], QueryRecord]], None] | None = None
    """(trace id, what makes the record) of a query that its process has counted: most are never looked at."""
