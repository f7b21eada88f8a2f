from __future__ import annotations

import re
from pathlib import Path

import pytest

from ragwatch.demo.errors import DemoInputError
from ragwatch.demo.evaluate import evaluate
from ragwatch.demo.golden import Golden, folder_golden, load_golden, packaged_golden
from ragwatch.demo.index import Index
from ragwatch.demo.jsonl import read_jsonl
from ragwatch.demo.rag import Rag

PACKAGED = Path(__file__).parents[2] / "ragwatch" / "demo" / "golden.jsonl"


def test_the_packaged_questions_are_many_and_a_third_is_kept_for_the_test() -> None:
    rows = [value for _, value in read_jsonl(PACKAGED)]
    assert len(rows) >= 120
    assert len({row["question"] for row in rows}) == len(rows)
    assert 0.3 <= sum(row["split"] == "test" for row in rows) / len(rows) <= 0.4


def test_no_question_names_the_function_that_answers_it() -> None:
    for _, row in read_jsonl(PACKAGED):
        asked = set(re.findall(r"\w+", row["question"].lower()))
        names = {key.rpartition(".")[2].lower() for key in row["relevant"] if not key.startswith("topics/")}
        assert not asked & names, row


def test_nearly_every_id_of_the_packaged_questions_exists_here(python_index: Index) -> None:
    known = set(python_index.ids)
    wanted = [key for _, row in read_jsonl(PACKAGED) for key in row["relevant"]]
    assert sum(key in known for key in wanted) / len(wanted) > 0.97  # names come and go with Python's versions
    assert len(packaged_golden(known)) >= 120


@pytest.mark.parametrize("split", ["dev", "test"])
def test_recall_at_five_is_at_least_a_half(python_index: Index, split: str) -> None:
    rag = Rag(python_index)
    golden = [question for question in packaged_golden(set(python_index.ids)) if question.split == split]
    found = evaluate(golden, lambda question: [hit["id"] for hit in rag.search(question, top_k=10)])
    assert found.recall.value >= 0.5


def test_the_users_labels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text('{"question": "q?", "relevant": ["a", 1]}\n{"query": "r", "ids": "a", "split": "dev"}\n')
    assert load_golden(path, {"a", "1"}) == [
        Golden("q?", frozenset({"a", "1"})),
        Golden("r", frozenset({"a"}), "dev"),
    ]


def test_a_file_that_explore_grows_is_read_as_it_was_last_judged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text(
        '{"question": "q", "relevant": ["a"]}\n{"question": "r", "relevant": ["b"]}\n'
        '{"question": "q", "judgement": "bad", "documents_found": ["a"]}\n{"question": "q", "relevant": ["b"]}\n'
        '{"question": "s", "relev'
    )
    assert load_golden(path, {"a", "b"}) == [Golden("q", frozenset("b")), Golden("r", frozenset("b"))]
    assert "line 5 is cut off" in caplog.text
    assert folder_golden(tmp_path, {"a", "b"}) == load_golden(path, {"a", "b"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"question": "q", "relevant": ["a"]}\n{\n', "golden.jsonl, line 2: not JSON"),
        ('{"relevant": ["a"]}', 'golden.jsonl, line 1: no "question" or "query" or "text"'),
        ('{"question": "q", "relevant": []}', 'golden.jsonl, line 1: no list of ids in "relevant"'),
        ('{"question": "q", "relevant": ["guide.md"]}', "did you mean guide.md#one?"),
        ('{"question": "q", "relevant": ["instal"]}', 'line 1: no document has the id "instal"; did you mean install?'),
        ("", "golden.jsonl: no questions"),
    ],
)
def test_a_wrong_label_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text(content)
    with pytest.raises(DemoInputError) as caught:
        load_golden(path, {"a", "guide.md#one", "install"})
    assert said in str(caught.value)


def test_a_test_collection_is_read_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"id": "1", "text": "one"}\n{"id": "2", "text": "two"}\n')
    (tmp_path / "qrels.tsv").write_text("query_id\tdoc_id\trelevance\n1\ta\t3\n1\tb\t0\n2\tb\t-1\n")
    assert folder_golden(tmp_path, {"a", "b"}) == [Golden("one", frozenset({"a"}))]
    (tmp_path / "qrels.tsv").write_text("query_id\tdoc_id\trelevance\n1\ta\tmuch\n")
    with pytest.raises(DemoInputError, match=r"qrels\.tsv, line 2: not a judgement"):
        folder_golden(tmp_path, {"a"})
    (tmp_path / "qrels.tsv").write_text("9\ta\t1\n")
    with pytest.raises(DemoInputError, match=r'qrels\.tsv, line 1: no query has the id "9"'):
        folder_golden(tmp_path, {"a"})


def test_a_directory_without_labels_has_none(tmp_path: Path) -> None:
    assert folder_golden(tmp_path, set()) is None
    with pytest.raises(DemoInputError, match="no labels"):
        load_golden(tmp_path, set())
