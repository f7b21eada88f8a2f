"""The RAG app under ragwatch: the same app, its steps marked, its retriever behind a breaker and a retry policy."""

from __future__ import annotations

from typing import Any

import ragwatch
from ragwatch.demo.rag import RERANKED, Hit, Rag

FEWEST_WORDS = 5


class WatchedRag(Rag):
    """``Rag`` with a decorator on each step."""

    answer = ragwatch.query(Rag.answer)
    lookup = ragwatch.cache("answers")(Rag.lookup)
    embed = ragwatch.embed(model="tfidf-svd", provider="scikit-learn")(Rag.embed)
    rerank = ragwatch.rerank(Rag.rerank)
    generate = ragwatch.generate(Rag.generate)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        breaker = ragwatch.CircuitBreaker("documents", failure_threshold=8, reset_timeout=0.5, fallback=self._degraded)
        policy = ragwatch.RetryPolicy("documents", max_retries=1, base_delay=0.02)
        self.retrieve = ragwatch.retrieve(source="documents")(  # type: ignore[method-assign]
            ragwatch.retry(policy, breaker=breaker)(self.retrieve)
        )

    def _degraded(self, error: BaseException, question: str, _vector: Any, top_k: int = RERANKED) -> list[Hit]:
        """While the breaker is open, the words alone, where there are enough of them."""
        if not isinstance(error, ragwatch.CircuitOpen) or len(question.split()) < FEWEST_WORDS:
            raise error
        return self.by_words(question, top_k)
