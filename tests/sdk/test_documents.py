"""What a retriever returns, in the shapes of the field, as documents with ids and scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

import ragwatch
from ragwatch import semconv
from ragwatch.record import Document
from ragwatch.sdk.documents import MAX_DOCUMENTS, to_documents
from tests.sdk.conftest import Watched


@dataclass
class LangChainDocument:
    """As langchain_core.documents.Document."""

    page_content: str
    metadata: dict[str, Any] = field(default_factory=dict)
    id: str | None = None


@dataclass
class Node:
    """As llama_index.core.schema.TextNode."""

    id_: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class NodeWithScore:
    """As llama_index.core.schema.NodeWithScore."""

    node: Node
    score: float | None = None


@dataclass
class HaystackDocument:
    """As haystack.Document."""

    id: str
    content: str
    score: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def ids_and_scores(hits: Any) -> list[tuple[str | None, float | None, float | None]]:
    return [(item.id, item.score, item.distance) for item in to_documents(hits, keep_text=lambda _text: None)]


@pytest.mark.parametrize(
    ("hits", "wanted"),
    [
        (["a", "b"], [("a", None, None), ("b", None, None)]),
        ([("a", 0.5), ("b", 0.25)], [("a", 0.5, None), ("b", 0.25, None)]),
        ([{"id": 1, "score": 0.5}], [("1", 0.5, None)]),
        ([{"doc_id": "x", "distance": 0.1}], [("x", None, 0.1)]),
        ([{"_id": "x", "_score": 12.5, "_source": {}}], [("x", 12.5, None)]),
        ([LangChainDocument("text", id="x")], [("x", None, None)]),
        ([(LangChainDocument("text", id="x"), 0.75)], [("x", 0.75, None)]),
        ([LangChainDocument("text", {"source": "a.pdf"})], [("a.pdf", None, None)]),
        ([NodeWithScore(Node("n1", "text"), 0.5)], [("n1", 0.5, None)]),
        ([HaystackDocument("h1", "text", 0.25)], [("h1", 0.25, None)]),
        ({"documents": [HaystackDocument("h1", "text", 0.25)]}, [("h1", 0.25, None)]),
        ({"ids": [["x", "y"]], "distances": [[0.1, 0.2]]}, [("x", None, 0.1), ("y", None, 0.2)]),
        (SimpleNamespace(source_nodes=[NodeWithScore(Node("n1", "t"), 0.5)]), [("n1", 0.5, None)]),
        (SimpleNamespace(points=[SimpleNamespace(id=7, score=0.5, payload={})]), [("7", 0.5, None)]),
        ((name for name in ("a", "b")), [("a", None, None), ("b", None, None)]),
        ([], []),
    ],
)
def test_shapes(hits: Any, wanted: list[tuple[str | None, float | None, float | None]]) -> None:
    assert ids_and_scores(hits) == wanted


def test_without_an_id_the_content_says_which_document_it_is() -> None:
    one, two, other = to_documents(
        [{"text": "same"}, LangChainDocument("same"), {"text": "different"}], keep_text=lambda _text: None
    )
    assert one.id == two.id != other.id
    assert one.id_from == "content_hash"
    assert to_documents([LangChainDocument("t", {"source": "a"})], keep_text=lambda _t: None)[0].id_from == "metadata"


def test_ranks_count_from_one_and_a_flood_is_cut() -> None:
    found = to_documents([str(number) for number in range(5000)], keep_text=lambda _text: None)
    assert [item.rank for item in found[:3]] == [1, 2, 3]
    assert len(found) == MAX_DOCUMENTS
    assert isinstance(found[0], Document)


@pytest.mark.parametrize("date", ["2024-05-01T00:00:00+00:00", 1714521600, 1714521600000])
def test_dates_become_the_age_as_served(watched: Watched, date: Any) -> None:
    with ragwatch.query("q"), ragwatch.retrieve() as step:
        step.documents([{"id": "a", "metadata": {"updated_at": date}}])
    ragwatch.metrics()
    from ragwatch.sdk.setup import engine_state

    cells = engine_state().series("rag.document.age")
    assert [cell.count for cell in cells.values()] == [1]
    assert 3e7 < next(iter(cells.values())).sum < 1e9


def test_an_empty_retrieval_is_counted_and_none_says_nothing(watched: Watched) -> None:
    @ragwatch.retrieve
    def nothing() -> list[str]:
        return []

    @ragwatch.retrieve
    def unknown() -> None:
        return None

    with ragwatch.query("q"):
        nothing()
        unknown()
    assert ragwatch.metrics().empty_retrieval_rate is not None
    counts = [
        {item.key: item.value.int_value for item in span.attributes}.get(semconv.DOCUMENT_COUNT)
        for span in watched.spans()
        if span.name == "retrieve"
    ]
    assert counts == [0, None]


@pytest.mark.parametrize(
    "result",
    [
        {"usage": {"prompt_tokens": 7, "completion_tokens": 3}, "model": "m-1", "id": "r1"},
        SimpleNamespace(usage=SimpleNamespace(input_tokens=7, output_tokens=3), model="m-1", id="r1"),
        SimpleNamespace(
            usage_metadata={"input_tokens": 7, "output_tokens": 3}, content="hi", model="m-1", id="r1"
        ),
        SimpleNamespace(
            usage=SimpleNamespace(prompt_tokens=7, completion_tokens=3), model="m-1", id="r1",
            choices=[SimpleNamespace(message=SimpleNamespace(content="hi"))],
        ),
    ],
)  # fmt: skip
def test_usage_in_the_shapes_of_the_clients(watched: Watched, result: Any) -> None:
    ragwatch.generate(lambda: result)()
    found = watched.attributes("generate")
    assert (found[semconv.INPUT_TOKENS], found[semconv.OUTPUT_TOKENS]) == (7, 3)
    assert (found[semconv.RESPONSE_MODEL], found[semconv.RESPONSE_ID]) == ("m-1", "r1")


def test_unknown_tokens_are_absent_and_never_zero(watched: Watched) -> None:
    with ragwatch.query("q"):
        ragwatch.generate(lambda: "text only")()
    found = watched.attributes("generate")
    assert semconv.INPUT_TOKENS not in found
    assert ragwatch.metrics().token_coverage == 0.0
    assert "input_tokens" not in watched.lines()[0]
