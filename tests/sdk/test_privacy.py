"""No text of queries, documents, prompts or answers leaves the process unless the app says so."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace

import ragwatch
from tests.sdk.conftest import Watched

SECRET = "correct horse battery staple"
LONG = "x" * 90 + SECRET


def run_with_secrets() -> None:
    @ragwatch.query
    def answer(question: str) -> str:
        with ragwatch.retrieve() as step:
            step.documents([{"id": "a", "text": SECRET, "metadata": {"page": SECRET}}])
            step.set("gen_ai.input.messages", SECRET)
            step.set("db.query.text", f"SELECT '{SECRET}'")
        with trace.get_tracer("other").start_as_current_span("client") as span:
            span.set_attribute("llm.prompts.0.content", SECRET)
            span.set_attribute("gen_ai.prompt.0.content", SECRET)
            span.add_event("gen_ai.content.prompt", {"gen_ai.prompt": SECRET})
        with pytest.raises(ValueError, match="horse"), ragwatch.generate():
            raise ValueError(f"cannot answer {question!r}")
        return f"the answer: {SECRET}"

    with ragwatch.query(SECRET, user=SECRET) as query:
        query.answer(SECRET)
    answer(SECRET)


def everything(watched: Watched) -> str:
    ragwatch.flush(20)
    return " ".join(
        [*(repr(received.body) for received in watched.sink.received), str(watched.lines()), repr(ragwatch.metrics())]
    )


@pytest.mark.parametrize(
    "watched", [{}, {"RAGWATCH_CONTENT": "off"}, {"RAGWATCH_CONTENT": "True"}, {"RAGWATCH_CONTENT": "1"}], indirect=True
)
def test_nothing_leaves_by_default_nor_by_a_value_that_cannot_be_read(watched: Watched) -> None:
    run_with_secrets()
    sent = everything(watched)
    assert "horse" not in sent
    assert watched.sink.counts()["traces"]["items"] == 5
    assert watched.sink.counts()["logs"]["items"] == 2


@pytest.mark.parametrize("watched", [{"RAGWATCH_CONTENT": "full"}], indirect=True)
def test_full_sends_the_text(watched: Watched) -> None:
    run_with_secrets()
    sent = everything(watched)
    assert sent.count(SECRET) > 6
    assert watched.lines()[1]["question"] == SECRET
    attributes: Any = watched.attributes("retrieve")
    assert SECRET in attributes["gen_ai.input.messages"]


@pytest.mark.parametrize("watched", [{"RAGWATCH_CONTENT": "truncated"}], indirect=True)
def test_truncated_sends_a_hundred_characters(watched: Watched) -> None:
    with ragwatch.query(LONG) as query:
        query.answer(LONG)
    line = watched.lines()[0]
    assert line["question"] == line["answer"] == LONG[:100]
    assert line["question_length"] == len(LONG)
    assert "staple" not in everything(watched)


def test_a_user_is_a_hash_only(watched: Watched) -> None:
    with ragwatch.query("q", user="ann@example.com") as query:
        query.user("ann@example.com")
    line = watched.lines()[0]
    assert line["user"] == "71d4f55f72fa128d"
    assert "ann@" not in everything(watched)


def test_strings_of_several_words_are_texts_and_told_apart_by_hash(watched: Watched) -> None:
    @ragwatch.retrieve
    def chunks(_question: str) -> list[Any]:
        return [SECRET, ("horse and cart", 0.5)]

    with ragwatch.query("q"):
        chunks("q")
        with ragwatch.rerank() as step:
            step.documents([SECRET, (SECRET + " again", 0.5), "an id", {"id": "the name of a file.pdf"}])
    documents = watched.lines()[0]["documents"]
    assert documents[2:] == ["an id", "the name of a file.pdf"]
    assert len({*documents}) == 4
    assert "horse" not in everything(watched)
