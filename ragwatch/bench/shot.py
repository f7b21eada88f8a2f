"""One question of a load: when it should have been asked, when it was, and what came of it."""

from __future__ import annotations

from typing import NamedTuple

from ragwatch.demo.golden import Golden


class Job(NamedTuple):
    """A question to ask; times are seconds on the run's clock.

    ``sent_s`` is when the bench handed it over, ``until_s`` when its user leaves (closed loop).
    """

    phase: int
    due_s: float
    sent_s: float
    golden: Golden
    until_s: float = 0.0


class Shot(NamedTuple):
    """A question that was asked. ``outcome`` is ok, error, rejected or cancelled; ``error`` is class and message.

    ``recall``, ``hit`` and ``reciprocal_rank`` come from documents in the answer, where there are labels.
    """

    phase: int
    due_s: float
    sent_s: float
    begun_s: float
    ended_s: float
    outcome: str = "ok"
    error: tuple[str, str] | None = None
    first_s: float | None = None
    trace_id: str | None = None
    label: tuple[float, bool, float] | None = None
