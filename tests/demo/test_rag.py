from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ragwatch
from ragwatch.demo.faults import CACHE_POISONED, INDEX_INCOMPLETE, RETRIEVER_DOWN, SLOW_MODEL, Faults, acts
from ragwatch.demo.generate import Answer, Extractive, Usage
from ragwatch.demo.index import Index
from ragwatch.demo.rag import Known, Rag
from ragwatch.demo.rerank import reranked
from ragwatch.explore.asked import Asker
from ragwatch.target.demo import StreamedRag
from ragwatch.target.target import Target


class Recorded(Rag):
    """The app with each step noted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps: list[str] = []

    def lookup(self, question: str) -> Known | None:
        self.steps.append("lookup")
        return super().lookup(question)

    def embed(self, question: str) -> Any:
        self.steps.append("embed")
        return super().embed(question)

    def retrieve(self, question: str, vector: Any, top_k: int = 60) -> list[dict[str, Any]]:
        self.steps.append("retrieve")
        return super().retrieve(question, vector, top_k)

    def rerank(self, question: str, docs: list[dict[str, Any]], top_k: int = 5) -> list[dict[str, Any]]:
        self.steps.append("rerank")
        return super().rerank(question, docs, top_k)

    def generate(self, question: str, docs: list[dict[str, Any]]) -> Answer:
        self.steps.append("generate")
        return (yield from super().generate(question, docs))


def test_each_step_can_be_replaced_in_a_subclass(small: Index) -> None:
    app = Recorded(small, writer=Extractive())
    first = app.answer("How do I copy a directory tree?")
    assert "[copy.md]" in first
    assert app.steps == ["lookup", "embed", "retrieve", "rerank", "generate"]
    assert app.answer("how do I  copy a directory tree") == first
    assert app.steps[5:] == ["lookup"]


def test_the_cache_forgets_what_was_not_asked_for_longest(small: Index) -> None:
    app = Rag(small, cache_size=2, writer=Extractive())
    for question in ("copy", "move", "copy", "clock"):
        app.answer(question)
    assert app.lookup("copy") is not None
    assert app.lookup("clock") is not None
    assert app.lookup("move") is None


def test_a_cached_answer_has_the_documents_that_it_was_written_from(small: Index) -> None:
    app = Rag(small, writer=Extractive())
    text = app.answer("How do I copy a directory tree?")
    known = app.lookup("how do I copy a directory tree")
    assert known is not None
    assert known.text == text
    assert [hit["id"] for hit in known.documents] == [
        hit["id"] for hit in app.search("How do I copy a directory tree?")
    ]


def test_hits_are_plain_dicts_best_first(small: Index) -> None:
    app = Rag(small, writer=Extractive())
    hits = app.retrieve("remove a directory", app.embed("remove a directory"))
    assert [set(hit) for hit in hits] == [{"id", "score", "title", "text", "date"}] * len(hits)
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert app.rerank("remove a directory", hits, top_k=1)[0]["id"] == "delete.md"


def test_the_reranker_prefers_the_document_that_speaks_of_the_question() -> None:
    hits = [
        {"id": "a", "score": 0.016, "title": "a", "text": "f(x)\n\nSomething else."},
        {"id": "b", "score": 0.015, "title": "b", "text": "g(x)\n\nRemove a directory tree."},
    ]
    found = reranked({"delete": ("remove",), "directory": ()}, hits, lambda _: 1.0)
    assert [hit["id"] for hit in found] == ["b", "a"]
    assert found[0]["score"] == pytest.approx(0.015 / 0.016 + 0.85)
    assert hits[0]["score"] == 0.016
    assert reranked({}, [], lambda _: 1.0) == []


def test_nothing_found_is_said(small: Index) -> None:
    assert Rag(small, writer=Extractive()).answer("zebra") == "No document answers this."


def test_an_error_of_the_writer_comes_out_and_is_not_cached(small: Index) -> None:
    class Broken:
        model = "broken"

        def write(self, question: str, docs: Sequence[Mapping[str, Any]]) -> Answer:
            yield "half"
            raise TimeoutError(question)

    app = Rag(small, writer=Broken())
    for _ in range(2):
        with pytest.raises(TimeoutError):
            app.answer("copy")


def test_threads_get_the_answers_that_one_gets(python_index: Index) -> None:
    questions = ["copy a tree", "parse json text", "sleep some seconds", "open a socket", "sort a list"] * 4
    alone = [Rag(python_index, writer=Extractive()).answer(question) for question in questions]
    app = Rag(python_index, cache_size=2, writer=Extractive())
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(app.answer, questions)) == alone


def test_a_retriever_that_is_down_raises_until_it_is_back(small: Index) -> None:
    faults = Faults()
    app = Rag(small, writer=Extractive(), faults=faults)
    faults.start(RETRIEVER_DOWN)
    with pytest.raises(ConnectionError):
        app.answer("copy")
    faults.stop(RETRIEVER_DOWN)
    assert "[copy.md]" in app.answer("copy")


def test_a_slow_model_waits_until_the_fault_ends(small: Index) -> None:
    faults = Faults(slow_s=60)
    app = Rag(small, writer=Extractive(), faults=faults)
    faults.start(SLOW_MODEL)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(app.answer, "copy")
        with pytest.raises(TimeoutError):
            answer.result(timeout=0.05)
        faults.stop()
        assert "[copy.md]" in answer.result(timeout=10)


def test_a_fifth_of_the_documents_is_missing_and_always_the_same(python_index: Index) -> None:
    faults = Faults()
    assert all(faults.has(key) for key in python_index.ids)
    faults.start(INDEX_INCOMPLETE)
    there = [key for key in python_index.ids if faults.has(key)]
    assert len(there) / len(python_index) == pytest.approx(0.8, abs=0.02)
    app = Rag(python_index, writer=Extractive(), faults=faults)
    assert all(faults.has(hit["id"]) for hit in app.search("copy a directory tree", top_k=60))


def test_a_poisoned_cache_answers_another_question(small: Index) -> None:
    faults = Faults()
    app = Rag(small, writer=Extractive(), faults=faults)
    copy, clock = app.answer("copy"), app.answer("clock")
    faults.start(CACHE_POISONED)
    assert app.answer("copy") == clock
    faults.stop(CACHE_POISONED)
    assert app.answer("copy") == copy


def test_the_outage_has_four_acts() -> None:
    faults = Faults()
    for name, what in acts():
        faults.start(name)
        assert what
    assert faults.on == {RETRIEVER_DOWN, SLOW_MODEL, INDEX_INCOMPLETE, CACHE_POISONED}
    faults.stop()
    assert faults.on == frozenset()
    with pytest.raises(KeyError):
        faults.start("no such act")


def test_generation_returns_what_it_cost(small: Index) -> None:
    app = Rag(small, writer=Extractive())
    costs: list[Usage] = []

    def told() -> Generator[str, None, None]:
        costs.append((yield from app.generate("copy", app.search("copy"))))

    assert "[copy.md]" in "".join(told())
    assert costs == [Usage("extractive", 33, 18)]


def test_the_app_is_plain_code() -> None:
    import subprocess
    import sys

    script = (
        "import sys, ragwatch.demo.rag; print([m for m in sys.modules if m.startswith(('opentelemetry', 'ragwatch.'))])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert all(name.startswith("ragwatch.demo") for name in eval(out.stdout))


def test_the_target_returns_its_documents_and_its_cache_step_says_them(
    small: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    app = StreamedRag(small, writer=Extractive())
    target = Target("demo", app.stream)
    ragwatch.init(service="demo", log_queries=False)
    try:
        with Asker() as asker:
            made, cached = (asker.ask(target, "How do I copy a directory tree?", {}) for _ in range(2))
    finally:
        ragwatch.shutdown(5)
    assert (made.cache, cached.cache) == ("miss", "hit")
    assert made.answer.documents == cached.answer.documents != ()
    assert cached.record is not None
    (step,) = cached.record.steps
    assert step.documents is not None
    assert [document.id for document in step.documents] == [document.id for document in made.documents]
    assert all(document.text is None for document in step.documents), "no text leaves by default"
