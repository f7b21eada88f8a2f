"""What holds of any traces: order, cutting, repetition and mixing change nothing; bounds hold; nothing raises."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwatch.assembly.assembler import Assembler, Events
from ragwatch.assembly.whole import assemble_all
from ragwatch.conventions import read
from ragwatch.conventions.read import fields_of, read_step
from ragwatch.conventions.registry import recognise
from ragwatch.conventions.table import STRUCTURE
from tests.support.captures import Came, assembled
from tests.support.foreign import CLIENT, INTERNAL, LOCAL, REMOTE, SERVER, Spun, spans_of

read.RAISE = True
KINDS = ("CHAIN", "AGENT", "LLM", "RETRIEVER", "EMBEDDING", "RERANKER", "TOOL", "GUARDRAIL", "EVALUATOR", "nonsense")
OPERATIONS = ("chat", "embeddings", "retrieval", "execute_tool", "invoke_agent", "invoke_workflow", "rerank", "plan")
NAMES = ("rag.query", "main", "retrieve", "generate_answer", "embed", "GET /ask", "batch", "ChatOpenAI.chat", "step")


ATTRIBUTES: tuple[dict[str, Any], ...] = (
    {},
    *({"openinference.span.kind": kind} for kind in KINDS),
    *(
        {"gen_ai.operation.name": operation, "gen_ai.request.model": model, "gen_ai.usage.input_tokens": 3}
        for operation in OPERATIONS
        for model in ("m", "n")
    ),
    *({"traceloop.span.kind": kind, "traceloop.entity.name": "x"} for kind in ("workflow", "task", "tool", "agent")),
    {"db.system": "chroma", "db.operation": "query"},
    {"haystack.component.type": "InMemoryBM25Retriever"},
    {"rag.step": "retrieve"},
    {"rag.step": "query"},
    {"http.request.method": "GET"},
)


def SEEDS(test: Any) -> Any:
    """Many seeds, from which a test draws its spans: drawing a tree choice by choice costs 100 times that."""
    return settings(deadline=None, max_examples=150)(given(st.integers(0, 2**32))(test))


def tree(rng: Random, depth: int = 0) -> Spun:
    """Any tree of spans of any conventions: what comes out of it need not be sensible."""
    below = [tree(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 3)) if depth < 3 else 0)]
    return Spun(
        rng.choice(NAMES),
        dict(rng.choice(ATTRIBUTES)),
        below,
        kind=rng.choice((INTERNAL, SERVER, CLIENT)),
        scope=rng.choice(("my.app", "opentelemetry.instrumentation.openai", "langchain")),
        error="TimeoutError: slow" if rng.random() < 0.2 else None,
        own_ms=rng.choice((0.0, 1.0, 40.0)),
        flags=rng.choice((LOCAL, REMOTE, 0)),
    )


def some(rng: Random) -> list[Came]:
    """The spans of a few traces, of which some never came."""
    spans = [came for _ in range(rng.randint(1, 3)) for came in spans_of(tree(rng))]
    return [came for came in spans if rng.random() < 0.93]


@SEEDS
def test_any_order_and_repetition_give_the_same_records(seed: int) -> None:
    rng = Random(seed)
    spans = some(rng)
    whole = assembled(spans)
    mixed = spans + [came for came in spans if rng.random() < 0.3]
    rng.shuffle(mixed)
    again = assembled(mixed)
    assert again.queries == whole.queries
    assert again.loose == whole.loose


@SEEDS
def test_the_agent_and_the_inspection_see_the_same(seed: int) -> None:
    spans = some(Random(seed))
    told = assembled(spans)
    whole = assemble_all((came.raw, came.scope, came.origin) for came in spans)
    foreign = [record for record in whole.queries if not any("rag.step" in came.raw.attributes for came in spans)]
    if foreign:
        assert told.queries == whole.queries


@SEEDS
def test_spans_of_unknown_kind_below_any_other_change_nothing(seed: int) -> None:
    rng = Random(seed)
    spans = some(rng)
    added = []
    for number, came in enumerate(spans):
        if rng.random() < 0.5:
            held: dict[str, Any] = {"http.request.method": "GET"} if number % 2 else {"app": 1}
            raw = came.raw._replace(
                span_id=(1 << 50 | number).to_bytes(8), parent_id=came.raw.span_id, name="validate", kind=3,
                events=None, attributes=held, status_code=0, status_message="", start_ns=came.raw.end_ns,
                end_ns=came.raw.end_ns,
            )  # fmt: skip
            added.append(Came(raw, came.origin, "my.other"))
    whole, again = assembled(spans), assembled(spans + added)
    assert again.queries == whole.queries
    assert again.loose == whole.loose


@SEEDS
def test_the_critical_path_adds_up_to_the_query(seed: int) -> None:
    spans = some(Random(seed))
    for record in assembled(spans).queries:
        assert sum(seconds for _, seconds in record.critical_path) == pytest.approx(record.duration_s, abs=1e-9)
        assert all(seconds >= 0 for _, seconds in record.critical_path)


@SEEDS
def test_no_step_is_in_two_places(seed: int) -> None:
    spans = some(Random(seed))
    told = assembled(spans)
    steps = [step for record in told.queries for step in record.steps] + told.loose
    keys = Counter((step.trace_id, step.span_id) for step in steps)
    assert max(keys.values(), default=1) == 1


@SEEDS
def test_memory_never_passes_its_bound(seed: int) -> None:
    rng = Random(seed)
    given_trees = [tree(rng, 1) for _ in range(rng.randint(3, 12))]
    bound = rng.randint(5, 30)
    seen: list[Any] = []
    events = Events(seen.append, lambda *_: None, lambda *_: None)
    assembler = Assembler(events, linger_s=10, foreign_linger_s=10, incomplete_after_s=100, max_spans=bound)
    for row, one in enumerate(given_trees):
        spans = spans_of(one)
        for came in spans:
            assembler.add(came.raw, came.origin, row, float(row), came.scope)
        assembler.release(float(row))
        assert assembler.spans <= bound
        _, pending = assembler.pending()
        assert len(pending) <= 24 * bound
    assembler.release(1e9)
    assert assembler.spans == 0
    assert assembler.pending() == (set(), b"")


PACKED = (
    "gen_ai.retrieval.documents", "metadata", "output.value", "input.value", "traceloop.entity.output",
    "traceloop.entity.input", "haystack.component.output", "haystack.component.input", "llm.invocation_parameters",
    "gen_ai.input.messages", "retrieval.documents.0.document.metadata", "tag.tags", "openinference.span.kind",
    "gen_ai.operation.name", "db.system", "traceloop.span.kind", "gen_ai.usage.input_tokens", "llm.token_count.prompt",
    "gen_ai.response.time_to_first_chunk", "gen_ai.usage.cost", "session.id", "user.id", "db.statement",
    "gen_ai.request.model", "gen_ai.system", "llm.model_name", "traceloop.entity.name", "error.type",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["documents", "id", "score", "kwargs", "output", "outputs", "meta", "usage", "replies"]),
        inner, max_size=4,
    ),
    max_leaves=10,
)  # fmt: skip
VALUES = st.one_of(
    JSON, JSON.map(json.dumps), JSON.map(repr), st.text(max_size=20), JSON.map(lambda v: json.dumps(v)[:-1])
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from(PACKED), VALUES, max_size=8), st.sampled_from(NAMES), st.sampled_from(KINDS))
def test_nothing_that_an_attribute_holds_raises(held: dict[str, Any], name: str, kind: str) -> None:
    for extra in (
        {},
        {"openinference.span.kind": kind},
        {"gen_ai.operation.name": "retrieval"},
        {"db.system": "chroma"},
    ):
        (came,) = spans_of(Spun(name, {**extra, **held}, error="X: y" if "error.type" in held else None))
        seen = recognise(came.raw, came.scope)
        for step in ("query", "retrieve", "generate", "embed", "rerank", "tool", seen.role):
            fields_of(came.raw, seen, step)
        if seen.role not in STRUCTURE:
            made = read_step(came.raw, seen, seen.role)
            json.dumps(made._asdict(), default=str)
            assert made.input_tokens is None or made.input_tokens >= 0
        assembled([came])
