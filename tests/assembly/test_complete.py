"""From steps to the record of a query: outcome, cause, cache."""

from __future__ import annotations

from typing import Any

import pytest

from ragwatch.assembly.complete import complete
from ragwatch.record import QueryRecord, Step


def at(kind: str, span_id: str, parent: str | None, start: int, end: int, **fields: Any) -> Step:
    return Step(kind, kind, span_id, parent, start, end, trace_id="t", **fields)


def record(*steps: Step, **root: Any) -> QueryRecord:
    return complete(at("query", "root", None, 0, 100, **root), steps, service="s", environment="e")


def test_the_deepest_failing_step_is_the_cause_and_ancestors_only_carry_it() -> None:
    found = record(
        at("tool", "a", "root", 0, 90, outcome="error", error_class="other"),
        at("generate", "b", "a", 10, 80, outcome="error", error_class="rate_limited", error_type="RateLimitError"),
        at("retrieve", "c", "root", 0, 5, outcome="error", error_class="timeout"),
        outcome="error",
        error_class="other",
    )
    assert (found.cause_step, found.error_class, found.error_type) == ("generate", "rate_limited", "RateLimitError")
    assert found.cause_span_id == "b"


def test_of_two_failures_the_one_that_ended_last_is_the_cause() -> None:
    first = at("retrieve", "a", "root", 0, 20, outcome="error")
    second = at("generate", "b", "root", 30, 90, outcome="error")
    assert record(first, second, outcome="error").cause_step == "generate"


def test_a_query_that_fails_by_itself_is_its_own_cause() -> None:
    assert record(at("retrieve", "a", "root", 0, 20), outcome="error").cause_step == "query"


def test_a_failing_step_of_a_query_that_went_well_is_no_cause() -> None:
    found = record(at("cache", "a", "root", 0, 5, outcome="error", error_class="connection"))
    assert (found.outcome, found.cause_step, found.error_class) == ("ok", None, None)


@pytest.mark.parametrize(("own", "wanted"), [("ok", "degraded"), ("error", "error"), ("rejected", "rejected")])
def test_a_fallback_degrades_a_query_that_went_well(own: str, wanted: str) -> None:
    found = record(at("rerank", "a", "root", 0, 5, outcome="degraded", degraded_reason="away"), outcome=own)
    assert found.outcome == wanted
    if wanted == "degraded":
        assert found.degraded_reason == "away"


def test_the_first_cache_that_answered_is_the_querys() -> None:
    found = record(
        at("cache", "b", "root", 10, 15, cache_result="hit"),
        at("cache", "a", "root", 0, 5, cache_result="miss"),
    )
    assert found.cache == "miss"
    assert record(at("cache", "a", "root", 0, 5, cache_result="error")).cache == "none"


def test_steps_stand_in_order_of_start() -> None:
    found = record(at("rerank", "b", "root", 30, 40), at("embed", "a", "root", 0, 5), at("tool", "c", "lost", 10, 20))
    assert [step.step for step in found.steps] == ["embed", "tool", "rerank"]
