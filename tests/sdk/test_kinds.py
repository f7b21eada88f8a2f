"""Every step, in every way that a step can be marked."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace

import ragwatch
from ragwatch import semconv
from tests.sdk.conftest import Watched

KINDS = ("query", "cache", "embed", "retrieve", "rerank", "generate", "guardrail", "tool", "ingest")


@pytest.mark.parametrize("kind", KINDS)
def test_bare_decorator(watched: Watched, kind: str) -> None:
    @getattr(ragwatch, kind)
    def work(value: int) -> int:
        """What it does."""
        return value + 1

    assert work(1) == 2
    assert (work.__name__, work.__doc__) == ("work", "What it does.")
    assert watched.attributes(kind)["rag.step"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_decorator_with_options(watched: Watched, kind: str) -> None:
    @getattr(ragwatch, kind)(name="mine", attributes={"my.own": 7}, tenant="acme")
    def work() -> int:
        return 1

    assert (work(), work()) == (1, 1)
    spans = [span for span in watched.spans() if span.name == "mine"]
    assert len(spans) == 2
    found = {item.key for item in spans[0].attributes}
    assert {"my.own", "tenant.id"} <= found


@pytest.mark.parametrize("kind", KINDS)
def test_with_block(watched: Watched, kind: str) -> None:
    with getattr(ragwatch, kind)() as step:
        step.set("my.own", 1.5)
        assert trace.get_current_span() is step
        assert step.is_recording()
    assert trace.get_current_span() is not step
    assert watched.attributes(kind)["my.own"] == 1.5


@pytest.mark.parametrize("kind", KINDS)
async def test_async_with_and_coroutine(watched: Watched, kind: str) -> None:
    @getattr(ragwatch, kind)
    async def work() -> str:
        async with ragwatch.tool("inner"):
            return "done"

    assert await work() == "done"
    names = [span.name for span in watched.spans()]
    assert len(names) == 2
    assert "inner" in names


def test_methods_and_keyword_arguments(watched: Watched) -> None:
    class App:
        @ragwatch.query
        def answer(self, question: str, *, top_k: int = 3) -> str:
            return self.search(question, top_k=top_k)[0]

        @ragwatch.retrieve(source="kb")
        def search(self, question: str, top_k: int) -> list[str]:
            return [f"{question}-{n}" for n in range(top_k)]

    assert App().answer("why", top_k=2) == "why-0"
    found = watched.attributes("retrieve")
    assert (found[semconv.DATA_SOURCE], found[semconv.TOP_K]) == ("kb", 2)
    assert watched.lines()[0]["documents"] == ["why-0", "why-1"]


def test_everything_that_can_be_said_of_a_step(watched: Watched) -> None:
    with ragwatch.query("why?", session="s1", user="ann@example.com") as query:
        with ragwatch.cache("answers") as cache:
            cache.hit(False)
        with ragwatch.generate() as step:
            step.model("gpt", provider="openai").tokens(input=10, output=5, cached=2, reasoning=1).cost(usd=0.25)
        with ragwatch.rerank() as step:
            step.degraded("the reranker is away")
        query.answer("because")
    line = watched.lines()[0]
    wanted = {
        "outcome": "degraded", "degraded_reason": "the reranker is away", "cache": "miss", "model": "gpt",
        "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.25, "session": "s1", "question_length": 4,
        "answer_length": 7,
    }  # fmt: skip
    assert wanted.items() <= line.items()
    assert "ann@example.com" not in str(line)
    metrics = ragwatch.metrics()
    assert (metrics.query_count, metrics.cache_hit_rate, metrics.degraded_rate, metrics.cost_usd) == (1, 0.0, 1.0, 0.25)
    attributes = watched.attributes("generate")
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 2


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="topk"):
        ragwatch.retrieve(topk=5)  # type: ignore[call-overload]


def test_while_ragwatch_is_off_everything_is_a_plain_call() -> None:
    @ragwatch.query
    def answer(question: str) -> str:
        with ragwatch.retrieve() as step:
            step.documents(["a"]).hit().model("m").tokens(input=1).cost(usd=1).degraded("x").set("a", 1)
        return question

    assert answer("why?") == "why?"
    assert ragwatch.metrics().query_count == 0
    assert ragwatch.flush(1)


def test_numbers_of_numpy_stay_numbers(watched: Watched) -> None:
    np: Any = pytest.importorskip("numpy")
    with ragwatch.retrieve() as step:
        step.set("f", np.float32(0.5)).set("i", np.int64(7)).set("many", [np.float32(1), np.float64(2)])
        step.documents([{"id": np.int64(3), "score": np.float32(0.25)}])
    found = watched.attributes("retrieve")
    assert (found["f"], found["i"], found["many"]) == (0.5, 7, (1.0, 2.0))
    assert "np." not in str(found)
