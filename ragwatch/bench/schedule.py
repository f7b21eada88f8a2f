"""When the questions of an open loop should be asked. The app's answers change nothing about it."""

from __future__ import annotations

from collections.abc import Iterator
from math import log1p, sqrt
from random import Random

from ragwatch.bench.load import Phase


def arrivals(phase: Phase, dice: Random | None = None) -> Iterator[float]:
    """Seconds from the start of the phase, in order: evenly spaced, or a Poisson process where ``dice`` are given.

    The number of arrivals until t is Λ(t) = first·t + (last - first)·t²/2T in the mean; arrivals lie where Λ passes
    0, 1, 2, … (even), or sums of exponential draws (a Poisson process of changing rate, by change of time; Lewis and
    Shedler 1979).

    >>> list(arrivals(Phase(2, 2, 2.0)))
    [0.0, 0.5, 1.0, 1.5]
    >>> [round(t, 2) for t in arrivals(Phase(1, 3, 2.0))]
    [0.0, 0.73, 1.24, 1.65]
    """
    total = (phase.first + phase.last) / 2 * phase.seconds
    reached = 0.0 if dice is None else -log1p(-dice.random())
    while reached < total - 1e-9:
        yield _when(reached, phase)
        reached += 1.0 if dice is None else -log1p(-dice.random())


def _when(reached: float, phase: Phase) -> float:
    """The t at which Λ(t) = ``reached``."""
    slope = (phase.last - phase.first) / phase.seconds
    if abs(slope) < 1e-12:
        return reached / phase.first
    root = sqrt(max(0.0, phase.first * phase.first + 2 * slope * reached))
    return 2 * reached / (phase.first + root)
