"""FastAPI in front of Qdrant or Chroma (in memory) and OpenAI's client, all by OpenLLMetry: requests are queries.

argv: the recording's name, and which store: qdrant or chroma.
"""

from __future__ import annotations

import sys
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from openai import OpenAI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 3, "errors": 1},
        "retrieve": {"count": 3, "errors": 0},
        "generate": {"count": 3, "errors": 1},
        "embed": {"count": 4, "errors": 0},
        "ingest": {"count": 1, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429", "text-embedding-3-small"]},
    "tokens": {"generate": {"calls_with_usage": 2, "input": 240, "output": 34}, "embed_input": 42},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
}
TEXTS = [f"text {at}" for at in range(3)]


class Qdrant:
    def __init__(self, provider: Any) -> None:
        from opentelemetry.instrumentation.qdrant import QdrantInstrumentor
        from qdrant_client import QdrantClient
        from qdrant_client.models import Distance, VectorParams

        QdrantInstrumentor().instrument(tracer_provider=provider)
        self.client = QdrantClient(":memory:")
        self.client.create_collection("kb", vectors_config=VectorParams(size=8, distance=Distance.COSINE))

    def write(self, vectors: list[list[float]]) -> None:
        from qdrant_client.models import PointStruct

        self.client.upsert("kb", [PointStruct(id=at, vector=vector) for at, vector in enumerate(vectors)])

    def search(self, vector: list[float]) -> None:
        self.client.query_points("kb", query=vector, limit=2)


class Chroma:
    def __init__(self, provider: Any) -> None:
        import chromadb
        from opentelemetry.instrumentation.chromadb import ChromaInstrumentor

        ChromaInstrumentor().instrument(tracer_provider=provider)
        self.collection = chromadb.EphemeralClient().create_collection("kb-docs")

    def write(self, vectors: list[list[float]]) -> None:
        self.collection.add(ids=[f"doc-{at}" for at in range(len(vectors))], embeddings=vectors, documents=TEXTS)

    def search(self, vector: list[float]) -> None:
        self.collection.query(query_embeddings=[vector], n_results=2)


def main(name: str, which: str) -> None:
    stub = Stub()
    truth = {**TRUTH, "documents": {"counts": [2, 2, 2]}} if which == "chroma" else TRUTH
    with Recording(name, truth) as provider:
        store: Any = Qdrant(provider) if which == "qdrant" else Chroma(provider)
        OpenAIInstrumentor().instrument(tracer_provider=provider)
        openai = OpenAI(base_url=stub.url, api_key="x", max_retries=0)
        app = FastAPI()

        def embed(texts: list[str]) -> list[list[float]]:
            found = openai.embeddings.create(model="text-embedding-3-small", input=texts)
            return [item.embedding for item in found.data]

        @app.post("/ingest")
        def ingest() -> str:
            store.write(embed(TEXTS))
            return "ok"

        @app.get("/ask")
        def ask(q: str, model: str = "gpt-4o-mini") -> str:
            store.search(embed([q])[0])
            messages: Any = [{"role": "user", "content": q}]
            return str(openai.chat.completions.create(model=model, messages=messages).choices[0].message.content)

        @app.get("/healthz")
        def healthz() -> str:
            return "ok"

        FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
        with TestClient(app, raise_server_exceptions=False) as client:
            client.post("/ingest")
            client.get("/healthz")
            for question, model in (("one", "gpt-4o-mini"), ("two", "gpt-4o-mini"), ("three", "gpt-429")):
                client.get("/ask", params={"q": question, "model": model})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
