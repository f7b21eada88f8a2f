"""ragwatch's own convention: attributes to a step, wrong types to nothing, and documents there and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwatch import semconv
from ragwatch.conventions.own import documents_from, pack_documents, step_name, to_step
from ragwatch.record import Document, Step

VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(st.text(max_size=5), max_size=3)
)
KEYS = st.sampled_from(
    sorted(value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str))
)


def step(attributes: dict[str, Any], status: tuple[int, str] = (0, ""), events: Any = None) -> Step:
    return to_step("retrieve", "r", ("t", "s", None), (1, 2), status, attributes, events)


@given(st.dictionaries(KEYS, VALUES), st.integers(0, 2), st.text(max_size=50))
def test_no_attributes_raise_and_numbers_stay_in_their_bounds(attributes: Any, status: int, message: str) -> None:
    found = step(attributes, (status, message))
    assert found.outcome in semconv.OUTCOMES
    for field in ("input_tokens", "output_tokens", "top_k", "document_count", "attempts"):
        value = getattr(found, field)
        assert value is None or (type(value) is int and value >= 0)
    assert found.cost_usd is None or found.cost_usd >= 0
    assert (found.error_class is None) == (found.outcome != "error")


@pytest.mark.parametrize(
    ("key", "value", "field", "wanted"),
    [
        (semconv.INPUT_TOKENS, 7, "input_tokens", 7),
        (semconv.INPUT_TOKENS, "7", "input_tokens", None),
        (semconv.INPUT_TOKENS, -1, "input_tokens", None),
        (semconv.INPUT_TOKENS, True, "input_tokens", None),
        (semconv.CACHE_HIT, True, "cache_result", "hit"),
        (semconv.CACHE_HIT, "yes", "cache_result", None),
        (semconv.CACHE_RESULT, "stale", "cache_result", "stale"),
        (semconv.CACHE_RESULT, "nonsense", "cache_result", None),
        (semconv.BREAKER_NAME, "index", "breaker", ("index",)),
        (semconv.BREAKER_STATE, ["open", "closed"], "breaker_state", ("open", "closed")),
        (semconv.BREAKER_STATE, ("open", 7), "breaker_state", None),
        (semconv.BREAKER_NAME, ["x"] * 100, "breaker", ("x",) * 8),
        (semconv.BREAKER_NAME, "", "breaker", None),
        (semconv.OUTCOME, "degraded", "outcome", "degraded"),
        (semconv.OUTCOME, "great", "outcome", "ok"),
        (semconv.TOP_K_ALIAS, 3, "top_k", 3),
        (semconv.COST_USD, 0.5, "cost_usd", 0.5),
        (semconv.COST_USD, float("nan"), "cost_usd", None),
    ],
)
def test_fields(key: str, value: Any, field: str, wanted: Any) -> None:
    assert getattr(step({key: value}), field) == wanted


def test_an_error_is_read_from_status_and_exception_event() -> None:
    event = (
        semconv.EVENT_EXCEPTION,
        1,
        {semconv.EXCEPTION_TYPE: "openai.RateLimitError", semconv.EXCEPTION_MESSAGE: "slow"},
    )
    found = step({}, (2, "boom"), [event])
    assert (found.outcome, found.error_type, found.error_class, found.error_message) == (
        "error", "openai.RateLimitError", "rate_limited", "slow",
    )  # fmt: skip
    assert step({}, (2, "TimeoutError: too slow")).error_class == "timeout"
    assert step({semconv.ERROR_CLASS: "auth"}, (2, "boom")).error_class == "auth"


def test_which_step_a_span_is() -> None:
    assert step_name({semconv.STEP: "retrieve"}) == "retrieve"
    assert step_name({semconv.STEP_ALIAS: "cache"}) == "cache"
    assert step_name({semconv.STEP: "dance"}) is None
    assert step_name({semconv.STEP: 7}) is None


DOCUMENTS = st.builds(
    Document,
    id=st.none() | st.text(min_size=1, max_size=10),
    rank=st.integers(1, 50),
    score=st.none() | st.floats(-10, 10),
    distance=st.none() | st.floats(0, 10),
    id_from=st.sampled_from(("id", "metadata", "content_hash")),
    content_hash=st.none() | st.text("0123456789abcdef", min_size=16, max_size=16),
    date=st.none() | st.floats(0, 2e9),
    text=st.none() | st.text(min_size=1, max_size=20),
)


@given(st.lists(DOCUMENTS, max_size=5))
def test_documents_there_and_back(documents: list[Document]) -> None:
    wanted = tuple(item._replace(rank=rank) for rank, item in enumerate(documents, 1))  # as ``to_documents`` ranks them
    back = documents_from(pack_documents(tuple(wanted)))
    assert back is not None
    assert [(item.id, item.rank, item.score, item.content_hash) for item in back] == [
        (item.id, item.rank, item.score, item.content_hash) for item in wanted
    ]


@pytest.mark.parametrize("packed", ["not json", "{}", 7, None, {"a": 1}, "null"])
def test_documents_that_cannot_be_read_are_absent(packed: Any) -> None:
    assert documents_from(packed) is None
