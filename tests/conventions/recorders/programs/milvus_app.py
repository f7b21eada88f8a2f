"""Milvus Lite by OpenLLMetry beside the OpenAI client by OpenInference, below hand-made spans of the app's own.

argv: the recording's name.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from openai import OpenAI
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry import trace
from opentelemetry.instrumentation.milvus import MilvusInstrumentor
from pymilvus import MilvusClient
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 2, "errors": 0},
        "retrieve": {"count": 2, "errors": 0},
        "embed": {"count": 3, "errors": 0},
        "generate": {"count": 2, "errors": 0},
        "ingest": {"count": 1, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "text-embedding-3-small"]},
    "tokens": {"generate": {"calls_with_usage": 2, "input": 240, "output": 34}, "embed_input": 35},
    "documents": {"counts": [2, 2]},
    "error_classes": {},
    "cache_hits": 0,
    "note": "index_documents embeds three texts and inserts them; answer_question embeds, searches, asks",
}


def main(name: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH) as provider, tempfile.TemporaryDirectory() as folder:
        MilvusInstrumentor().instrument(tracer_provider=provider)
        OpenAIInstrumentor().instrument(tracer_provider=provider)
        tracer = trace.get_tracer("my.app")
        openai = OpenAI(base_url=stub.url, api_key="x", max_retries=0)
        store = MilvusClient(str(Path(folder) / "milvus.db"))
        store.create_collection("kb", dimension=8)

        def embed(texts: list[str]) -> list[list[float]]:
            found = openai.embeddings.create(model="text-embedding-3-small", input=texts)
            return [item.embedding for item in found.data]

        with tracer.start_as_current_span("index_documents"):
            vectors = embed(["a", "b", "c"])
            store.insert("kb", [{"id": at, "vector": vector} for at, vector in enumerate(vectors)])
        for question in ("one", "two"):
            with tracer.start_as_current_span("answer_question"):
                store.search("kb", embed([question]), limit=2)
                messages: Any = [{"role": "user", "content": question}]
                openai.chat.completions.create(model="gpt-4o-mini", messages=messages)


if __name__ == "__main__":
    main(sys.argv[1])
