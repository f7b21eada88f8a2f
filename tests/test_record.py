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
breakers = st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=1, max_size=3).map(
    lambda found: {"breaker": tuple(found), "breaker_state": tuple(found.values())}
)
plain_steps = st.builds(
    step,
    st.sampled_from(["retrieve", "generate"]),
    documents=st.none() | st.lists(documents, max_size=3).map(tuple),
    model=st.none() | st.text(min_size=1),
    input_tokens=st.none() | st.integers(0, 2**40),
    extra=st.none() | st.dictionaries(st.text(), st.text() | st.integers() | st.booleans(), max_size=3),
)
steps = plain_steps | st.builds(lambda one, more: one._replace(**more), plain_steps, breakers)
plain_records = st.builds(
    query,
    version=st.none() | st.text(min_size=1),
    config_hash=st.none() | st.text(min_size=1),
    steps=st.lists(steps, max_size=3).map(tuple),
    label=st.none()
    | st.builds(Label, st.just("label"), st.integers(1, 10), st.booleans(), st.floats(0, 1), st.floats(0, 1)),
    critical_path=st.lists(st.tuples(st.just("query"), st.floats(0, 9)), max_size=2).map(tuple),
    question=st.none() | st.text(),
)
records = plain_records | st.builds(lambda one, more: one._replace(**more), plain_records, breakers)


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


def test_breakers_are_one_mapping_by_name() -> None:
    asked = step(breaker=("index", "backup"), breaker_state=("open", "closed"))
    data = query(steps=(asked,), breaker=("all",), breaker_state=("half_open",)).to_dict()
    assert data["breakers"] == {"all": "half_open"}
    assert data["steps"][0]["breakers"] == {"index": "open", "backup": "closed"}
    assert not {"breaker", "breaker_state"} & {*data, *data["steps"][0]}


def test_a_breaker_without_a_state_says_nothing() -> None:
    assert "breakers" not in query(steps=(step(breaker=("index",)),)).to_dict()["steps"][0]


def test_what_an_earlier_version_wrote_is_read() -> None:
    written = (
        '{"trace_id":"ab","span_id":"cd","service":"bot","environment":"","start_ns":1,"end_ns":2,"name":"query",'
        '"outcome":"ok","cache":"none","steps":[{"step":"retrieve","name":"retrieve","span_id":"ef","start_ns":1,'
        '"end_ns":2,"trace_id":"ab","outcome":"ok"}],"critical_path":[],"counted":false}'
    )
    record = QueryRecord.from_json(written)
    assert (record.version, record.breakers, record.steps[0].breakers) == (None, {}, {})
    assert record.to_json() == written


def test_breakers_that_are_no_mapping_are_no_record() -> None:
    with pytest.raises(ValueError, match="not breakers"):
        QueryRecord.from_dict(query().to_dict() | {"breakers": ["open"]})
