"""Haystack by OpenInference: pipelines with retriever, ranker, prompt and model, one failing; an indexing pipeline.

argv: the recording's name.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
from haystack import Document, Pipeline, component
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.components.writers import DocumentWriter
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret
from openinference.instrumentation.haystack import HaystackInstrumentor
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 3, "errors": 1},
        "retrieve": {"count": 3, "errors": 0},
        "rerank": {"count": 3, "errors": 0},
        "generate": {"count": 3, "errors": 1},
        "ingest": {"count": 1, "errors": 0},
    },
    "tokens": {"generate": {"calls_with_usage": 2, "input": 240, "output": 34}},
    "documents": {"counts": [3, 3, 3]},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "two good queries and one 429; an indexing pipeline first",
}


@component
class KeepTwoRanker:
    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        return {"documents": documents[:2]}


def main(name: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH) as provider:
        HaystackInstrumentor().instrument(tracer_provider=provider)
        store = InMemoryDocumentStore()
        indexing = Pipeline()
        indexing.add_component("writer", DocumentWriter(store))
        indexing.run(
            {"writer": {"documents": [Document(id=f"doc-{at}", content=f"text {at} on France") for at in range(3)]}}
        )

        def build(model: str) -> Pipeline:
            pipeline = Pipeline()
            pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=3))
            pipeline.add_component("ranker", KeepTwoRanker())
            template = "{% for d in documents %}{{ d.content }}{% endfor %}{{ question }}"
            pipeline.add_component("prompt", ChatPromptBuilder([ChatMessage.from_user(template)]))
            key = Secret.from_token("x")
            generator = OpenAIChatGenerator(key, model=model, api_base_url=stub.url, max_retries=0)
            pipeline.add_component("llm", generator)
            pipeline.connect("retriever.documents", "ranker.documents")
            pipeline.connect("ranker.documents", "prompt.documents")
            pipeline.connect("prompt.prompt", "llm.messages")
            return pipeline

        for model in ("gpt-4o-mini", "gpt-4o-mini", "gpt-429"):
            with suppress(Exception):
                build(model).run({"retriever": {"query": "France"}, "prompt": {"question": "France?"}})


if __name__ == "__main__":
    main(sys.argv[1])
