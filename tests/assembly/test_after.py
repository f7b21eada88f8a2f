"""Runs of a leaked context, and late steps, that come after their trace was handed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwatch.assembly import after
from ragwatch.assembly.assembler import Assembler, Events
from ragwatch.assembly.whole import Whole, assemble_all
from ragwatch.conventions.own_scan import COMPILED
from ragwatch.record import QueryRecord, Step
from tests.support.captures import GIVEN, GOLDEN, Came, truths
from tests.support.captures import spans_of as spans_in_file
from tests.support.foreign import CLIENT, REMOTE, SERVER, Spun, llm, oi, retriever, spans_of, spun, walk

LINGER_S = 6.0


class Live:
    """The live assembler, told span by span when each comes."""

    def __init__(self, **bounds: Any) -> None:
        self.queries: list[QueryRecord] = []
        self.loose: list[Step] = []
        self.tallies: Counter[tuple[str, str]] = Counter()
        events = Events(self.queries.append, lambda step, _origin: self.loose.append(step), self._tally)
        options = {"linger_s": 1.0, "foreign_linger_s": LINGER_S, "incomplete_after_s": 300.0, "max_spans": 10_000}
        self.assembler = Assembler(events, **{**options, **bounds})
        self.now = 0.0
        self._row = 0

    def _tally(self, metric: str, reason: str) -> None:
        self.tallies[metric.removeprefix("ragwatch.agent."), reason] += 1

    def take(self, spans: Iterable[Came], pause_s: float = LINGER_S + 1) -> Live:
        """A batch of spans, and a pause after it."""
        for came in spans:
            self._row += 1
            self.assembler.add(came.raw, came.origin, self._row, self.now, came.scope)
        self.now += pause_s
        self.assembler.release(self.now)
        return self

    def end(self) -> Live:
        """Nothing comes any more."""
        self.now += 1000
        self.assembler.release(self.now)
        assert self.assembler.spans == 0
        assert self.assembler.pending() == (set(), b"")
        self.queries.sort(key=lambda record: (record.start_ns, record.span_id))
        return self


def at_once(spans: Iterable[Came]) -> Whole:
    return assemble_all((came.raw, came.scope, came.origin) for came in spans)


def by_query(spans: Sequence[Came]) -> list[list[Came]]:
    """The spans of each run, the run that ended first before the others."""
    whole = at_once(spans)
    roots = {node.span.span_id: node for node in whole.nodes if node.role == "query"}
    of_root: dict[bytes, list[Came]] = {}
    of_span = {
        node.span.span_id: next(
            (above.span.span_id for above in (node, *node.above()) if above.span.span_id in roots), b""
        )
        for node in whole.nodes
    }
    for came in spans:
        of_root.setdefault(of_span[came.raw.span_id], []).append(came)
    return [of_root[key] for key in sorted(of_root, key=lambda key: roots[key].span.end_ns if key else 0)]


def leaked_runs(spans: Sequence[Came]) -> int:
    """How many queries of these spans hang below another's."""
    whole = at_once(spans)
    return sum(any(above.role == "query" for above in node.above()) for node in whole.nodes if node.role == "query")


CAPTURES = {
    name: spans_in_file(folder / f"{name}.otlp.jsonl")
    for folder in (GIVEN, GOLDEN)
    if folder.exists()
    for name in truths(folder)
}
LEAKED = sorted(name for name, spans in CAPTURES.items() if leaked_runs(spans))


def test_some_recordings_hold_leaked_runs() -> None:
    assert LEAKED


@pytest.mark.parametrize("name", LEAKED)
def test_a_recorded_run_that_comes_after_the_one_before_was_handed_on_is_a_query(name: str) -> None:
    spans = CAPTURES[name]
    whole = at_once(spans)
    live = Live()
    for group in by_query(spans):
        live.take(group)
    live.end()
    assert live.queries == whole.queries
    assert live.tallies["late", "after_query"] == 0
    assert sorted(live.loose, key=str) == sorted(whole.loose, key=str)


def by_end(spans: Iterable[Came]) -> list[Came]:
    """As a batch processor exports them; of two that end together the inner one is first."""
    return sorted(spans, key=lambda came: (came.raw.end_ns, -came.raw.start_ns))


@pytest.mark.parametrize("name", sorted(CAPTURES))
def test_recorded_spans_cut_anywhere_in_time_are_the_same_queries(name: str) -> None:
    spans = CAPTURES[name]
    whole = at_once(spans)
    pauses = PAUSES_S if name not in APART else tuple(pause for pause in PAUSES_S if pause < 1)
    for seed in range(4):
        live = cut(by_end(spans), Random(seed), pauses).end()
        assert live.queries == whole.queries
        assert sorted(live.loose, key=str) == sorted(whole.loose, key=str)
        assert live.tallies["late", "after_query"] == 0


PAUSES_S = (0.1, LINGER_S - 1, LINGER_S + 1, 30.0)
APART = {"double-openinference-langchain-plus-openai"}
"""A client's span there is a trace of its own: it waits one linger for the framework's."""


def cut(spans: Sequence[Came], rng: Random, pauses_s: Sequence[float] = PAUSES_S) -> Live:
    """Batches of any size with pauses of any length between them."""
    live = Live()
    at = 0
    while at < len(spans):
        size = rng.randint(1, 8)
        live.take(spans[at : at + size], rng.choice(pauses_s))
        at += size
    return live


def run(rng: Random, name: str) -> Spun:
    """A run of one framework: with parts of its own, clients below its model calls, and sometimes a failure."""
    model = llm(error="RateLimitError: slow down" if rng.random() < 0.2 else None)
    if rng.random() < 0.4:
        model.below = [
            spun("chat", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}, kind=CLIENT,
                 scope="opentelemetry.instrumentation.openai")
        ]  # fmt: skip
    parts: list[Spun] = [retriever()] if rng.random() < 0.8 else []
    if rng.random() < 0.5:
        parts.append(oi("CHAIN", "part", llm()))
    if rng.random() < 0.3:
        parts.append(spun("POST", {"http.request.method": "POST"}))
    return oi(rng.choice(("CHAIN", "AGENT")), name, *parts, model)


def leaking(rng: Random) -> list[Came]:
    """One trace of several runs, one after the other, each below some span of one that was before it."""
    spans: list[Came] = []
    hosts: list[Came] = []
    end = 0
    for number in range(rng.randint(2, 5)):
        came = spans_of(run(rng, rng.choice(("graph", "other"))), trace=7)
        move = end + rng.randint(0, 3) * 1_000_000 - min(one.raw.start_ns for one in came) if number else 0
        root = came[0].raw.span_id
        parent = rng.choice(hosts).raw.span_id if hosts else b""
        placed = [
            one._replace(
                raw=one.raw._replace(
                    start_ns=one.raw.start_ns + move,
                    end_ns=one.raw.end_ns + move,
                    parent_id=parent if one.raw.span_id == root else one.raw.parent_id,
                    events=None,
                )
            )
            for one in came
        ]
        spans += placed
        hosts += placed
        end = max(one.raw.end_ns for one in spans)
    return spans


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32))
def test_leaked_runs_cut_anywhere_in_time_are_the_same_queries(seed: int) -> None:
    rng = Random(seed)
    spans = leaking(rng)
    whole = at_once(spans)
    live = cut(by_end(spans), rng).end()
    assert live.queries == whole.queries
    assert live.loose == whole.loose == []
    assert live.tallies["late", "after_query"] == 0


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32))
def test_nothing_is_counted_twice_in_whatever_order_runs_come(seed: int) -> None:
    rng = Random(seed)
    spans = leaking(rng)
    rng.shuffle(spans)
    live = cut(spans, rng).end()
    told = [step.span_id for record in live.queries for step in record.steps] + [step.span_id for step in live.loose]
    assert len(told) == len(set(told))
    roots = [record.span_id for record in live.queries if record.outcome != "incomplete"]
    assert len(roots) == len(set(roots))


def test_a_call_of_a_leaked_run_below_anothers_call_is_a_call_of_its_own() -> None:
    first, second = two_runs()
    answer = first[-1].raw
    second[0] = second[0]._replace(raw=second[0].raw._replace(parent_id=answer.span_id))
    assert [[step.step for step in record.steps] for record in at_once([*first, *second]).queries] == [
        ["retrieve", "generate"],
        ["retrieve", "generate"],
    ]


def two_runs() -> tuple[list[Came], list[Came]]:
    first, second = oi("CHAIN", "graph", retriever(), llm()), oi("CHAIN", "graph", retriever(), llm())
    (one, *inner), later = spans_of(first, trace=9), spans_of(second, trace=9)
    move = one.raw.end_ns + 1 - later[0].raw.start_ns
    later = [
        came._replace(raw=came.raw._replace(start_ns=came.raw.start_ns + move, end_ns=came.raw.end_ns + move))
        for came in later
    ]
    later[0] = later[0]._replace(raw=later[0].raw._replace(parent_id=inner[0].raw.span_id))
    return [one, *inner], later


def test_a_step_of_a_query_that_was_handed_on_stays_late() -> None:
    (root, found, answer), _ = two_runs()
    live = Live().take([root, answer]).take([found]).end()
    assert [[step.step for step in record.steps] for record in live.queries] == [["generate"]]
    assert [step.step for step in live.loose] == ["retrieve"]
    assert live.tallies["late", "after_query"] == 1


def test_a_late_client_span_of_a_call_that_was_handed_on_is_no_second_call() -> None:
    client = spun("chat", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}, kind=CLIENT,
                  scope="opentelemetry.instrumentation.openai")  # fmt: skip
    model = llm()
    model.below = [client]
    tree = oi("CHAIN", "graph", retriever(), model)
    spans = spans_of(tree)
    late = [came for came, one in zip(spans, walk(tree), strict=True) if one is client]
    live = Live().take([came for came in spans if came not in late]).take(late).end()
    assert live.loose == []
    assert [len(record.steps) for record in live.queries] == [2]
    assert live.tallies["late", "after_query"] == 1


def test_a_second_request_of_one_caller_that_comes_after_the_first_was_handed_on_is_a_query() -> None:
    def request() -> Spun:
        return spun("POST /ask", {}, retriever(), llm(), kind=SERVER, flags=REMOTE, parent_id=b"elsewher")

    first = spans_of(request(), trace=11)
    later = [
        came._replace(raw=came.raw._replace(start_ns=came.raw.start_ns + 10**9, end_ns=came.raw.end_ns + 10**9))
        for came in spans_of(request(), trace=11)
    ]
    live = Live()
    live.take(spans_of(request(), trace=10), 400)  # the agent learns that callers of this service do not report to it
    live.take(first).take(later).end()
    assert [[step.step for step in record.steps] for record in live.queries] == [["retrieve", "generate"]] * 3
    assert live.tallies["late", "after_query"] == 0


def test_a_run_whose_own_span_never_comes_is_incomplete_and_not_late() -> None:
    first, (_, *steps) = two_runs()
    live = Live().take(first).take(steps).end()
    assert [record.outcome for record in live.queries] == ["ok", "incomplete"]
    assert live.tallies["incomplete", "no_root"] == 1
    assert live.tallies["late", "after_query"] == 0


def test_a_part_of_a_run_that_came_with_the_run_before_waits_for_the_rest() -> None:
    first, (root, found, answer) = two_runs()
    live = Live().take([*first, found])
    assert len(live.queries) == 1
    assert live.loose == []
    assert live.assembler.spans == 1
    live.take([answer, root], 0.5).end()
    assert [[step.step for step in record.steps] for record in live.queries] == [["retrieve", "generate"]] * 2


@pytest.mark.skipif(COMPILED, reason="the bound is compiled in")
def test_what_is_remembered_of_runs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after, "MAX_BYTES", 10_000)
    live = Live()
    for number in range(100, 150):
        live.take(spans_of(oi("CHAIN", "graph", retriever(), llm()), trace=number))
    known = [number for number in range(100, 150) if live.assembler._after.knows(number.to_bytes(16))]
    assert known == list(range(150 - len(known), 150))
    assert 10 < len(known) < 25


def test_the_bound_on_spans_holds_for_what_waits_for_a_run() -> None:
    first, (_, *steps) = two_runs()
    live = Live(max_spans=1).take(first).take(steps)
    assert live.assembler.spans <= 1


def starting(spans: Sequence[Came], start_s: float, parent_id: bytes | None = None) -> list[Came]:
    """The same spans begun at another time, the first of them below another parent."""
    move = int(start_s * 1e9) - spans[0].raw.start_ns
    found = [
        came._replace(raw=came.raw._replace(start_ns=came.raw.start_ns + move, end_ns=came.raw.end_ns + move))
        for came in spans
    ]
    if parent_id is not None:
        found[0] = found[0]._replace(raw=found[0].raw._replace(parent_id=parent_id))
    return found


def a_run(start_s: float, parent_id: bytes | None = None) -> list[Came]:
    return starting(spans_of(oi("CHAIN", "graph", retriever(), llm()), trace=9), start_s, parent_id)


def test_runs_that_never_end_in_a_trace_that_goes_on_are_counted_in_time_and_forgotten() -> None:
    first = a_run(0)
    live = Live().take(first, 60)
    leaking_id = first[1].raw.span_id
    for minute in range(1, 31):
        _, *steps = a_run(60 * minute + 20)
        live.take([*a_run(60 * minute, leaking_id), *steps], 60)
        assert live.assembler.spans <= 6 * 2
        rows, _ = live.assembler.pending()
        assert len(rows) <= live.assembler.spans, "a row that holds nothing any more is let go"
    assert sum(record.outcome == "incomplete" for record in live.queries) >= 30 - 6
    live.end()
    assert [record.outcome for record in live.queries].count("ok") == 31
    assert [record.outcome for record in live.queries].count("incomplete") == 30


def test_runs_of_a_trace_whose_spans_never_cease_are_handed_on_within_a_minute() -> None:
    first = a_run(0)
    live = Live().take(first, 1)
    for second in range(1, 400):
        live.take(a_run(second, first[1].raw.span_id), 1)
        assert len(live.queries) >= second - 10 * LINGER_S - LINGER_S


@pytest.mark.parametrize("called", [False, True], ids=["from here", "from elsewhere"])
def test_a_part_in_another_service_that_comes_late_is_no_query_of_its_own(called: bool) -> None:
    sends = spun("POST", {"http.request.method": "POST"}, kind=CLIENT)
    root = (
        spun("POST /ask", {}, retriever(), sends, llm(), kind=SERVER)
        if called
        else oi("CHAIN", "g", retriever(), sends)
    )
    if called:
        root.flags, root.parent_id = REMOTE, b"elsewher"
    spans = spans_of(root, trace=5)
    (sent,) = [came.raw for came in spans if came.raw.name == "POST"]
    served = spun("POST /gen", {}, llm(), kind=SERVER, flags=REMOTE, parent_id=sent.span_id, service="model")
    other = starting(spans_of(served, trace=5), sent.start_ns / 1e9)
    assert len(at_once([*spans, *other]).queries) == 1
    live = Live().take(spans, 100).take(other).end()
    assert [record.service for record in live.queries] == ["bot"]
    assert [step.step for step in live.loose] == ["generate"]
    assert live.tallies["late", "after_query"] == 1


def test_runs_below_a_span_from_before_the_agents_restart_are_queries() -> None:
    runs = [a_run(minute * 60, b"longgone") for minute in range(5)]
    live = Live().take(came for run in runs for came in run).end()
    assert [(record.outcome, len(record.steps)) for record in live.queries] == [("ok", 2)] * 5


def test_parts_of_a_run_that_never_came_are_one_incomplete_query() -> None:
    looked, answered = oi("CHAIN", "look", retriever()), oi("CHAIN", "answer", llm())
    parts = [came for tree in (looked, answered) for came in starting(spans_of(tree, trace=9), 0, b"longgone")]
    live = Live().take(parts).end()
    assert [(record.outcome, len(record.steps)) for record in live.queries] == [("incomplete", 2)]
