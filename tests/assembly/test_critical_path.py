"""The critical path adds up to the query's duration exactly, whatever the spans look like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragwatch.assembly.complete import complete
from ragwatch.assembly.critical_path import critical_path, usual_path
from ragwatch.record import Step

KINDS = ("cache", "embed", "retrieve", "rerank", "generate", "tool")
TIMES = st.integers(-50, 200)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Step, list[Step]]:
    """A query and steps that overlap, nest, stick out at either end, run backwards, and lose their parents."""
    root = Step("query", "q", "root", None, 0, draw(st.integers(0, 100)), trace_id="t")
    steps: list[Step] = []
    for number in range(draw(st.integers(0, 12))):
        known = [root.span_id, *(step.span_id for step in steps)]
        parent = draw(st.sampled_from([*known, "lost", f"s{number}"]))
        start, end = draw(TIMES), draw(TIMES)
        steps.append(Step(draw(st.sampled_from(KINDS)), "s", f"s{number}", parent, start, end, trace_id="t"))
    return root, draw(st.permutations(steps))


@given(trees())
def test_it_adds_up_to_the_querys_duration(tree: tuple[Step, list[Step]]) -> None:
    root, steps = tree
    record = complete(root, steps, service="s", environment="e")
    nanoseconds = sum(round(seconds * 1e9) for _, seconds in record.critical_path)
    assert nanoseconds == root.end_ns - root.start_ns
    assert all(seconds > 0 for _, seconds in record.critical_path)
    assert {name for name, _ in record.critical_path} <= {"query", *KINDS}


@given(trees())
def test_the_order_of_arrival_changes_nothing(tree: tuple[Step, list[Step]]) -> None:
    root, steps = tree
    one = complete(root, steps, service="s", environment="e")
    other = complete(root, steps[::-1], service="s", environment="e")
    assert sorted(one.critical_path) == sorted(other.critical_path)
    assert (one.outcome, one.cause_step, one.cache) == (other.outcome, other.cause_step, other.cache)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.sampled_from(KINDS)), max_size=10), st.integers(0, 20)
)
def test_the_short_way_agrees_with_the_general_one(parts: list[tuple[int, int, str]], rest: int) -> None:
    steps, now = [], 0
    for number, (gap, length, kind) in enumerate(parts):
        now += gap
        steps.append(Step(kind, "s", f"s{number}", "root", now, now + length, trace_id="t"))
        now += length
    root = Step("query", "q", "root", None, 0, now + rest, trace_id="t")
    flat = usual_path(root, steps)
    assert flat is not None
    assert dict(flat) == dict(critical_path(root, {"root": steps}))


def test_of_parallel_steps_the_one_that_ends_last_owns_the_time() -> None:
    root = Step("query", "q", "root", None, 0, 100)
    fast = Step("retrieve", "a", "a", "root", 10, 40)
    slow = Step("rerank", "b", "b", "root", 10, 80)
    within = Step("embed", "c", "c", "b", 20, 30)
    path = dict(critical_path(root, {"root": [fast, slow], "b": [within]}))
    assert path == {"query": 30e-9, "rerank": 60e-9, "embed": 10e-9}


def test_a_chain_of_ten_thousand_parents_does_no_harm() -> None:
    root = Step("query", "q", "root", None, 0, 10_000)
    steps = [
        Step("tool", "t", f"s{number}", f"s{number - 1}" if number else "root", 0, 10_000) for number in range(10_000)
    ]
    record = complete(root, steps, service="s", environment="e")
    assert sum(seconds for _, seconds in record.critical_path) == 10_000e-9
