"""The demo as a target: questions about the Python that runs it, answered as a stream."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from ragwatch.demo.app import WatchedRag
from ragwatch.demo.cache import default_cache_dir, open_index
from ragwatch.demo.corpus import open_corpus
from ragwatch.demo.golden import packaged_golden
from ragwatch.demo.rag import RERANKED, Hit
from ragwatch.target.target import Target

CACHED_ANSWERS = 64  # of some 220 questions, so that a load keeps meeting both hits and misses


class StreamedRag(WatchedRag):
    """The demo's app with an answer that comes in chunks."""

    def stream(
        self, question: str, *, top_k: int = 5, use_cache: bool = True
    ) -> Generator[str, None, dict[str, list[Hit]]]:
        """The answer, chunk by chunk, from the cache where it may be; its documents are returned."""
        known = self.lookup(question) if use_cache else None
        if known is not None:
            yield known.text
            return {"documents": known.documents}
        found = self.retrieve(question, self.embed(question), top_k=RERANKED)
        best = self.rerank(question, found, top_k=top_k)
        parts = []
        for chunk in self.generate(question, best):
            parts.append(chunk)
            yield chunk
        self.remember(question, "".join(parts), best)
        return {"documents": best}


def demo_target(cache_dir: Path | None = None) -> Target:
    """The demo over its packaged questions; the index is built where it is not kept yet (up to half a minute)."""
    index = open_index(open_corpus(None), cache_dir or default_cache_dir())
    app = StreamedRag(index, cache_size=CACHED_ANSWERS)
    golden = packaged_golden(frozenset(index.ids))
    return Target("demo", app.stream, golden=golden, zipf=1.0, close=index.close)
