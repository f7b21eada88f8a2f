"""The coverage report: what ragwatch sees in spans, what it does not, and what would give it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ragwatch.assembly.node import Node
from ragwatch.assembly.whole import Whole
from ragwatch.conventions import shapes
from ragwatch.conventions.registry import documented
from ragwatch.conventions.table import REDACTED, STORE_READ
from ragwatch.record import QueryRecord, Step

_MODEL_STEPS: Final = ("generate", "embed")
_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "generate": ("model", "response_model", "provider", "input_tokens", "output_tokens", "cost_usd", "response_id"),
    "embed": ("model", "input_tokens"),
    "retrieve": ("document_count", "documents", "top_k", "data_source"),
    "rerank": ("documents",),
    "cache": ("cache_result",),
}
"""What the KPIs want to know of a step that succeeded."""
_QUERY_FIELDS: Final = ("session", "user", "prompt_version", "question_length", "answer_length")


@dataclass
class Report:
    """The facts; ``to_dict`` is the JSON, ``notes`` are for people."""

    queries: list[QueryRecord]
    steps: list[Step]
    nodes: list[Node] = field(default_factory=list)
    collapsed: list[tuple[Node, str]] = field(default_factory=list)
    other: int = 0
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, whole: Whole) -> Report:
        """The report on spans that were assembled."""
        other = sum(node.role == STORE_READ for node in whole.nodes)
        report = cls(whole.queries, whole.steps, whole.nodes, whole.collapsed, other)
        report.warnings = list(_warnings(whole))
        return report

    @classmethod
    def of_records(cls, records: Sequence[QueryRecord]) -> Report:
        """The report on queries that an agent has assembled."""
        steps = sorted((step for record in records for step in record.steps), key=lambda step: step.start_ns)
        return cls(list(records), steps)

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON object. Unknown is null, never 0."""
        whole = [record for record in self.queries if record.outcome != "incomplete"]
        return {
            "queries": {
                "count": len(whole),
                "errors": sum(record.outcome == "error" for record in whole),
                "incomplete": len(self.queries) - len(whole),
            },
            "steps": self._steps(),
            "models": {
                "request": sorted({step.model for step in self.steps if step.model}),
                "response": sorted(
                    {step.response_model for step in self.steps if step.response_model and step.cache_result != "hit"}
                ),
            },
            "tokens": self._tokens(),
            "documents": self._documents(),
            "error_classes": dict(sorted(self._error_classes(whole).items())),
            "cache_hits": sum(step.cache_result == "hit" for step in self.steps),
            "conventions": dict(Counter(name for step in self.steps if (name := convention_of(step)))),
            "collapsed": dict(Counter(f"{node.role}: {why}" for node, why in self.collapsed)),
            "coverage": {name: list(found) for name, found in self.coverage().items()},
            "notes": self.notes(),
        }

    def coverage(self) -> dict[str, tuple[int, int]]:
        """(have, of) by ``step.field``, over steps that succeeded; (have, of) by ``query.field``."""
        found: dict[str, tuple[int, int]] = {}
        for kind, names in _FIELDS.items():
            steps = [step for step in self.steps if step.step == kind and step.outcome != "error"]
            for name in names if steps else ():
                found[f"{kind}.{name}"] = (sum(getattr(step, name) is not None for step in steps), len(steps))
        for name in _QUERY_FIELDS if self.queries else ():
            have = sum(getattr(record, name) is not None for record in self.queries)
            found[f"query.{name}"] = (have, len(self.queries))
        ids = [document.id for step in self.steps for document in step.documents or ()]
        if ids:
            found["document.id"] = (sum(identity is not None for identity in ids), len(ids))
        return found

    def notes(self) -> list[str]:
        """What is missing and what would give it; what was found odd."""
        found: list[str] = []
        lacks = {(convention.name, name): how for convention in documented() for name, how in convention.lacks}
        titles = {convention.name: convention.title for convention in documented()}
        for path, (have, of) in self.coverage().items():
            kind, _, name = path.partition(".")
            if have == of or kind in {"query", "document"}:
                continue
            names = Counter(
                convention_of(step)
                for step in self.steps
                if step.step == kind and step.outcome != "error" and getattr(step, name) is None
            )
            for convention, count in names.items():
                how = lacks.get((convention or "", name))
                if how is not None:
                    found.append(f"{path}: unknown on {count} of {of} steps ({titles[convention or '']}); {how}")
                elif have == 0:
                    source = titles.get(convention or "", "ragwatch's SDK")
                    found.append(f"{path}: unknown on {count} of {of} steps ({source})")
        by_other = Counter(
            document.id_from
            for step in self.steps
            for document in step.documents or ()
            if document.id_from not in {None, "id"}
        )
        found += [
            f"documents: {count} ids were taken from {how.replace('_', ' ')}" for how, count in by_other.items() if how
        ]
        suspected = sum(bool((step.extra or {}).get("cache_suspected")) for step in self.steps)
        if suspected:
            found.append(
                f"cache: {suspected} answers are taken for replays of a cache (same response id, or too quick)"
            )
        return found + self.warnings

    def _steps(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for step in self.steps:
            held = found.setdefault(step.step, {"count": 0, "errors": 0})
            held["count"] += 1
            held["errors"] += step.outcome == "error"
            if step.step == "retrieve":
                held["empty"] = held.get("empty", 0) + (step.outcome != "error" and step.document_count == 0)
        if self.other:
            found["other"] = {"count": self.other, "errors": 0}
        return found

    def _tokens(self) -> dict[str, Any]:
        calls = [step for step in self.steps if step.step == "generate" and step.cache_result != "hit"]
        with_usage = [step for step in calls if step.input_tokens is not None or step.output_tokens is not None]
        embeds = [step.input_tokens for step in self.steps if step.step == "embed" and step.input_tokens is not None]
        return {
            "generate": {
                "calls": len(calls),
                "calls_with_usage": len(with_usage),
                "input": _sum(step.input_tokens for step in with_usage),
                "output": _sum(step.output_tokens for step in with_usage),
                "cached": _sum(step.cached_tokens for step in with_usage),
                "reasoning": _sum(step.reasoning_tokens for step in with_usage),
            },
            "embed_input": sum(embeds) if embeds else None,
        }

    def _documents(self) -> dict[str, Any]:
        retrieved = [step for step in self.steps if step.step == "retrieve"]
        documents = [document for step in retrieved for document in step.documents or ()]
        counts = [step.document_count for step in retrieved if step.document_count is not None]
        return {
            "retrieved": sum(counts) if counts else None,
            "with_id": sum(document.id is not None for document in documents),
            "with_score": sum(document.score is not None for document in documents),
            "with_distance": sum(document.distance is not None for document in documents),
            "counts": [None if step.outcome == "error" else step.document_count for step in retrieved],
        }

    def _error_classes(self, whole: Sequence[QueryRecord]) -> Counter[str]:
        """The class of each failure, once: of the deepest failing step; ancestors only carry it."""
        causes: dict[str, str] = {}
        for record in whole:
            if record.outcome == "error":
                causes[record.cause_span_id or record.span_id] = record.error_class or "other"
        carried = {step.parent_id for step in self.steps if step.outcome == "error"}
        for step in self.steps:
            if step.outcome == "error" and step.span_id not in carried:
                causes.setdefault(step.span_id, step.error_class or "other")
        return Counter(causes.values())


def convention_of(step: Step) -> str | None:
    """The convention that said so; None for ragwatch's own."""
    found = (step.extra or {}).get("convention")
    return found if isinstance(found, str) else None


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _warnings(whole: Whole) -> Iterable[str]:
    dropped = [node for node in whole.nodes if node.span.dropped_attributes]
    if dropped:
        yield (
            f"{len(dropped)} spans have lost attributes ({sum(node.span.dropped_attributes for node in dropped)} in "
            "all): raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT in the app, 128 is too few for flattened documents"
        )
    orphans = sum(node.lost and not node.remote for node in whole.nodes)
    if orphans:
        yield (
            f"{orphans} spans name a parent that never came: it was not exported (it was still open, or its exporter "
            "failed), it belongs to another service, or the app's context leaked from one request into the next"
        )
    incomplete = sum(record.outcome == "incomplete" for record in whole.queries)
    if incomplete:
        yield f"{incomplete} queries have no span of their own: they are incomplete, and neither successes nor failures"
    clients = sum(why == "framework and client" for _, why in whole.collapsed)
    if clients:
        yield f"{clients} spans are a client's for a call that a framework's span tells of too; each is counted once"
    if whole.duplicates:
        yield f"{whole.duplicates} spans came more than once and are counted once"
    if whole.invalid:
        yield f"{whole.invalid} spans have an invalid id and are left out"
    redacted = sum(any(value == REDACTED for value in node.span.attributes.values()) for node in whole.nodes)
    if redacted:
        yield f"{redacted} spans have redacted values: lengths and texts of those are unknown"
    for key, count in sorted(shapes.unreadable.items()):
        yield f"{key or 'a packed value'}: {count} could not be read as JSON and count as absent"
    nothing = whole.nodes and not whole.queries and not whole.loose
    if nothing:
        names = ", ".join(name for name, _ in Counter(node.scope for node in whole.nodes).most_common(3))
        yield f"no RAG step was recognised in {len(whole.nodes)} spans (scopes: {names or 'none'})"
