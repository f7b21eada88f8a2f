"""Spans to queries: late, shuffled, twice, several in one trace, without a root; bounded, and each loss counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ragwatch.assembly.assembler import Assembler, Events, Origin
from ragwatch.conventions.decode import RawSpan
from ragwatch.record import QueryRecord, Step

ORIGIN = Origin("bot", "prod", "i-1")


class Collected:
    """What an assembler told."""

    def __init__(self, **bounds: Any) -> None:
        self.queries: list[QueryRecord] = []
        self.loose: list[Step] = []
        self.tallies: Counter[tuple[str, str]] = Counter()
        events = Events(self.queries.append, lambda step, _origin: self.loose.append(step), self._tally)
        options = {"linger_s": 1.0, "incomplete_after_s": 100.0, "max_spans": 10_000, **bounds}
        self.assembler = Assembler(events, **options)

    def _tally(self, metric: str, reason: str) -> None:
        self.tallies[metric.removeprefix("ragwatch.agent."), reason] += 1

    def add(self, *spans: RawSpan, now: float = 0.0) -> None:
        for row, span in enumerate(spans):
            self.assembler.add(span, ORIGIN, row, now)


def span(
    kind: str | None,
    number: int,
    parent: int | None = None,
    *,
    trace: int = 1,
    start: int = 0,
    end: int = 100,
    **more: Any,
) -> RawSpan:
    attributes = {} if kind is None else {"rag.step": kind}
    fields: dict[str, Any] = {"kind": 0, "links": None, "trace_state": "", "flags": 0, "dropped_attributes": 0}
    fields.update(
        trace_id=trace.to_bytes(16),
        span_id=number.to_bytes(8),
        parent_id=b"" if parent is None else parent.to_bytes(8),
        name=kind or "other",
        start_ns=start,
        end_ns=end,
        status_code=0,
        status_message="",
        events=[],
        attributes={**attributes, **more},
    )
    return RawSpan(**fields)


USUAL = (
    span("embed", 2, 1, start=5, end=20),
    span("retrieve", 3, 1, start=20, end=50),
    span(None, 9, 1, start=55, end=95),
    span("generate", 4, 9, start=60, end=90),
    span("query", 1, None, start=0, end=100),
)


@given(st.permutations(list(USUAL) + list(USUAL)))
def test_shuffled_and_twice_gives_the_same_record_once(spans: list[RawSpan]) -> None:
    usual, found = Collected(), Collected()
    usual.add(*USUAL)
    found.add(*spans)
    for held in (usual, found):
        held.assembler.release(now=2.0)
    assert found.queries == usual.queries
    assert [step.step for step in found.queries[0].steps] == ["embed", "retrieve", "generate"]
    assert found.tallies["duplicates", "span"] == 4
    assert found.assembler.spans == 0


def test_the_root_waits_a_little_for_steps_of_other_processes() -> None:
    found = Collected(linger_s=1.0)
    found.add(USUAL[-1], now=0.0)
    found.assembler.release(now=0.5)
    assert found.queries == []
    found.add(*USUAL[:-1], now=0.9)
    found.assembler.release(now=1.0)
    assert len(found.queries[0].steps) == 3


def test_others_spans_behind_the_root_make_it_wait_for_longer_and_not_for_ever() -> None:
    found = Collected(linger_s=1.0, foreign_linger_s=6.0)
    found.add(USUAL[-1], now=0.0)
    found.add(span(None, 5, 1, start=20, end=50, **{"openinference.span.kind": "RETRIEVER"}), now=0.1)
    for tenth in range(1, 60):
        found.assembler.release(now=tenth / 10)
        assert found.queries == []
    found.assembler.release(now=6.1)
    assert [[step.step for step in record.steps] for record in found.queries] == [["retrieve"]]
    assert found.assembler.spans == 0


def test_a_step_that_comes_too_late_is_a_step_alone() -> None:
    found = Collected()
    found.add(*USUAL[1:])
    found.assembler.release(now=2.0)
    found.add(USUAL[0], now=3.0)
    found.assembler.release(now=200.0)
    assert [step.step for step in found.loose] == ["embed"]
    assert found.tallies["late", "after_query"] == 1
    assert len(found.queries) == 1


def test_a_trace_may_go_on_for_hours_with_one_query_after_another() -> None:
    found = Collected()
    for hour in range(3):
        now = hour * 3600.0
        first = hour * 10
        found.add(span("retrieve", first + 2, first + 1, start=5, end=20), now=now)
        found.add(span("query", first + 1, 999, start=0, end=100), now=now + 1)
        found.assembler.release(now=now + 100)
    assert [[step.step for step in record.steps] for record in found.queries] == [["retrieve"]] * 3
    assert found.loose == []
    assert not found.tallies


def test_a_session_that_is_one_trace_has_foreign_queries_for_as_long_as_it_lasts() -> None:
    found = Collected()
    for hour in range(3):
        first = hour * 10
        run = {"traceloop.span.kind": "workflow", "traceloop.entity.name": "qa"}
        found.add(
            span(None, first + 2, first + 1, start=5, end=20, **{"gen_ai.operation.name": "chat"}),
            span(None, first + 1, 999, start=0, end=100, **run),
            now=hour * 3600.0,
        )
        found.assembler.release(now=hour * 3600.0 + 200)
    assert [[step.step for step in record.steps] for record in found.queries] == [["generate"]] * 3
    assert not found.tallies


def test_a_root_that_never_comes_is_incomplete_and_no_success() -> None:
    found = Collected(incomplete_after_s=10.0)
    found.add(*USUAL[:-1])
    found.assembler.release(now=9.0)
    assert found.queries == []
    found.assembler.release(now=10.0)
    assert [record.outcome for record in found.queries] == ["incomplete"]
    assert found.tallies["incomplete", "no_root"] == 1


def test_several_queries_in_one_trace_keep_their_own_steps() -> None:
    found = Collected()
    found.add(
        span("retrieve", 3, 1, start=1, end=9), span("query", 1, None, start=0, end=10),
        span("retrieve", 4, 2, start=21, end=29), span("generate", 5, 4, start=22, end=28),
        span("query", 2, None, start=20, end=30), span("tool", 6, 99, start=25, end=26),
    )  # fmt: skip
    found.assembler.release(now=2.0)
    assert [[step.step for step in record.steps] for record in found.queries] == [
        ["retrieve"],
        ["retrieve", "generate", "tool"],
    ]


def test_over_the_bound_what_waited_longest_goes_first() -> None:
    found = Collected(max_spans=100)
    for number in range(150):
        found.add(span("retrieve", number + 1, 1000, trace=number + 1))
    found.assembler.release(now=0.0)
    assert found.assembler.spans <= 100
    assert found.tallies["incomplete", "too_many_spans"] == len(found.queries) >= 50
    assert found.queries[0].trace_id == f"{1:032x}"


def test_spans_full_of_text_are_bounded_by_their_bytes() -> None:
    found = Collected(max_bytes=1000.0)
    for number in range(150):
        kind = "retrieve" if number % 2 else None
        found.assembler.add(span(kind, number + 1, 1000, trace=number + 1), ORIGIN, number, 0.0, size=10.0)
    found.assembler.release(now=0.0)
    assert 80 <= found.assembler.spans <= 90
    assert found.assembler.bytes == 10.0 * found.assembler.spans
    assert found.tallies["incomplete", "too_many_spans"] == len(found.queries) == 30
    found.assembler.release(now=1000.0)
    assert (found.assembler.spans, found.assembler.bytes) == (0, 0.0)


def test_a_step_on_top_is_counted_with_those_below_it_unless_its_process_counts_itself() -> None:
    found = Collected()
    found.add(span("embed", 3, 1), span("ingest", 1), span("ingest", 2, trace=2, **{"ragwatch.counted": True}))
    found.assembler.release(now=2.0)
    assert [step.step for step in found.loose] == ["embed", "ingest"]
    assert found.queries == []
    assert found.assembler.pending() == (set(), b"")


def test_ids_of_a_wrong_length_are_counted_and_left_out() -> None:
    found = Collected()
    found.add(span("query", 1)._replace(span_id=b"abc"), span("query", 1)._replace(trace_id=b""))
    assert found.tallies["decode_errors", "invalid_id"] == 2
    assert found.assembler.spans == 0


def test_what_waits_is_named_so_that_a_restart_can_read_it_again() -> None:
    found = Collected()
    found.add(*USUAL[:3])
    rows, ids = found.assembler.pending()
    assert rows == {0, 1, 2}
    assert ids == b"".join((1).to_bytes(16) + number.to_bytes(8) for number in (2, 3, 9))
