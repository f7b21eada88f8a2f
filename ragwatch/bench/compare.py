"""Whether one app is slower than another: ratios of two reports with intervals, by bootstrap over runs.

The unit that is drawn is a run (``--runs 5``), since two runs of one app differ by more than their questions do; with
fewer than three runs it is a twentieth of each phase, which knows nothing of differences between runs. The standard
error of a ratio comes from the bootstrap (Efron and Tibshirani 1993, chapter 6), with the factor n/(n - 1) that it
lacks, and is widened by Student's t at Welch's degrees of freedom, since there are few units. The figures share
the false-alarm rate between them (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import exp, log, sqrt
from random import Random
from typing import Any, NamedTuple

from ragwatch.bench.tally import value_of
from ragwatch.errors import RagwatchError
from ragwatch.kpi.quality import t_quantile

DRAWS = 500  # of which a standard error is known to 3 %
FALSE_ALARMS = 0.05
"""The share of comparisons of an app with itself that may name any figure worse or better."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
FEWEST_RUNS = 3
FEWEST_TAIL = 10
"""A quantile is compared where as many observations as this lie beyond it, on both sides."""
BUCKET = 0.015
"""Latencies are kept in buckets of 1 %: a smaller ratio is none."""
HIGHER_IS_BETTER = frozenset({"answered", "throughput", "recall_at_5"})


class Difference(NamedTuple):
    """A figure of B over that of A: ``change`` is B/A - 1, with its interval; ``verdict`` says what that means."""

    figure: str
    before: float
    after: float
    change: float
    low: float | None
    high: float | None
    verdict: str

    @property
    def worse_by(self) -> float:
        """How much worse B is, 0 where it is not known to be."""
        if self.verdict != "worse":
            return 0.0
        return -self.change if self.figure in HIGHER_IS_BETTER else self.change


class Verdict(NamedTuple):
    """All differences, what the units were (``runs`` or ``slices``), and how often equals are told apart."""

    differences: tuple[Difference, ...]
    units: str
    false_alarms: float
    notes: tuple[str, ...] = ()

    @property
    def regression(self) -> float:
        """The largest loss of a figure that is known to be worse; 0 where none is."""
        return max((difference.worse_by for difference in self.differences), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        worse = [difference.figure for difference in self.differences if difference.verdict == "worse"]
        better = [difference.figure for difference in self.differences if difference.verdict == "better"]
        return {
            "verdict": "worse" if worse else "better" if better else "same",
            "worse": worse,
            "better": better,
            "regression": self.regression,
            "units": self.units,
            "false_alarm_rate": self.false_alarms,
            "notes": list(self.notes),
            "figures": [difference._asdict() for difference in self.differences],
        }


def compare(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    dice: Random | None = None,
    false_alarms: float = FALSE_ALARMS,
) -> Verdict:
    """Compare two reports. ``RagwatchError`` where one has nothing to compare."""
    slices = _units(before), _units(after)
    by_runs = min(len(report["runs"]) for report in (before, after)) >= FEWEST_RUNS
    first, second = ([[_merged(run) for run in runs]] if by_runs else _strata(runs) for runs in slices)
    figures = _figures(before, after, first, second)
    share = false_alarms / max(1, len(figures))
    seed = dice or Random(1)  # noqa: S311  (draws, not secrets)
    sides = _Side(first, seed.randrange(2**32)), _Side(second, seed.randrange(2**32))
    found = [_difference(name, statistic, sides, share) for name, statistic in figures.items()]
    return Verdict(tuple(found), "runs" if by_runs else "slices", false_alarms, tuple(_notes(before, after, by_runs)))


def _notes(before: Mapping[str, Any], after: Mapping[str, Any], by_runs: bool) -> Iterator[str]:
    """What takes from the verdict's worth."""
    loads = [", ".join(phase["name"] for phase in report.get("phases", ())) for report in (before, after)]
    if loads[0] != loads[1]:
        yield f"the loads differ ({loads[0]} and {loads[1]}): so may the figures, whatever the app does"
    if not by_runs:
        yield "fewer than three runs a side: the intervals know nothing of differences between runs; --runs 5 does"


Unit = Mapping[str, Any]  # latencies {bucket: n}, answered, failed, seconds, recall [sum, n]
Statistic = Callable[["_Side", Any], Any]  # of each row of weights


def _units(report: Mapping[str, Any]) -> list[list[list[Unit]]]:
    """Runs of phases of slices."""
    runs = [[phase["slices"] for phase in run["phases"]] for run in report.get("runs", ())]
    if not any(slice_["latency"] for run in runs for phase in run for slice_ in phase):
        raise RagwatchError("there is nothing to compare: a report has no answered question")
    return runs


def _strata(runs: list[list[list[Unit]]]) -> list[list[Unit]]:
    """The slices of each phase, of all runs."""
    count = max(len(run) for run in runs)
    return [[unit for run in runs if number < len(run) for unit in run[number]] for number in range(count)]


def _merged(run: list[list[Unit]]) -> Unit:
    total: dict[str, Any] = {"latency": {}, "answered": 0, "done": 0, "seconds": 0.0, "recall": [0.0, 0]}
    for unit in (unit for phase in run for unit in phase):
        for bucket, times in unit["latency"].items():
            total["latency"][bucket] = total["latency"].get(bucket, 0) + times
        for name in ("answered", "done", "seconds"):
            total[name] += unit[name]
        total["recall"] = [total["recall"][0] + unit["recall"][0], total["recall"][1] + unit["recall"][1]]
    return total


def _figures(
    before: Mapping[str, Any], after: Mapping[str, Any], first: list[list[Unit]], second: list[list[Unit]]
) -> dict[str, Statistic]:
    """What can be compared: quantiles with enough beyond them, answers, throughput of closed loops, accuracy."""

    def total(strata: list[list[Unit]], read: Callable[[Unit], float]) -> float:
        return sum(read(unit) for stratum in strata for unit in stratum)

    fewest = min(total(side, lambda unit: sum(unit["latency"].values())) for side in (first, second))
    found: dict[str, Statistic] = {
        name: _quantile(share) for name, share in QUANTILES.items() if fewest * (1 - share) >= FEWEST_TAIL
    } or {"p50": _quantile(0.5)}
    found["answered"] = _answered
    if not all(report["load"]["is_open"] for report in (before, after)):
        found["throughput"] = _throughput
    if min(total(side, lambda unit: unit["recall"][1]) for side in (first, second)) >= FEWEST_TAIL:
        found["recall_at_5"] = _recall
    return found


class _Side:
    """One report's units as arrays: counts by unit and bucket, sums by unit, how often each unit is in each draw."""

    def __init__(self, strata: list[list[Unit]], seed: int) -> None:
        import numpy as np

        sizes = [len(stratum) for stratum in strata if stratum]
        units = [unit for stratum in strata for unit in stratum]
        buckets = sorted({int(bucket) for unit in units for bucket in unit["latency"]})
        place = {bucket: number for number, bucket in enumerate(buckets)}
        self.values = np.array([value_of(bucket) for bucket in buckets])
        self.counts = np.zeros((len(units), len(buckets)))
        for row, unit in enumerate(units):
            for bucket, times in unit["latency"].items():
                self.counts[row, place[int(bucket)]] = times
        self.sums = np.array(
            [[unit["answered"], unit["done"], unit["seconds"], *unit["recall"]] for unit in units], dtype=float
        )
        dice = np.random.default_rng(seed)
        self.once = np.ones((1, len(units)))
        self.draws = np.hstack([dice.multinomial(size, [1 / size] * size, DRAWS) for size in sizes])
        self._cumulated: Any = None
        self.free = len(units) - len(sizes)
        """Degrees of freedom: units are drawn within their phase."""
        self.correction = len(units) / self.free if self.free else 0.0

    def cumulated(self, weights: Any) -> Any:
        """How many are in each bucket or below it, for each row of weights; kept for the draws: each quantile asks."""
        import numpy as np

        if weights is not self.draws:
            return np.cumsum(weights @ self.counts, axis=1)
        if self._cumulated is None:
            self._cumulated = np.cumsum(weights @ self.counts, axis=1)
        return self._cumulated


def _quantile(share: float) -> Statistic:
    def statistic(side: _Side, weights: Any) -> Any:
        import numpy as np

        cumulated = side.cumulated(weights)
        wanted = np.maximum(cumulated[:, -1:] * share, 1e-9)
        return side.values[np.argmax(cumulated >= wanted, axis=1)]

    return statistic


def _answered(side: _Side, weights: Any) -> Any:
    import numpy as np

    totals = weights @ side.sums
    return totals[:, 0] / np.maximum(totals[:, 1], 1e-9)


def _throughput(side: _Side, weights: Any) -> Any:
    import numpy as np

    totals = weights @ side.sums
    return totals[:, 0] / np.maximum(totals[:, 2], 1e-9)


def _recall(side: _Side, weights: Any) -> Any:
    import numpy as np

    totals = weights @ side.sums
    return np.maximum(totals[:, 3], 1e-9) / np.maximum(totals[:, 4], 1e-9)


def _difference(name: str, statistic: Statistic, sides: tuple[_Side, _Side], share: float) -> Difference:
    import numpy as np

    before, after = (max(float(statistic(side, side.once)[0]), 1e-9) for side in sides)
    ratio = log(after / before)
    if not all(side.free for side in sides):
        return Difference(name, before, after, exp(ratio) - 1, None, None, "unknown")
    parts = [float(np.var(np.log(np.maximum(statistic(side, side.draws), 1e-9)))) * side.correction for side in sides]
    variance = sum(parts)
    known = [part**2 / side.free for part, side in zip(parts, sides, strict=True)]
    freedom = int(variance**2 / sum(known)) if variance > 0 else sum(side.free for side in sides)
    margin = t_quantile(1 - share / 2, max(1, freedom)) * sqrt(variance)
    low, high = exp(ratio - margin) - 1, exp(ratio + margin) - 1
    if low <= 0 <= high or (name in QUANTILES and abs(ratio) <= BUCKET):
        verdict = "same"
    else:
        verdict = "better" if (ratio > 0) == (name in HIGHER_IS_BETTER) else "worse"
    return Difference(name, before, after, exp(ratio) - 1, low, high, verdict)
