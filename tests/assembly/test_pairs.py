"""Two instrumentors for one call, in two traces: one step, whichever trace is whole first and however many wait."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from ragwatch.assembly.assembler import Assembler, Events
from ragwatch.record import QueryRecord, Step
from tests.support.captures import Came, Told, assembled
from tests.support.foreign import CLIENT, MS, SERVER, Spun, chat, oi, retriever, spans_of

START_NS = 1_700_000_000_000 * MS


def moved(spans: list[Came], start_ms: float, end_ms: float, **changes: Any) -> list[Came]:
    """The spans of one trace, all within the same time."""
    start, end = START_NS + int(start_ms * MS), START_NS + int(end_ms * MS)
    return [came._replace(raw=came.raw._replace(start_ns=start, end_ns=end, **changes)) for came in spans]


def framework(start_ms: float, end_ms: float, model: str = "gpt-4o", **attributes: Any) -> list[Came]:
    """A framework's chain with its model call."""
    call = oi("LLM", "ChatOpenAI", llm__model_name=model, **attributes)
    return moved(spans_of(oi("CHAIN", "chain", retriever(), call)), start_ms, end_ms)


def client(start_ms: float, end_ms: float, model: str = "gpt-4o", **attributes: Any) -> list[Came]:
    """The client's span for it, in a trace of its own."""
    return moved(spans_of(chat(model, **attributes)), start_ms, end_ms)


def generated(told: Told) -> tuple[int, int]:
    """How many calls are in queries, and how many are loose."""
    inside = [step for record in told.queries for step in record.steps if step.step == "generate"]
    return len(inside), sum(step.step == "generate" for step in told.loose)


def test_a_client_within_a_frameworks_call_is_that_call() -> None:
    told = assembled(framework(0, 100) + client(5, 95))
    assert generated(told) == (1, 0)
    assert told.queries[0].steps[1].input_tokens == 120


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (client(5, 150), "it ends later"),
        (client(-50, 50), "it begins earlier"),
        (client(5, 95, "claude"), "another model"),
        ([came._replace(origin=came.origin._replace(service="other")) for came in client(5, 95)], "another service"),
        (
            moved(spans_of(Spun("Agent LLM", {"openinference.span.kind": "LLM"}, scope="langchain")), 5, 95),
            "a framework's",
        ),
        (
            moved(spans_of(Spun("embed", {"gen_ai.operation.name": "embeddings"}, kind=CLIENT, scope="x")), 5, 95),
            "a step",
        ),
    ],
)
def test_what_is_no_call_of_the_frameworks_stays_its_own(call: list[Came], why: str) -> None:
    told = assembled(framework(0, 100) + call)
    assert len(told.loose) == 1, why


def test_the_same_answer_beats_the_tighter_window() -> None:
    wide = framework(0, 100, output__value='{"id": "chatcmpl-abcd1"}')
    tight = framework(5, 95, output__value='{"id": "chatcmpl-abcd2"}')
    told = assembled(wide + tight + client(10, 90, gen_ai__response__id="chatcmpl-abcd1"))
    tokens = {record.trace_id: record.steps[1].input_tokens for record in told.queries}
    assert tokens == {wide[0].raw.trace_id.hex(): 120, tight[0].raw.trace_id.hex(): None}


def test_overlapping_calls_each_find_their_own() -> None:
    pairs = [(framework(at, at + 100), client(at + 2, at + 98)) for at in range(0, 50, 5)]
    spans = [came for host, call in pairs for came in host + call]
    Random(1).shuffle(spans)
    told = assembled(spans)
    assert generated(told) == (10, 0)
    assert all(record.steps[1].input_tokens == 120 for record in told.queries)


@pytest.mark.parametrize("client_first", [True, False])
def test_it_does_not_matter_whose_trace_is_due_first(client_first: bool) -> None:
    queries: list[QueryRecord] = []
    loose: list[Step] = []
    tallies: Counter[str] = Counter()
    events = Events(queries.append, lambda step, _: loose.append(step), lambda metric, _: tallies.update([metric]))
    assembler = Assembler(events, linger_s=1, foreign_linger_s=6, incomplete_after_s=100, max_spans=1000)
    groups = [framework(0, 100), client(5, 95)]
    for now, spans in enumerate(reversed(groups) if client_first else groups):
        for came in spans:
            assembler.add(came.raw, came.origin, 1, now * 5.0, came.scope)
    for now in (5.5, 6.5, 20.0):
        assembler.release(now)
    assert [len(record.steps) for record in queries] == [2]
    assert loose == []


def test_however_many_wait_each_finds_its_own() -> None:
    spans = [
        came for at in range(1500) for came in framework(at * 20, at * 20 + 15) + client(at * 20 + 1, at * 20 + 14)
    ]
    assert generated(assembled(spans)) == (1500, 0)


def test_a_stream_of_minutes_is_found_too() -> None:
    assert generated(assembled(framework(0, 300_000) + client(10, 299_000))) == (1, 0)


def beside(*calls: list[Came]) -> list[Came]:
    """Calls right below one span of the app's own, each as the only span of its part."""
    (app,) = moved(spans_of(Spun("POST /ask", kind=SERVER)), 0, 200)
    raw = app.raw
    return [
        app,
        *(came._replace(raw=came.raw._replace(trace_id=raw.trace_id, parent_id=raw.span_id)) for (came,) in calls),
    ]


def wrapped(start_ms: float, end_ms: float, **attributes: Any) -> list[Came]:
    """A framework's model call by itself."""
    return moved(spans_of(oi("LLM", "ChatOpenAI", llm__model_name="gpt-4o", **attributes)), start_ms, end_ms)


def test_a_client_beside_the_frameworks_call_is_that_call() -> None:
    told = assembled(beside(wrapped(0, 100), client(5, 95)))
    assert generated(told) == (1, 0)
    assert told.queries[0].steps[0].input_tokens == 120


def test_calls_at_once_beside_one_another_each_find_their_own() -> None:
    told = assembled(beside(wrapped(0, 100), wrapped(1, 100), client(5, 95), client(6, 95)))
    assert generated(told) == (2, 0)
    assert [step.input_tokens for step in told.queries[0].steps] == [120, 120]


@pytest.mark.parametrize(
    "calls",
    [
        (wrapped(0, 100), client(110, 190)),
        (wrapped(0, 100), client(5, 95, "claude")),
        (client(0, 100, gen_ai__response__id="a"), client(5, 95, gen_ai__response__id="b")),
        (
            wrapped(0, 100, output__value='{"id": "chatcmpl-aaaaa"}'),
            client(5, 95, gen_ai__response__id="chatcmpl-bbbbb"),
        ),
    ],
    ids=["later", "another model", "one instrumentor", "another answer"],
)
def test_what_is_another_call_stays_one(calls: tuple[list[Came], ...]) -> None:
    assert generated(assembled(beside(*calls))) == (2, 0)


def test_a_report_of_no_duration_is_of_the_call_before_it() -> None:
    silent = moved(spans_of(chat()), 0, 50)
    silent[0].raw.attributes.pop("gen_ai.usage.output_tokens")
    told = assembled(beside(silent, moved(spans_of(chat(gen_ai__response__id="a")), 60, 60)))
    assert generated(told) == (1, 0)
    (step,) = told.queries[0].steps
    assert (step.output_tokens, step.cache_result) == (17, None)
