"""Figures of a report by name, and conditions on them: ``p95>2s``, ``recall_at_5.low<0.6``, ``step.retrieve.p99``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ragwatch.bench.units import number
from ragwatch.errors import ConfigError

LATENCIES = ("p50", "p90", "p95", "p99", "p999", "mean", "max")
_PATHS = {
    **{name: f"latency_s.{name}" for name in LATENCIES},
    "throughput": "throughput",
    "errors": "error_rate",
    "error_rate": "error_rate",
    "error_count": "errors",
    "unfinished": "unfinished",
    "cache_hit_rate": "cache_hit_rate",
    "cost_usd": "cost_usd",
    "input_tokens": "tokens.input",
    "output_tokens": "tokens.output",
    "first_chunk.p50": "first_chunk_s.p50",
    "first_chunk.p95": "first_chunk_s.p95",
    "first_chunk.p99": "first_chunk_s.p99",
    "lag.p99": "client.lag_s.p99",
    "knee": "knee.rate",
    "headroom": "knee.headroom",
    "regression": "regression",
    **{
        f"{name}{end}": f"{name}{end or '.value'}"
        for name in ("recall_at_5", "hit_at_5", "mrr")
        for end in ("", ".value", ".low", ".high")
    },
}
_STEP = re.compile(r"step\.(\w+)\.(p50|p90|p95|p99|p999|mean|max)")
_CONDITION = re.compile(r"\s*([\w.]+)\s*(<=|>=|<|>)\s*(\S.*?)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """``figure`` compared with ``bound``; ``text`` is how the user wrote it."""

    figure: str
    sign: str
    bound: float
    text: str

    def holds(self, report: Mapping[str, Any]) -> bool | None:
        """Whether it is so in a report; None where the figure is unknown.

        >>> read_condition("p95>2s", "--fail-if").holds({"latency_s": {"p95": 2.5}})
        True
        """
        value = value_of(report, self.figure)
        if value is None:
            return None
        return {
            "<": value < self.bound,
            ">": value > self.bound,
            "<=": value <= self.bound,
            ">=": value >= self.bound,
        }[self.sign]


def read_condition(text: str, source: str) -> Condition:
    """The condition that a text writes; ``ConfigError`` for a figure that no report has.

    >>> read_condition("recall_at_5.low < 0.6", "--fail-if").bound
    0.6
    >>> read_condition("p97>2s", "--fail-if")
    Traceback (most recent call last):
    ragwatch.errors.ConfigError: p97>2s (from --fail-if): there is no figure 'p97'; did you mean 'p99'?
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigError(text, "should read like p95>2s or recall_at_5.low<0.6", source=source)
    figure, sign, bound = found.groups()
    if figure not in _PATHS and not _STEP.fullmatch(figure):
        from difflib import get_close_matches

        near = get_close_matches(figure, _PATHS, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_PATHS)}, step.NAME.p95"
        raise ConfigError(text, f"there is no figure {figure!r}; {hint}", source=source)
    return Condition(figure, sign, number(bound, source), text)


def value_of(report: Mapping[str, Any], figure: str) -> float | None:
    """A figure of a report by its name; None where it is unknown.

    >>> value_of({"steps": {"retrieve": {"p95": 0.1}}}, "step.retrieve.p95")
    0.1
    """
    step = _STEP.fullmatch(figure)
    path = f"steps.{step.group(1)}.{step.group(2)}" if step else _PATHS[figure]
    value: Any = report
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return None if value is None else float(value)


def broken(conditions: list[Condition], report: Mapping[str, Any]) -> list[str]:
    """A line for each condition that holds, or cannot be judged."""
    said = []
    for condition in conditions:
        held = condition.holds(report)
        if held is None:
            said.append(f"{condition.text}: {condition.figure} is unknown here ({_why(condition.figure)})")
        elif held:
            said.append(f"{condition.text}: {condition.figure} is {value_of(report, condition.figure):.4g}")
    return said


def _why(figure: str) -> str:
    head = figure.partition(".")[0]
    if head in {"recall_at_5", "hit_at_5", "mrr"}:
        return 'it needs questions with "relevant" ids and documents that the app says it found'
    if head in {"knee", "headroom"}:
        return "it needs --find-knee, and headroom a --rate"
    if head == "regression":
        return "it needs --compare"
    return {"step": "no such step was seen"}.get(head, "there was no observation")
