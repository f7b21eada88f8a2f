"""The retriever on a collection whose figures are known (see the collection's ORIGIN.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragwatch.demo.cache import open_index
from ragwatch.demo.corpus import open_corpus
from ragwatch.demo.evaluate import evaluate
from ragwatch.demo.golden import Golden, folder_golden
from ragwatch.demo.index import Index
from ragwatch.demo.rag import Rag

CACHE = Path(__file__).parents[2] / ".cache" / "demo"


@pytest.fixture(scope="module")
def index(cranfield: Path) -> Iterator[Index]:
    with open_index(open_corpus(cranfield), CACHE) as found:
        yield found


@pytest.fixture(scope="module")
def golden(cranfield: Path, index: Index) -> list[Golden]:
    found = folder_golden(cranfield, set(index.ids))
    assert found is not None
    return found


def test_the_collection_is_read_whole(index: Index, golden: list[Golden]) -> None:
    assert len(index) == 1400
    assert len(golden) == 225
    assert sum(len(question.relevant) for question in golden) == 1612


def test_bm25_reaches_the_figures_of_the_literature(index: Index, golden: list[Golden]) -> None:
    found = evaluate(golden, lambda question: [index.ids[n] for n, _ in index.search(question, 1400)], k=10)
    assert found.average_precision.value == pytest.approx(0.297, abs=0.02)
    assert found.ndcg.value == pytest.approx(0.375, abs=0.02)
    assert found.recall.value == pytest.approx(0.391, abs=0.02)
    assert found.mrr.value == pytest.approx(0.518, abs=0.02)
    assert found.hit.value == pytest.approx(0.858, abs=0.02)


def test_the_app_does_no_worse_than_bm25(index: Index, golden: list[Golden]) -> None:
    rag = Rag(index)
    words = evaluate(golden, lambda question: [index.ids[n] for n, _ in index.search(question, 10)], k=10)
    app = evaluate(golden, lambda question: [hit["id"] for hit in rag.search(question, top_k=10)], k=10)
    assert app.ndcg.value >= words.ndcg.value
