"""Haystack's hybrid retrieval: two retrievers, a joiner, a ranker, a prompt, a model; a rate limit, a search in vain.

argv: the recording's name, and whose instrumentor: openinference, openllmetry (with +openai its client's too), native.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

os.environ |= {"HAYSTACK_TELEMETRY_ENABLED": "False", "HAYSTACK_CONTENT_TRACING_ENABLED": "true"}
from haystack import Document, Pipeline, component
from haystack.components.builders import PromptBuilder
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.components.generators import OpenAIGenerator
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret
from opentelemetry import trace
from recording import Recording
from stub_server import Stub

TRUTH: dict[str, Any] = {
    "steps": {
        "query": {"count": 4, "errors": 1},
        "retrieve": {"count": 8, "errors": 0},
        "rerank": {"count": 4, "errors": 0},
        "embed": {"count": 5, "errors": 0},
        "generate": {"count": 4, "errors": 1},
        "ingest": {"count": 1, "errors": 0},
    },
    "tokens": {"generate": {"calls_with_usage": 3, "input": 360, "output": 51}},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "documents": {"counts": [2, 2, 2, 2, 0, 2, 2, 2]},
    "note": "an indexing pipeline, then four queries with two retrievals each, of which the third finds no words",
}


@component
class KeepTwoRanker:
    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        return {"documents": documents[:2]}


def main(name: str, whose: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH) as provider:
        if whose == "openinference":
            from openinference.instrumentation.haystack import HaystackInstrumentor

            HaystackInstrumentor().instrument(tracer_provider=provider)
        elif whose == "native":
            from haystack import tracing
            from haystack.tracing import OpenTelemetryTracer

            tracing.tracer.is_content_tracing_enabled = True
            tracing.enable_tracing(OpenTelemetryTracer(trace.get_tracer("haystack")))
        else:
            from opentelemetry.instrumentation.haystack import HaystackInstrumentor as Other

            Other().instrument(tracer_provider=provider)
        if whose.endswith("+openai"):
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor

            OpenAIInstrumentor().instrument(tracer_provider=provider)
        run(stub)


def run(stub: Stub) -> None:
    key: Any = {"api_key": Secret.from_token("x"), "api_base_url": stub.url, "max_retries": 0}
    store = InMemoryDocumentStore()
    indexing = Pipeline()
    indexing.add_component("embedder", OpenAIDocumentEmbedder(model="text-embedding-3-small", **key))
    indexing.add_component("writer", DocumentWriter(store))
    indexing.connect("embedder.documents", "writer.documents")
    documents = [Document(id=f"doc-{at}", content=f"text {at} on France") for at in range(3)]
    indexing.run({"embedder": {"documents": documents}})

    def ask(question: str, model: str = "gpt-4o-mini") -> None:
        pipeline = Pipeline()
        pipeline.add_component("embedder", OpenAITextEmbedder(model="text-embedding-3-small", **key))
        pipeline.add_component("vectors", InMemoryEmbeddingRetriever(store, top_k=2))
        pipeline.add_component("words", InMemoryBM25Retriever(store, top_k=2))
        pipeline.add_component("joiner", DocumentJoiner())
        pipeline.add_component("ranker", KeepTwoRanker())
        pipeline.add_component("prompt", PromptBuilder("{{ question }} {{ documents }}", required_variables="*"))
        pipeline.add_component("llm", OpenAIGenerator(model=model, **key))
        pipeline.connect("embedder.embedding", "vectors.query_embedding")
        pipeline.connect("vectors.documents", "joiner.documents")
        pipeline.connect("words.documents", "joiner.documents")
        pipeline.connect("joiner.documents", "ranker.documents")
        pipeline.connect("ranker.documents", "prompt.documents")
        pipeline.connect("prompt.prompt", "llm.prompt")
        pipeline.run({"embedder": {"text": question}, "words": {"query": question}, "prompt": {"question": question}})

    ask("France")
    ask("text on France")
    ask("nothing")
    with suppress(Exception):
        ask("France", "gpt-429")


if __name__ == "__main__":
    main(*sys.argv[1:])
