"""Chroma and the OpenAI client, both by OpenLIT, below hand-made spans of the app's own; one answer is streamed.

argv: the recording's name.
"""

from __future__ import annotations

import sys
from typing import Any

import chromadb
import openlit
from openai import OpenAI
from opentelemetry import trace
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 4, "errors": 1},
        "retrieve": {"count": 4, "errors": 0},
        "embed": {"count": 5, "errors": 0},
        "generate": {"count": 4, "errors": 1},
        "ingest": {"count": 1, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429", "text-embedding-3-small"]},
    "tokens": {"generate": {"calls_with_usage": 3, "input": 246, "output": 54}, "embed_input": 49},
    "documents": {"counts": [2, 2, 2, 2]},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "index_documents embeds three texts and adds them; answer_question embeds, queries, asks: plain, plain, "
    "streamed without usage (OpenLIT counts for itself), refused",
}


def main(name: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH):
        openlit.init(application_name=name, environment="test", disable_metrics=True)
        tracer = trace.get_tracer("my.app")
        openai = OpenAI(base_url=stub.url, api_key="x", max_retries=0)
        collection = chromadb.EphemeralClient().create_collection("kb-docs")

        def embed(texts: list[str]) -> list[list[float]]:
            found = openai.embeddings.create(model="text-embedding-3-small", input=texts)
            return [item.embedding for item in found.data]

        with tracer.start_as_current_span("index_documents"):
            texts = ["text a", "text b", "text c"]
            vectors: Any = embed(texts)
            collection.add(ids=["doc-0", "doc-1", "doc-2"], embeddings=vectors, documents=texts)
        for question, model, stream in (
            ("one", "gpt-4o-mini", False), ("two", "gpt-4o-mini", False), ("three", "gpt-4o-mini", True),
            ("four", "gpt-429", False),
        ):  # fmt: skip
            try:
                with tracer.start_as_current_span("answer_question"):
                    wanted: Any = embed([question])
                    collection.query(query_embeddings=wanted, n_results=2)
                    messages: Any = [{"role": "user", "content": question}]
                    if stream:
                        for _ in openai.chat.completions.create(model=model, messages=messages, stream=True):
                            pass
                    else:
                        openai.chat.completions.create(model=model, messages=messages)
            except Exception as error:
                sys.stderr.write(f"{error!r}\n")


if __name__ == "__main__":
    main(sys.argv[1])
