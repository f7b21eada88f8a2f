"""Query records and steps for tests, with everything that a test does not care about filled in."""

from __future__ import annotations

from itertools import count
from typing import Any

from ragwatch.record import QueryRecord, Step

_ids = count(1)
START_S = 1_700_000_000


def step(kind: str = "retrieve", *, start_s: float = 0.0, seconds: float = 0.1, **fields: Any) -> Step:
    """A step that began ``start_s`` after the beginning of time."""
    start = int((START_S + start_s) * 1e9)
    values = {"span_id": f"{next(_ids):016x}", "parent_id": None, "trace_id": "ab" * 16, **fields}
    return Step(step=kind, name=kind, start_ns=start, end_ns=start + int(seconds * 1e9), **values)


def query(*, seconds: float = 1.0, **fields: Any) -> QueryRecord:
    """A query of the service ``bot`` in ``prod``."""
    start = START_S * 10**9
    values = {"service": "bot", "environment": "prod", "trace_id": f"{next(_ids):032x}", **fields}
    return QueryRecord(span_id=f"{next(_ids):016x}", start_ns=start, end_ns=start + int(seconds * 1e9), **values)
