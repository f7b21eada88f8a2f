"""``RAGMetrics``: the KPIs as one value for people and programs; what is unknown is None, never 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ragwatch.catalogue import METRICS
from ragwatch.catalogue_kpis import ANSWERED, Part, kpi
from ragwatch.kpi.quality import Estimate, mean_interval, wilson
from ragwatch.kpi.state import Histogram, Key, State


@dataclass(frozen=True, slots=True)
class RAGMetrics:
    """The KPIs of a state. ``n`` holds the number of observations behind each figure; times are seconds.

    ``retrieval_accuracy`` is the share of judged retrievals (but for probes) that were good, with its interval in
    ``retrieval_accuracy_interval``; ``recall_at_k`` and ``mrr`` come from labelled queries.
    """

    query_count: int
    avg_response_time: float | None
    error_rate: float | None
    cache_hit_rate: float | None
    retrieval_accuracy: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    throughput: float | None
    availability: float | None
    empty_retrieval_rate: float | None
    degraded_rate: float | None
    rejected_rate: float | None
    token_coverage: float | None
    cost_usd: float | None
    retrieval_accuracy_interval: Estimate | None = None
    recall_at_k: dict[str, Estimate] = field(default_factory=dict)
    mrr: dict[str, Estimate] = field(default_factory=dict)
    breaker_states: dict[str, dict[str, int]] = field(default_factory=dict)
    breaker_calls: dict[str, dict[str, int]] = field(default_factory=dict)
    breaker_open_s: dict[str, float] = field(default_factory=dict)
    retries: dict[str, dict[str, float]] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    n: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State, *, service: str | None = None, throughput: float | None = None) -> RAGMetrics:
        """The KPIs of a state, of one service or of all.

        >>> RAGMetrics.of(State()).error_rate is None
        True
        """
        view = _View(state, service)
        latency = view.merged("rag.query.duration", "outcome", ANSWERED)
        total = view.sum(Part("rag.query.duration"))
        costs = [value for key, value in view.cells("rag.cost") if key[_position("rag.cost", "known")] == "true"]
        accuracy = wilson(view.judged("good"), view.judged("good") + view.judged("bad"))
        return cls(
            query_count=int(total),
            avg_response_time=_share(latency.sum, latency.count),
            error_rate=view.share("error_rate"),
            cache_hit_rate=view.share("cache_hit_rate"),
            retrieval_accuracy=accuracy.value if accuracy else None,
            p50=latency.quantile(0.5),
            p95=latency.quantile(0.95),
            p99=latency.quantile(0.99),
            throughput=throughput,
            availability=view.share("availability"),
            empty_retrieval_rate=view.share("empty_rate"),
            degraded_rate=view.share("degraded_rate"),
            rejected_rate=view.share("rejected_rate"),
            token_coverage=view.share("token_coverage"),
            cost_usd=sum(costs) if costs else None,
            retrieval_accuracy_interval=accuracy,
            recall_at_k=view.means("rag.labelled.recall"),
            mrr=view.means("rag.labelled.reciprocal_rank"),
            breaker_states=view.breakers(),
            breaker_calls=view.breaker_calls(),
            breaker_open_s=view.by("rag.breaker.open_time", "breaker"),
            retries=view.retries(),
            errors=view.errors(),
            steps=view.steps(),
            n={
                "query_count": int(total),
                "latency": latency.count,
                "error_rate": view.events("error_rate"),
                "cache_hit_rate": view.events("cache_hit_rate"),
                "retrieval_accuracy": accuracy.n if accuracy else 0,
                "empty_retrieval_rate": view.events("empty_rate"),
                "availability": view.events("availability"),
                "token_coverage": view.events("token_coverage"),
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """The KPIs as plain JSON values; estimates as {value, low, high, n}."""
        out = asdict(self)
        if self.retrieval_accuracy_interval is not None:
            out["retrieval_accuracy_interval"] = self.retrieval_accuracy_interval._asdict()
        out["recall_at_k"] = {k: estimate._asdict() for k, estimate in self.recall_at_k.items()}
        out["mrr"] = {k: estimate._asdict() for k, estimate in self.mrr.items()}
        return out


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


class _View:
    """The series of one service (or of all) in a state."""

    def __init__(self, state: State, service: str | None) -> None:
        self._state = state
        self._service = service

    def cells(self, name: str) -> list[tuple[Key, Any]]:
        series = self._state.series(name).items()
        return [(key, cell) for key, cell in list(series) if self._service is None or key[0] == self._service]

    def share(self, name: str) -> float | None:
        """A KPI that is a part of a whole; None where the whole is 0."""
        wanted = kpi(name)
        return None if wanted.per is None else _share(self.sum(wanted.of), self.sum(wanted.per))

    def events(self, name: str) -> int:
        """How many a KPI's whole is."""
        whole = kpi(name).per
        return 0 if whole is None else int(self.sum(whole))

    def sum(self, part: Part) -> float:
        wanted = [(_position(part.metric, label), values) for label, values in part.where.items()]
        return float(
            sum(
                cell.count if isinstance(cell, Histogram) else cell
                for key, cell in self.cells(part.metric)
                if all(key[position] in values for position, values in wanted)
            )
        )

    def merged(self, name: str, label: str, values: Iterable[str]) -> Histogram:
        position, wanted = _position(name, label), set(values)
        total = Histogram(METRICS[name].buckets)
        for key, cell in self.cells(name):
            if key[position] in wanted:
                total.add(cell)
        return total

    def judged(self, verdict: str) -> float:
        """Judgements of retrievals; not those of probes, whose document is known to be there and which nobody asked."""
        wanted = {"target": "retrieval", "verdict": verdict}
        places = {_position("rag.judgements", name): value for name, value in wanted.items()}
        source = _position("rag.judgements", "source")
        return float(
            sum(
                cell
                for key, cell in self.cells("rag.judgements")
                if key[source] != "probe" and all(key[place] == value for place, value in places.items())
            )
        )

    def means(self, name: str) -> dict[str, Estimate]:
        position = _position(name, "k")
        totals = self._by(name, lambda key: key[position])
        squares = self._by(f"{name}.squares", lambda key: key[position])
        counts = self._by("rag.labelled.queries", lambda key: key[position])
        out = {}
        for k, n in counts.items():
            estimate = mean_interval(totals.get(k, 0.0), squares.get(k, 0.0), n, bounds=(0.0, 1.0))
            if estimate is not None:
                out[k] = estimate
        return out

    def breakers(self) -> dict[str, dict[str, int]]:
        out: dict[str, dict[str, int]] = {}
        for key, value in self.cells("rag.breaker.state"):
            if value > 0:
                states = out.setdefault(key[2], {})
                states[key[3]] = states.get(key[3], 0) + int(value)
        return out

    def breaker_calls(self) -> dict[str, dict[str, int]]:
        out: dict[str, dict[str, int]] = {}
        for key, count in self.cells("rag.breaker.calls"):
            calls = out.setdefault(key[2], {})
            calls[key[3]] = calls.get(key[3], 0) + int(count)
        return out

    def retries(self) -> dict[str, dict[str, float]]:
        """By operation: calls, attempts, attempts a call (amplification), seconds wasted."""
        attempts, wasted = self.by("rag.retry.attempts", "operation"), self.by("rag.retry.wasted", "operation")
        return {
            operation: {
                "calls": calls,
                "attempts": attempts.get(operation, 0.0),
                "amplification": attempts.get(operation, 0.0) / calls,
                "wasted_s": wasted.get(operation, 0.0),
            }
            for operation, calls in self.by("rag.retry.calls", "operation").items()
            if calls > 0
        }

    def by(self, name: str, label: str) -> dict[str, float]:
        position = _position(name, label)
        return self._by(name, lambda key: key[position])

    def errors(self) -> dict[str, int]:
        totals = self._by("rag.query.errors", lambda key: f"{key[2]}/{key[3]}")
        return {cause: int(count) for cause, count in sorted(totals.items(), key=lambda item: -item[1])}

    def steps(self) -> dict[str, dict[str, float]]:
        out: dict[str, dict[str, float]] = {}
        position = _position("rag.step.duration", "step")
        names = dict.fromkeys(key[position] for key, _ in self.cells("rag.step.duration"))
        for name in names:
            total = self.merged("rag.step.duration", "step", (name,))
            if total.count:
                quantiles = {
                    q: total.quantile(share) or 0.0 for q, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
                }
                out[name] = {"count": total.count, "mean": total.sum / total.count, **quantiles}
        return out

    def _by(self, name: str, group: Callable[[Key], str]) -> dict[str, float]:
        totals: dict[str, float] = {}
        for key, value in self.cells(name):
            totals[group(key)] = totals.get(group(key), 0.0) + value
        return totals


def _position(name: str, label: str) -> int:
    return METRICS[name].label_names.index(label)
