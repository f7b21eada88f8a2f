"""The RAG app under ragwatch: the same app, its steps marked. This is all that wrapping takes."""

from __future__ import annotations

import ragwatch
from ragwatch.demo.rag import Rag


class WatchedRag(Rag):
    """``Rag`` with a decorator on each step."""

    answer = ragwatch.query(Rag.answer)
    lookup = ragwatch.cache("answers")(Rag.lookup)
    embed = ragwatch.embed(model="tfidf-svd", provider="scikit-learn")(Rag.embed)
    retrieve = ragwatch.retrieve(source="documents")(Rag.retrieve)
    rerank = ragwatch.rerank(Rag.rerank)
    generate = ragwatch.generate(Rag.generate)
