"""Clients of vector stores by OpenLLMetry beside OpenAI's, below hand-made spans: index_documents, answer_question.

argv: the recording's name, and which store: lancedb (on disk), pinecone or weaviate (against a stub), qdrant (in
memory, by the methods of two years ago).
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openai import OpenAI
from opentelemetry import trace
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from recording import Recording
from stub_server import Stub

TRUTH: dict[str, Any] = {
    "steps": {
        "query": {"count": 3, "errors": 1},
        "retrieve": {"count": 3, "errors": 1},
        "embed": {"count": 4, "errors": 0},
        "generate": {"count": 2, "errors": 0},
        "ingest": {"count": 1, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "text-embedding-3-small"]},
    "tokens": {"generate": {"calls_with_usage": 2, "input": 240, "output": 34}, "embed_input": 42},
    "cache_hits": 0,
    "note": "index_documents embeds three texts and writes them; answer_question embeds, searches, asks; the third "
    "search fails",
}
OF_STORE: dict[str, dict[str, Any]] = {
    "lancedb": {"error_classes": {"invalid_request": 1}},
    "pinecone": {"error_classes": {"server_error": 1}, "documents": {"counts": [2, 2, None]}},
    "weaviate": {"error_classes": {"connection": 1}},
    "qdrant": {"error_classes": {"invalid_request": 1}},
}


class Store(BaseHTTPRequestHandler):
    """Pinecone's and Weaviate's servers, as far as they are asked here."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/query":
            matches = [{"id": f"doc-{at}", "score": 0.9 - at / 10, "values": []} for at in range(asked["topK"])]
            body: Any = {"matches": matches, "namespace": "kb", "usage": {"readUnits": 5}}
            self._say(body, 500 if asked["namespace"] == "broken" else 200)
        elif self.path == "/vectors/upsert":
            self._say({"upsertedCount": len(asked["vectors"])})
        elif self.path == "/v1/graphql":
            self._say({"data": {"Get": {"Doc": [{"text": "one"}, {"text": "two"}]}}})
        else:
            self._say({"class": "Doc", "id": "00000000-0000-0000-0000-000000000001"})

    def do_GET(self) -> None:
        self._say({"version": "1.24.0", "links": [], "classes": []}, 404 if "openid" in self.path else 200)

    def _say(self, body: Any, status: int = 200) -> None:
        said = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def serve() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


class LanceDb:
    def __init__(self, provider: Any, folder: str) -> None:
        import lancedb
        from opentelemetry.instrumentation.lancedb import LanceInstrumentor

        LanceInstrumentor().instrument(tracer_provider=provider)
        self.held = lancedb.connect(folder).create_table("kb", [{"vector": [0.0] * 8, "text": "none"}])

    def write(self, vectors: list[list[float]]) -> None:
        self.held.add(data=[{"vector": vector, "text": f"text {at}"} for at, vector in enumerate(vectors)])

    def search(self, vector: list[float]) -> None:
        self.held.search(query=vector).limit(2).to_list()

    def fail(self, vector: list[float]) -> None:
        self.held.search(query=vector, query_type="no such")


class Pinecone:
    def __init__(self, provider: Any, _folder: str) -> None:
        from opentelemetry.instrumentation.pinecone import PineconeInstrumentor
        from pinecone import Pinecone as Client

        PineconeInstrumentor().instrument(tracer_provider=provider)
        self.held = Client(api_key="x").Index(host=serve())

    def write(self, vectors: list[list[float]]) -> None:
        self.held.upsert(vectors=[(f"doc-{at}", vector) for at, vector in enumerate(vectors)], namespace="kb")

    def search(self, vector: list[float], namespace: str = "kb") -> None:
        self.held.query(vector=vector, top_k=2, namespace=namespace, include_values=False)

    def fail(self, vector: list[float]) -> None:
        self.search(vector, "broken")


class Weaviate:
    def __init__(self, provider: Any, _folder: str) -> None:
        import weaviate
        from opentelemetry.instrumentation.weaviate import WeaviateInstrumentor

        self.held = weaviate.Client(serve())
        self.down = weaviate.Client(serve())
        self.down._connection.url = "http://127.0.0.1:9"
        WeaviateInstrumentor().instrument(tracer_provider=provider)

    def write(self, vectors: list[list[float]]) -> None:
        for at, vector in enumerate(vectors):
            self.held.data_object.create({"text": f"text {at}"}, "Doc", vector=vector)

    def search(self, vector: list[float]) -> None:
        self.held.query.get("Doc", ["text"]).with_near_vector({"vector": vector}).with_limit(2).do()

    def fail(self, vector: list[float]) -> None:
        self.down.query.get("Doc", ["text"]).with_near_vector({"vector": vector}).with_limit(2).do()


class Qdrant:
    def __init__(self, provider: Any, _folder: str) -> None:
        from opentelemetry.instrumentation.qdrant import QdrantInstrumentor
        from qdrant_client import QdrantClient
        from qdrant_client.models import Distance, VectorParams

        self.held = QdrantClient(":memory:")
        self.held.create_collection("kb", vectors_config=VectorParams(size=8, distance=Distance.COSINE))
        QdrantInstrumentor().instrument(tracer_provider=provider)

    def write(self, vectors: list[list[float]]) -> None:
        from qdrant_client.models import PointStruct

        self.held.upsert("kb", [PointStruct(id=at, vector=vector) for at, vector in enumerate(vectors)])

    def search(self, vector: list[float], collection: str = "kb") -> None:
        self.held.search(collection, query_vector=vector, limit=2)

    def fail(self, vector: list[float]) -> None:
        self.search(vector, "no-such")


STORES: dict[str, Any] = {"lancedb": LanceDb, "pinecone": Pinecone, "weaviate": Weaviate, "qdrant": Qdrant}


def main(name: str, which: str) -> None:
    stub = Stub()
    truth = {**TRUTH, **OF_STORE[which]}
    if which == "weaviate":
        truth["steps"] = {**truth["steps"], "ingest": {"count": 1, "errors": 0}}
    with Recording(name, truth) as provider, tempfile.TemporaryDirectory() as folder:
        store = STORES[which](provider, folder)
        OpenAIInstrumentor().instrument(tracer_provider=provider)
        tracer = trace.get_tracer("my.app")
        openai = OpenAI(base_url=stub.url, api_key="x", max_retries=0)

        def embed(texts: list[str]) -> list[list[float]]:
            found = openai.embeddings.create(model="text-embedding-3-small", input=texts)
            return [item.embedding for item in found.data]

        with tracer.start_as_current_span("index_documents"):
            store.write(embed(["a", "b", "c"]))
        for question, look_up in (("one", store.search), ("two", store.search), ("three", store.fail)):
            with suppress(Exception), tracer.start_as_current_span("answer_question"):
                look_up(embed([question])[0])
                messages: Any = [{"role": "user", "content": question}]
                openai.chat.completions.create(model="gpt-4o-mini", messages=messages)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
