from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from ragwatch.demo.build import build_index
from ragwatch.demo.cache import KEPT, open_index
from ragwatch.demo.document import Document
from ragwatch.demo.errors import DemoInputError
from ragwatch.demo.folder import FolderCorpus
from ragwatch.demo.index import Index, fuse
from ragwatch.demo.text import query_words, stems


def ids(index: Index, ranked: Sequence[tuple[int, float]]) -> list[str]:
    return [index.ids[number] for number, _ in ranked]


@pytest.mark.parametrize("question", ["copy tree", "copytree", "copy_tree", "CopyTree"])
def test_each_way_to_write_a_name_finds_it(python_index: Index, question: str) -> None:
    assert "shutil.copytree" in ids(python_index, python_index.search(question, 10))


@pytest.mark.parametrize("question", ["", "???", '" OR 1', "NEAR(a b)", "title: x", "*", "日本語", "a" * 10_000])
def test_no_question_breaks_the_search(small: Index, question: str) -> None:
    known = set(small.ids)
    assert known.issuperset(ids(small, small.search(question, 5)))
    assert known.issuperset(ids(small, small.nearest(small.embed(question), 5)))


def test_words_and_meaning_find_the_document(small: Index) -> None:
    assert ids(small, small.search("copying a directory", 5))[0] == "copy.md"
    assert ids(small, small.nearest(small.embed("monotonic clock"), 5))[0] == "clock.md"
    assert small.nearest(small.embed("zebra"), 5) == []


def test_the_thesaurus_widens_a_question(small: Index) -> None:
    with Index(small.folder, {"erase": ("remove",)}) as wider:
        assert ids(small, small.search("erase", 5)) == []
        assert ids(wider, wider.search("erase", 5)) == ["delete.md"]


def test_a_question_is_weighed_as_scikit_learn_weighs_it(tmp_path: Path) -> None:
    texts = ["copy a tree of files", "trees and more trees", "clocks tick", "files on disk", "a copy of a clock"]
    documents = [Document(key, key, text, "") for key, text in zip("vwxyz", texts, strict=True)]
    build_index(documents, tmp_path)
    with Index(tmp_path) as index:
        vectorizer = TfidfVectorizer(analyzer=stems, sublinear_tf=True).fit(
            [[key, key, *text.split()] for key, text in zip("vwxyz", texts, strict=True)]
        )
        question = "copies of clock trees"
        weights = vectorizer.transform([query_words(question)]).toarray()[0]
        terms = list(vectorizer.get_feature_names_out())
        assert index.idf("clock") == pytest.approx(vectorizer.idf_[terms.index("clock")], rel=1e-5)
        expected = weights @ index._components
        assert np.allclose(index.embed(question), expected / np.linalg.norm(expected), atol=1e-5)


def test_equal_input_makes_an_equal_index(tmp_path: Path) -> None:
    documents = [Document(f"d{n}", f"title {n}", f"word{n} word{n % 7} common text", "") for n in range(60)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        build_index(documents, tmp_path / name)
    with Index(tmp_path / "a") as one, Index(tmp_path / "b") as two:
        assert np.array_equal(one._vectors, two._vectors)


@pytest.mark.parametrize("text", ["only stop words", "a single tree", "tree"])
def test_one_document_is_enough(tmp_path: Path, text: str) -> None:
    build_index([Document("it", "it", text, "")], tmp_path)
    with Index(tmp_path) as index:
        assert ids(index, index.search(text, 5)) == ["it"]
        assert ids(index, index.nearest(index.embed("tree"), 5)) == (["it"] if "tree" in text else [])


def test_documents_of_stop_words_alone_have_no_meaning_and_can_be_found_by_word(tmp_path: Path) -> None:
    build_index([Document("it", "it", "only one", "")], tmp_path)
    with Index(tmp_path) as index:
        assert ids(index, index.search("only", 5)) == ["it"]
        assert index.nearest(index.embed("only"), 5) == []


def test_many_threads_get_the_answers_that_one_gets(python_index: Index) -> None:
    questions = ["copy a tree", "parse json", "sleep seconds", "open a socket"] * 8
    alone = [python_index.search(question, 10) for question in questions]
    start = threading.Barrier(8)

    def ask(question: str) -> list[tuple[int, float]]:
        if threading.current_thread() not in met:
            met.add(threading.current_thread())
            start.wait()
        return python_index.search(question, 10)

    met: set[threading.Thread] = set()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, questions)) == alone


def test_fusion_prefers_what_both_found() -> None:
    assert [n for n, _ in fuse(([(1, 5.0), (2, 4.0)], 1.0), ([(2, 0.9), (3, 0.8)], 1.0))] == [2, 1, 3]
    assert [n for n, _ in fuse(([(1, 5.0)], 1.0), ([(2, 0.9)], 0.3))] == [1, 2]


class Counted(FolderCorpus):
    """A corpus that counts how often it is read."""

    reads = 0

    def documents(self) -> list[Document]:
        self.reads += 1
        return super().documents()


@pytest.fixture
def corpus(tmp_path: Path) -> Counted:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("Copy a directory tree.")
    (docs / "b.md").write_text("Sleep for a second.")
    return Counted(docs)


def test_an_index_is_built_once(corpus: Counted, tmp_path: Path) -> None:
    for _ in range(3):
        with open_index(corpus, tmp_path / "cache") as index:
            assert len(index) == 2
    assert corpus.reads == 1


def test_two_that_come_at_once_build_once(corpus: Counted, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        for index in pool.map(lambda _: open_index(corpus, tmp_path / "cache"), range(2)):
            index.close()
    assert corpus.reads == 1


@pytest.mark.parametrize("name", ["documents.db", "vectors.npz", "meta.json"])
@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_cache_is_built_again(corpus: Counted, tmp_path: Path, name: str, damage: bytes | None) -> None:
    with open_index(corpus, tmp_path / "cache") as index:
        path = index.folder / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    with open_index(corpus, tmp_path / "cache") as index:
        assert ids(index, index.search("copy", 5)) == ["a.md"]
    assert corpus.reads == 2


def test_changed_documents_make_a_new_index_and_old_ones_go(corpus: Counted, tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        (corpus.root / "c.md").write_text("x" * (number + 1))
        with open_index(corpus, tmp_path / "cache") as index:
            assert len(index) == 3
    left = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert len(left) == KEPT


def test_nothing_half_made_is_left_when_the_documents_are_broken(corpus: Counted, tmp_path: Path) -> None:
    (corpus.root / "d.jsonl").write_text("{")
    with pytest.raises(DemoInputError, match=r"d\.jsonl, line 1"):
        open_index(corpus, tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_a_cache_directory_that_is_a_file_is_said(corpus: Counted, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(DemoInputError, match="cannot be kept there"):
        open_index(corpus, tmp_path / "cache")
