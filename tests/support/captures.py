"""Captures for tests: spans of real instrumentors, cut and mixed at will, assembled, counted as their truth is."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ragwatch.assembly.assembler import Assembler, Events, Origin
from ragwatch.conventions.decode import RawSpan
from ragwatch.conventions.decode_json import decode_traces_json
from ragwatch.record import QueryRecord, Step
from tests.support.paths import ROOT

GIVEN = ROOT / "tests" / "data" / "captures"
GOLDEN = ROOT / "tests" / "conventions" / "golden"


class Came(NamedTuple):
    """One span with what stands around it on the wire."""

    raw: RawSpan
    origin: Origin
    scope: str


class Told(NamedTuple):
    """What an assembler told, in an order that does not depend on when it told it."""

    queries: list[QueryRecord]
    loose: list[Step]
    tallies: Counter[tuple[str, str]]


def truths(folder: Path) -> dict[str, dict[str, Any]]:
    """The truth of each capture of a folder, by its name."""
    found = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return {name: truth for name, truth in found.items() if not name.startswith("_")}


def spans_of(path: Path) -> list[Came]:
    """The spans of a file of OTLP/JSON lines."""
    return [came for line in path.read_bytes().splitlines() for came in spans_in(line)]


def spans_in(line: bytes) -> Iterator[Came]:
    """The spans of one request in OTLP/JSON."""
    for resource, scopes in decode_traces_json(line):
        name, environment = resource.get("service.name"), resource.get("deployment.environment.name")
        origin = Origin(str(name or "unknown_service"), str(environment or ""), resource.get("service.instance.id"))
        for scope, spans in scopes:
            for raw in spans:
                yield Came(raw, origin, scope.name)


def requests_of(path: Path) -> list[dict[str, Any]]:
    """The spans of a file as requests of one span each, in OTLP/JSON."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        for group in json.loads(line)["resourceSpans"]:
            for inner in group["scopeSpans"]:
                around = {key: value for key, value in inner.items() if key != "spans"}
                for span in inner["spans"]:
                    scope_spans = [{**around, "spans": [span]}]
                    found.append(
                        {"resourceSpans": [{"resource": group.get("resource", {}), "scopeSpans": scope_spans}]}
                    )
    return found


def joined(requests: Iterable[dict[str, Any]]) -> bytes:
    """Several requests as one."""
    return json.dumps({"resourceSpans": [group for request in requests for group in request["resourceSpans"]]}).encode()


def shuffled_batches(items: Sequence[Any], seed: int, largest: int = 7, twice: float = 0.1) -> list[list[Any]]:
    """The items in random order and small batches; some come twice."""
    rng = random.Random(seed)
    mixed = [*items, *(item for item in items if rng.random() < twice)]
    rng.shuffle(mixed)
    batches = []
    while mixed:
        size = rng.randint(1, largest)
        batches.append(mixed[:size])
        del mixed[:size]
    return batches


def assembled(spans: Iterable[Came], **bounds: Any) -> Told:
    """What the agent's assembler makes of spans that come within its linger."""
    told = Told([], [], Counter())

    def tally(metric: str, reason: str) -> None:
        told.tallies[metric.removeprefix("ragwatch.agent."), reason] += 1

    options = {"linger_s": 1.0, "foreign_linger_s": 1.0, "incomplete_after_s": 100.0, "max_spans": 1_000_000, **bounds}
    events = Events(told.queries.append, lambda step, _origin: told.loose.append(step), tally)
    assembler = Assembler(events, **options)
    for row, came in enumerate(spans):
        assembler.add(came.raw, came.origin, row, 0.0, came.scope)
    assembler.release(1000.0)
    assert assembler.spans == 0
    told.queries.sort(key=lambda record: (record.start_ns, record.span_id))
    told.loose.sort(key=lambda step: (step.start_ns, step.span_id))
    return told


def counted(queries: Sequence[QueryRecord], loose: Sequence[Step]) -> dict[str, Any]:
    """The figures that a truth names."""
    steps = sorted([step for record in queries for step in record.steps] + list(loose), key=lambda step: step.start_ns)
    whole = [record for record in queries if record.outcome != "incomplete"]
    by_kind: dict[str, dict[str, int]] = {
        "query": {"count": len(whole), "errors": sum(record.outcome == "error" for record in whole)}
    }
    for step in steps:
        cell = by_kind.setdefault(step.step, {"count": 0, "errors": 0})
        cell["count"] += 1
        cell["errors"] += step.outcome == "error"
    calls = [step for step in steps if step.step == "generate" and step.cache_result != "hit"]
    made = [step for step in steps if step.cache_result != "hit"]  # a replay names no model that answered
    used = [step for step in calls if step.input_tokens is not None or step.output_tokens is not None]
    embeds = [step.input_tokens for step in steps if step.step == "embed" and step.input_tokens is not None]
    retrieves = [step for step in steps if step.step == "retrieve"]
    failures = [record for record in queries if record.outcome == "error"]
    errors = Counter(record.error_class for record in failures)
    errors.update(step.error_class for step in loose if step.outcome == "error")
    return {
        "steps": by_kind,
        "models": {
            "request": {step.model for step in made if step.model is not None},
            "response": {step.response_model for step in made if step.response_model is not None},
        },
        "tokens": {
            "generate": {
                "calls_with_usage": len(used),
                **{
                    name: sum(getattr(step, f"{name}_tokens") or 0 for step in used)
                    for name in ("input", "output", "cached", "reasoning")
                },
            },
            "embed_input": sum(embeds) if embeds else None,
        },
        "error_classes": dict(errors),
        "cache_hits": sum(step.cache_result == "hit" for step in steps if step.step == "generate"),
        "documents": {
            "counts": [None if step.outcome == "error" else step.document_count for step in retrieves],
            "ids": [
                None if step.outcome == "error" else [document.id for document in step.documents or ()]
                for step in retrieves
            ],
        },
        "session": dict(Counter(record.session for record in queries if record.session)),
        "prompt_version": dict(Counter(record.prompt_version for record in queries if record.prompt_version)),
    }
