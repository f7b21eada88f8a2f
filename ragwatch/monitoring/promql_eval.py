"""PromQL over samples in memory: what a Prometheus would have said, had it scraped them.

The arithmetic is Prometheus' own (``promql/functions.go``: extrapolated rates, resets, quantiles of buckets);
``tests/stack/test_drill.py`` holds the two against each other on a real run.
"""

from __future__ import annotations

import math
import operator
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import pairwise

from ragwatch.errors import RagwatchError
from ragwatch.monitoring.promql_tree import Aggregate, Binary, Call, Node, Selector

Labels = tuple[tuple[str, str], ...]
Vector = dict[Labels, float]
Values = list[float | None]
Shown = tuple[str, Mapping[str, str], float]
"""(name, labels, value)"""
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_AGGREGATE: dict[str, Callable[[list[float]], float]] = {
    "sum": sum, "max": max, "min": min, "count": lambda values: float(len(values)),
}  # fmt: skip


class Samples:
    """Series by name and labels: a value for each of ``times`` (seconds since the epoch), None where it was not there.

    >>> samples = Samples()
    >>> for second in range(6):
    ...     samples.add(second, [("asked_total", {"app": "bot"}, 2.0 * second)])
    >>> from ragwatch.monitoring.promql_tree import parse
    >>> evaluate(parse("sum(rate(asked_total[5s]))"), samples, 5)
    {(): 2.0}
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self._series: dict[str, dict[Labels, Values]] = {}
        self._found: dict[Selector, list[tuple[Labels, Values]]] = {}

    def add(self, at: float, shown: Iterable[Shown]) -> None:
        """Take what was shown at that time; it is later than all before."""
        place = len(self.times)
        self.times.append(at)
        self._found.clear()
        for name, labels, value in shown:
            values = self._series.setdefault(name, {}).setdefault(_key(labels), [])
            values.extend([None] * (place - len(values)))
            values.append(value)

    def matching(self, wanted: Selector) -> list[tuple[Labels, Values]]:
        """The series that a selector means."""
        found = self._found.get(wanted)
        if found is None:
            series = self._series.get(wanted.name, {}).items()
            found = [(labels, values) for labels, values in series if _matches(dict(labels), wanted.matchers)]
            self._found[wanted] = found
        return found

    def now(self, wanted: Selector, at: float) -> Vector:
        """The values of the last scrape until then."""
        place = bisect_right(self.times, at) - 1
        held = ((labels, values[place]) for labels, values in self.matching(wanted) if 0 <= place < len(values))
        return {labels: value for labels, value in held if value is not None}

    def rates(self, wanted: Selector, at: float, *, per_second: bool) -> Vector:
        """The increase over the selector's range, or its rate."""
        range_s = wanted.range_s
        if range_s is None:
            raise RagwatchError(f"{wanted.name} needs a range")
        first, last = bisect_left(self.times, at - range_s), bisect_right(self.times, at)
        found: Vector = {}
        for labels, values in self.matching(wanted):
            pairs = zip(self.times[first:last], values[first:last], strict=False)
            held = [(when, value) for when, value in pairs if value is not None]
            if len(held) >= 2:
                grown = _increase(held, at - range_s, at)
                found[labels] = grown / range_s if per_second else grown
        return found


def _key(labels: Mapping[str, str]) -> Labels:
    """An empty label is none."""
    return tuple(sorted(item for item in labels.items() if item[1]))


def evaluate(node: Node, samples: Samples, at: float) -> Vector | float:
    """The value of an expression at a time: series by labels, or a number."""
    if isinstance(node, str):
        raise RagwatchError(f"{node!r} where series are wanted: only a Prometheus can do that")
    if isinstance(node, float):
        return node
    if isinstance(node, Selector):
        return samples.now(node, at)
    if isinstance(node, Aggregate):
        return _aggregated(node, _vector(evaluate(node.of, samples, at)))
    if isinstance(node, Call):
        return _called(node, samples, at)
    return _combined(node, evaluate(node.left, samples, at), evaluate(node.right, samples, at))


def _called(node: Call, samples: Samples, at: float) -> Vector | float:
    if node.function in {"rate", "increase"}:
        (wanted,) = node.arguments
        if not isinstance(wanted, Selector):
            raise RagwatchError(f"{node.function} of anything but series: only a Prometheus can do that")
        return samples.rates(wanted, at, per_second=node.function == "rate")
    if node.function == "label_replace":
        return _labelled(node, _vector(evaluate(node.arguments[0], samples, at)))
    values = [evaluate(argument, samples, at) for argument in node.arguments]
    if node.function == "histogram_quantile":
        q = values[0]
        return _quantiles(q if isinstance(q, float) else math.nan, _vector(values[1]))
    vector = _vector(values[0])
    if node.function == "scalar":
        return next(iter(vector.values())) if len(vector) == 1 else math.nan
    return {labels: math.sqrt(value) if value >= 0 else math.nan for labels, value in vector.items()}


def _labelled(node: Call, vector: Vector) -> Vector:
    """A label that is set to a text; patterns are Prometheus' alone."""
    _, label, value, source, pattern = node.arguments
    if not isinstance(label, str) or not isinstance(value, str) or source or pattern:
        raise RagwatchError("label_replace by a pattern: only a Prometheus can do that")
    return {_key({**dict(labels), label: value}): number for labels, number in vector.items()}


def _aggregated(node: Aggregate, vector: Vector) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(tuple(item for item in labels if item[0] in node.by), []).append(value)
    return {labels: float(_AGGREGATE[node.operation](values)) for labels, values in groups.items()}


def _combined(node: Binary, left: Vector | float, right: Vector | float) -> Vector | float:
    name = node.operator
    if name in {"or", "and", "unless"}:
        here, there = _vector(left), _vector(right)
        if name == "or":
            return here if node.whole and here else {**there, **here}
        return {labels: value for labels, value in here.items() if (labels in there) == (name == "and")}
    if name not in _COMPARE:
        return _paired(left, right, _ARITHMETIC[name])
    compare = _COMPARE[name]
    if node.as_bool:
        return _paired(left, right, lambda a, b: float(compare(a, b)))
    if isinstance(left, float):
        raise RagwatchError("a number compared with series: only a Prometheus can do that")
    other = right if isinstance(right, dict) else dict.fromkeys(left, right)
    return {labels: value for labels, value in left.items() if labels in other and compare(value, other[labels])}


def _paired(left: Vector | float, right: Vector | float, apply: Callable[[float, float], float]) -> Vector | float:
    if isinstance(left, float) and isinstance(right, float):
        return apply(left, right)
    if isinstance(left, float):
        return {labels: apply(left, value) for labels, value in _vector(right).items()}
    if isinstance(right, float):
        return {labels: apply(value, right) for labels, value in left.items()}
    return {labels: apply(value, right[labels]) for labels, value in left.items() if labels in right}


def _vector(value: Vector | float) -> Vector:
    if isinstance(value, float):
        raise RagwatchError("a number where series are wanted")
    return value


def _increase(held: list[tuple[float, float]], began: float, ended: float) -> float:
    """``extrapolatedRate`` of Prometheus, for counters: over the whole range, from the samples in it."""
    resets = sum(before for (_, before), (_, value) in pairwise(held) if value < before)
    grown = held[-1][1] - held[0][1] + resets
    sampled_s = held[-1][0] - held[0][0]
    average_s = sampled_s / (len(held) - 1)
    to_start, to_end = held[0][0] - began, ended - held[-1][0]
    if grown > 0 and held[0][1] >= 0:
        to_start = min(to_start, sampled_s * held[0][1] / grown)
    whole_s = sampled_s
    for gap_s in (to_start, to_end):
        whole_s += gap_s if gap_s < average_s * 1.1 else average_s / 2
    return grown * whole_s / sampled_s


def _quantiles(q: float, vector: Vector) -> Vector:
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in vector.items():
        edge = next((value for name, value in labels if name == "le"), None)
        if edge is not None:
            rest = tuple(item for item in labels if item[0] != "le")
            groups.setdefault(rest, []).append((float(edge), count))
    return {labels: _quantile(q, sorted(buckets)) for labels, buckets in groups.items()}


def _quantile(q: float, buckets: list[tuple[float, float]]) -> float:
    """``bucketQuantile`` of Prometheus."""
    if len(buckets) < 2 or not math.isinf(buckets[-1][0]) or buckets[-1][1] == 0:
        return math.nan
    rank = q * buckets[-1][1]
    place = next((n for n, (_, count) in enumerate(buckets[:-1]) if count >= rank), len(buckets) - 1)
    if place == len(buckets) - 1:
        return buckets[-2][0]
    edge, count = buckets[place]
    if place == 0:
        return edge if edge <= 0 else edge * rank / count
    below, before = buckets[place - 1]
    return below + (edge - below) * (rank - before) / (count - before)


def _matches(labels: Mapping[str, str], matchers: tuple[tuple[str, str, str], ...]) -> bool:
    for label, how, wanted in matchers:
        value = labels.get(label, "")
        equal = _pattern(wanted).fullmatch(value) is not None if how in {"=~", "!~"} else value == wanted
        if equal != (how in {"=", "=~"}):
            return False
    return True


@lru_cache(maxsize=500)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _divided(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)
    return a / b


def _power(a: float, b: float) -> float:
    try:
        return float(a**b)
    except (OverflowError, ZeroDivisionError):
        return math.inf


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "^": _power,
}
