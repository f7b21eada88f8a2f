"""Records survive JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwatch.record import Document, Label, QueryRecord
from tests.support.records import query, step

NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False)
documents = st.builds(
    Document, st.none() | st.text(), st.integers(1, 100), NUMBER, NUMBER, date=NUMBER, text=st.none() | st.text()
)
steps = st.builds(
    step,
    st.sampled_from(["retrieve", "generate"]),
    documents=st.none() | st.lists(documents, max_size=3).map(tuple),
    model=st.none() | st.text(min_size=1),
    input_tokens=st.none() | st.integers(0, 2**40),
    extra=st.none() | st.dictionaries(st.text(), st.text() | st.integers() | st.booleans(), max_size=3),
)
records = st.builds(
    query,
    steps=st.lists(steps, max_size=3).map(tuple),
    label=st.none()
    | st.builds(Label, st.just("label"), st.integers(1, 10), st.booleans(), st.floats(0, 1), st.floats(0, 1)),
    critical_path=st.lists(st.tuples(st.just("query"), st.floats(0, 9)), max_size=2).map(tuple),
    question=st.none() | st.text(),
)


@given(records)
def test_json_and_back_is_the_same_record(record: QueryRecord) -> None:
    assert QueryRecord.from_json(record.to_json()) == record


def test_what_is_unknown_is_left_out() -> None:
    data = query(steps=(step(),)).to_dict()
    assert "error_class" not in data
    assert "model" not in data["steps"][0]


def test_what_is_no_record_says_so() -> None:
    with pytest.raises(ValueError, match="not a query record"):
        QueryRecord.from_json('{"trace_id": "x"}')


def test_keys_of_a_later_version_are_ignored() -> None:
    data = query().to_dict() | {"shoe_size": 43}
    assert QueryRecord.from_dict(data).service == "bot"
