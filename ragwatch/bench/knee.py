"""The knee: the highest rate at which an app still keeps its promises. The search decides; somebody else drives."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

from ragwatch.bench.figures import Condition, value_of

GROWTH = 1.25
PRECISION = 0.05
MAX_TRIALS = 24
KEEPS_UP = 0.03
"""The share of a trial's questions that may be left waiting at its end, beyond those that are under way anyway."""


class Knee(NamedTuple):
    """The knee lies between ``rate``, at which the promises held, and ``broken_at``, at which they did not.

    ``rate`` is None where they never held, ``broken_at`` where they were never broken.
    """

    rate: float | None
    broken_at: float | None


def search(
    start: float, *, growth: float = GROWTH, precision: float = PRECISION, trials: int = MAX_TRIALS
) -> Generator[float, bool, Knee]:
    """Yields rates to try and takes whether the promises held there; returns the knee.

    Rises by ``growth`` until they break (falls, where they break at once), then halves what lies between, until it is
    within ``precision``. A rate counts as broken when it is broken twice: one hiccup is no knee.

    >>> tries = search(50)
    >>> rate = next(tries)
    >>> try:
    ...     while True: rate = tries.send(rate <= 100)
    ... except StopIteration as stop: knee = stop.value
    >>> knee.rate <= 100 < knee.broken_at, knee.broken_at / knee.rate <= 1.05
    (True, True)
    """
    low: float | None = None
    high: float | None = None
    rate = start
    for _ in range(trials):
        held = (yield rate) or (yield rate)
        if held:
            low = rate
        else:
            high = rate
        if low is None:
            rate = rate / growth**2
        elif high is None:
            rate = rate * growth
        elif high / low <= 1 + precision:
            break
        else:
            rate = (low * high) ** 0.5
    return Knee(low, high)


def promises_broken(
    figures: Mapping[str, Any], slo: Sequence[Condition], *, offered: int, left: int, usual: float
) -> list[str]:
    """Why a trial does not count as good: the promises that it broke, and that it did not keep up with the rate.

    ``left`` questions had no answer at the end of the trial, ``usual`` are under way in the mean at a light load.
    """
    said = []
    for condition in slo:
        if condition.holds(figures) is not True:
            value = value_of(figures, condition.figure)
            said.append(f"{condition.text} (it is {'unknown' if value is None else f'{value:.3g}'})")
    if left - usual > max(2.0, KEEPS_UP * offered):
        said.append(f"{left} of {offered} questions were waiting at its end")
    return said


def ladder(most: int) -> list[int]:
    """The numbers of users that throughput is measured at: powers of two and what lies halfway.

    >>> ladder(16)
    [1, 2, 3, 4, 6, 8, 12, 16]
    """
    steps, power = [1], 2
    while power <= most:
        steps += [power, power * 3 // 2]
        power *= 2
    return [step for step in dict.fromkeys(steps) if step <= most]


def has_peaked(throughputs: Sequence[float]) -> bool:
    """Whether the last three numbers of users brought no more than 3 % over what was had before them.

    >>> has_peaked([100, 200, 390, 400, 401, 399, 400]), has_peaked([100, 200, 390])
    (True, False)
    """
    return len(throughputs) > 4 and max(throughputs[-3:]) <= 1.03 * max(throughputs[:-3])
