"""The RAG app under ragwatch: the same app, its steps marked, what it depends on behind a breaker and a limit."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from opentelemetry import trace

import ragwatch
from ragwatch.demo.generate import Usage
from ragwatch.demo.prices import cost_usd
from ragwatch.demo.rag import RERANKED, Hit, Known, Rag
from ragwatch.demo.text import words
from ragwatch.semconv import COST_USD

FEWEST_WORDS = 5
EMBEDDER = "tfidf-svd"


class WatchedRag(Rag):
    """``Rag`` with each step marked."""

    answer = ragwatch.query(Rag.answer)
    rerank = ragwatch.rerank(Rag.rerank)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        breaker = ragwatch.CircuitBreaker("documents", failure_threshold=8, reset_timeout=0.5, fallback=self._by_words)
        policy = ragwatch.RetryPolicy("documents", max_retries=1, base_delay=0.02)
        self.retrieve = ragwatch.retrieve(source="documents")(  # type: ignore[method-assign]
            ragwatch.retry(policy, breaker=breaker)(self.retrieve)
        )
        room = ragwatch.Bulkhead("model", max_concurrent=3, max_wait=1.0, fallback=self._titles)
        self._write = room(super().generate)

    def lookup(self, question: str) -> Known | None:
        """The cached answer; whoever is served it is served its documents too."""
        with ragwatch.cache("answers") as step:
            known = super().lookup(question)
            step.hit(known is not None)
            if known is not None:
                step.documents(known.documents)
            return known

    def embed(self, question: str) -> Any:
        """The question as a vector; its tokens are its words."""
        with ragwatch.embed(model=EMBEDDER, provider="scikit-learn") as step:
            read = len(words(question))
            step.tokens(input=read).cost(usd=cost_usd(EMBEDDER, read))
            return super().embed(question)

    @ragwatch.generate
    def generate(self, question: str, docs: list[Hit]) -> Generator[str, None, Usage]:
        """The answer in chunks; at most three are written at once."""
        usage: Usage = yield from self._write(question, docs)
        cost = cost_usd(usage.model, usage.input_tokens, usage.output_tokens)
        if cost is not None:
            trace.get_current_span().set_attribute(COST_USD, cost)
        return usage

    def _by_words(self, error: BaseException, question: str, _vector: Any, top_k: int = RERANKED) -> list[Hit]:
        """While the breaker is open, the words alone, where there are enough of them."""
        if not isinstance(error, ragwatch.CircuitOpen) or len(question.split()) < FEWEST_WORDS:
            raise error
        return self.by_words(question, top_k)

    def _titles(self, _error: BaseException, _question: str, docs: list[Hit]) -> Generator[str, None, Usage]:
        """While the model has no room, where to look."""
        yield "See " + ", ".join(f"[{doc['id']}]" for doc in docs)
        return Usage(self.writer.model, 0, 0)
