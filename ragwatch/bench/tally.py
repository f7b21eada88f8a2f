"""What a part of a run adds up to: latency, errors, steps, cache, tokens, cost, accuracy, and the bench's own lag."""

from __future__ import annotations

from collections import Counter
from math import log
from typing import Any

from ragwatch.bench.shot import Label, Shot, judged
from ragwatch.bench.spread import Spread
from ragwatch.kpi.quality import Estimate, mean_interval, wilson
from ragwatch.record import QueryRecord

SLICES = 20
"""Parts of a phase whose latencies are kept apart, so that a comparison knows how they vary."""
FINENESS = 100
"""Buckets of a slice: values within 1 % of one another are one."""


class Mean:
    """A mean with what its interval needs."""

    __slots__ = ("n", "squares", "total")

    def __init__(self) -> None:
        self.total, self.squares, self.n = 0.0, 0.0, 0

    def add(self, value: float) -> None:
        """Take an observation."""
        self.total += value
        self.squares += value * value
        self.n += 1

    def merge(self, other: Mean) -> None:
        """Add another's observations."""
        self.total += other.total
        self.squares += other.squares
        self.n += other.n

    def estimate(self) -> Estimate | None:
        """The mean in [0, 1] with its 95 % interval; None without an observation."""
        return mean_interval(self.total, self.squares, self.n, bounds=(0.0, 1.0))


class Slice:
    """A twentieth of a phase."""

    __slots__ = ("answered", "judged", "latency", "recall")

    def __init__(self) -> None:
        self.latency: Counter[int] = Counter()
        self.answered = 0
        self.recall, self.judged = 0.0, 0

    def to_dict(self, seconds: float) -> dict[str, Any]:
        """The slice as JSON values."""
        return {
            "latency": {str(bucket): times for bucket, times in sorted(self.latency.items())},
            "answered": self.answered,
            "done": self.latency.total(),
            "seconds": seconds,
            "recall": [self.recall, self.judged],
        }


class Tally:
    """One phase, or several added up."""

    def __init__(self, start_s: float = 0.0, seconds: float = 0.0) -> None:
        self.start_s, self.seconds = start_s, seconds
        self.offered = 0
        self.done = 0
        self.last_end_s = start_s
        self.latency, self.service, self.first_chunk = Spread(), Spread(), Spread()
        self.lag, self.wait = Spread(), Spread()
        self.outcomes: Counter[str] = Counter()
        self.error_classes: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.slices = [Slice() for _ in range(SLICES)]
        self.steps: dict[str, Spread] = {}
        self.step_errors: Counter[str] = Counter()
        self.owned_s: dict[str, float] = {}
        self.records = 0
        self.cache_hits = self.cache_lookups = 0
        self.calls = self.calls_known = self.input_tokens = self.output_tokens = 0
        self.cost_usd, self.costs = 0.0, 0
        self.recall, self.reciprocal_rank = Mean(), Mean()
        self.hits = 0

    # -- what happened ------------------------------------------------------------------------------------------------

    def shot(self, shot: Shot, record: QueryRecord | None = None) -> None:
        """A question was asked; ``record`` is what ragwatch saw of it in process."""
        self.done += 1
        latency = shot.ended_s - shot.due_s
        self.latency.add(latency)
        self.service.add(shot.ended_s - shot.begun_s)
        self.lag.add(shot.sent_s - shot.due_s)
        self.wait.add(shot.begun_s - shot.sent_s)
        if shot.first_s is not None:
            self.first_chunk.add(shot.begun_s - shot.due_s + shot.first_s)
        self.last_end_s = max(self.last_end_s, shot.ended_s)
        self.outcomes[shot.outcome] += 1
        if shot.error is not None:
            self.error_classes[shot.error[0]] += 1
            self.examples.setdefault(*shot.error)
        place = int((shot.due_s - self.start_s) / self.seconds * SLICES) if self.seconds > 0 else 0
        part = self.slices[min(max(place, 0), SLICES - 1)]
        part.latency[bucket_of(latency)] += 1
        part.answered += shot.outcome == "ok"
        if record is not None:
            self._record(record)
        label = label_of(shot, record) if shot.outcome == "ok" else None
        if label is not None:
            part.recall += label[0]
            part.judged += 1
            self.recall.add(label[0])
            self.hits += label[1]
            self.reciprocal_rank.add(label[2])

    def _record(self, record: QueryRecord) -> None:
        self.records += 1
        for step in record.steps:
            self.steps.setdefault(step.step, Spread()).add(step.duration_s)
            self.step_errors[step.step] += step.outcome == "error"
            if step.cache_result is not None and step.step == "cache":
                self.cache_lookups += 1
                self.cache_hits += step.cache_result == "hit"
            if step.step == "generate" and step.cache_result != "hit":
                self.calls += 1
                if step.input_tokens is not None or step.output_tokens is not None:
                    self.calls_known += 1
                    self.input_tokens += step.input_tokens or 0
                    self.output_tokens += step.output_tokens or 0
            if step.cost_usd is not None:
                self.cost_usd += step.cost_usd
                self.costs += 1
        for name, seconds in record.critical_path:
            self.owned_s[name] = self.owned_s.get(name, 0.0) + seconds

    def merge(self, other: Tally) -> None:
        """Add another part."""
        self.seconds += other.seconds
        self.last_end_s = max(self.last_end_s, other.last_end_s)
        for name in ("latency", "service", "first_chunk", "lag", "wait", "recall", "reciprocal_rank"):
            getattr(self, name).merge(getattr(other, name))
        for name in ("outcomes", "error_classes", "step_errors"):
            getattr(self, name).update(getattr(other, name))
        for name in (
            "offered", "done", "records", "cache_hits", "cache_lookups", "calls", "calls_known", "input_tokens",
            "output_tokens", "cost_usd", "costs", "hits",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.examples = {**other.examples, **self.examples}
        for name, seconds in other.owned_s.items():
            self.owned_s[name] = self.owned_s.get(name, 0.0) + seconds
        for name, spread in other.steps.items():
            self.steps.setdefault(name, Spread()).merge(spread)

    # -- what it comes to ---------------------------------------------------------------------------------------------

    @property
    def failed(self) -> int:
        """Questions that raised, timed out or were turned away."""
        return self.done - self.outcomes["ok"]

    @property
    def unfinished(self) -> int:
        """Questions that were due and have no answer."""
        return self.offered - self.done

    @property
    def throughput(self) -> float | None:
        """Answers a second, from the start to the last answer of the part, its drain included."""
        return self.throughput_until(self.start_s + self.seconds)

    def throughput_until(self, now_s: float) -> float | None:
        """The same of a part that has come as far as ``now_s``."""
        spent = max(min(self.seconds, now_s - self.start_s), self.last_end_s - self.start_s)
        return self.outcomes["ok"] / spent if spent > 0 and self.done else None

    @property
    def concurrency(self) -> float | None:
        """Questions under way in the mean, by Little's law: time in the app over time."""
        spent = max(self.seconds, self.last_end_s - self.start_s)
        return self.service.sum / spent if spent > 0 and self.done else None

    def figures(self) -> dict[str, Any]:
        """The figures as JSON values; unknown is None, never 0."""
        accuracy = wilson(self.hits, self.recall.n)
        return {
            "requests": self.offered,
            "answered": self.outcomes["ok"],
            "throughput": self.throughput,
            "concurrency": self.concurrency,
            "latency_s": self.latency.to_dict(),
            "service_s": self.service.to_dict(),
            "first_chunk_s": self.first_chunk.to_dict() if self.first_chunk.count else None,
            "errors": self.failed,
            "error_rate": self.failed / self.done if self.done else None,
            "errors_by_class": dict(self.error_classes.most_common()),
            "error_examples": dict(self.examples),
            "unfinished": self.unfinished,
            "cache_hit_rate": self.cache_hits / self.cache_lookups if self.cache_lookups else None,
            "cache_lookups": self.cache_lookups,
            "tokens": {
                "input": self.input_tokens if self.calls_known else None,
                "output": self.output_tokens if self.calls_known else None,
                "calls": self.calls,
                "known": self.calls_known,
            },
            "cost_usd": self.cost_usd if self.costs else None,
            "judged": self.recall.n,
            "recall_at_5": _estimate(self.recall.estimate()),
            "hit_at_5": _estimate(accuracy),
            "mrr": _estimate(self.reciprocal_rank.estimate()),
            "steps": {
                name: {
                    "errors": self.step_errors[name],
                    "share_s": self.owned_s.get(name, 0.0) / self.records if self.records else None,
                    **spread.to_dict(),
                }
                for name, spread in self.steps.items()
            },
            "own_s": self.owned_s.get("query", 0.0) / self.records if self.records else None,
            "client": {"lag_s": self.lag.to_dict(), "wait_s": self.wait.to_dict()},
        }


def label_of(shot: Shot, record: QueryRecord | None) -> Label | None:
    """How good what was served was: by what was retrieved, else what the app returned, else what its cache held."""
    if record is not None and record.label is not None:
        return record.label.recall, record.label.hit, record.label.reciprocal_rank
    if shot.label is not None or record is None:
        return shot.label
    held = next((step.documents for step in record.steps if step.step == "cache" and step.documents is not None), None)
    return None if held is None else judged(held, shot.relevant)


def bucket_of(seconds: float) -> int:
    """The number of the bucket that a latency falls into.

    >>> abs(value_of(bucket_of(0.25)) / 0.25 - 1) < 0.01
    True
    """
    return round(log(max(seconds, 1e-6)) * FINENESS)


def value_of(bucket: int) -> float:
    """The latency, in seconds, in the middle of a bucket."""
    from math import exp

    return exp(bucket / FINENESS)


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate._asdict()
