"""Vector stores: database spans of their clients, whoever instrumented them (OpenLLMetry, OpenLIT, the store)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ragwatch.conventions.keys import keys_of
from ragwatch.conventions.own import STATUS_ERROR
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.table import STORE_READ, Attributes, Convention, Field, Row, number, text, whole
from ragwatch.record import Document

SYSTEMS: Final = frozenset(
    {
        "chroma", "chromadb", "qdrant", "pinecone", "milvus", "weaviate", "marqo", "lancedb", "pgvector", "faiss",
        "vespa", "turbopuffer", "astra", "astradb", "vald", "typesense", "zilliz", "lance",
    }
)  # fmt: skip
"""Stores that do nothing but vectors."""
MIXED: Final = frozenset(
    {
        "opensearch", "elasticsearch", "redis", "postgresql", "postgres", "mongodb", "cassandra", "azure_search",
        "sqlite", "duckdb", "clickhouse", "neo4j", "oracle", "mysql", "mariadb", "mssql", "microsoft.sql_server",
        "singlestore", "cosmosdb", "azure.cosmosdb", "cockroachdb", "couchbase",
    }
)  # fmt: skip
"""Databases that also hold vectors: a search only with a vector's marks, in the attributes or in the statement."""
_STATEMENT: Final = re.compile(
    r"order\s+by[^;]{0,500}<(?:=|-|#|\+|~|%)>"  # pgvector's distances
    r"|(?:\b1(?:\.0)?|\?)\s*-\s*\([^;]{0,200}<=>"  # cosine similarity; by itself the sign is MySQL's equality
    r"|\bknn\b|ft\.search[^\n]{0,2000}\bknn\b|\$vectorsearch|\"(?:knn|neural|text_expansion|sparse_vector|semantic)\"\s*:"
    r"|vec(?:tor)?_distance|(?:cosine|l2)_?distance|vector\.query|\bvector_search\b|array_cosine_similarity",
    re.IGNORECASE,
)
_SEARCHES: Final = (
    "query",
    "search",
    "retrieve",
    "findneighbors",
    "recommend",
    "similarity",
    "near",
    "hybrid",
    "knn",
    "discover",
    "ft.search",
)
_WRITES: Final = ("add", "insert", "upsert", "update", "upload", "delete", "write", "modify", "create", "index", "put",
           "remove", "bulk", "replace", "merge", "batchput")  # fmt: skip
_KEEPS: Final = re.compile(r"(?:create|drop|delete|update|truncate|get|list|has|describe|alter|load|release|recreate)_?"
                    r"(?:collections?|index(?:es)?|class|schema|database|alias|partition|tables?|tenant)$")  # fmt: skip
"""Care for the store itself."""
_NAMES: Final = re.compile(
    r"(?P<store_read>\.schema\.|\.collections\.(?:create|delete|get|list|exists)\w*$|aggregate)"
    r"|(?P<retrieve>\.collections\.query\.get$|\.gql\.(?:get|filter)\.do$|\.gql\.query\.raw$)"
)
"""Weaviate's methods, as OpenLLMetry names its spans: what they do is not in their last word."""
_SERVICES: Final = re.compile(
    r"^qdrant\.points$|(?:^|\.)vectorservice$|^weaviate\.v\d\.weaviate$|\.milvusservice$|^bedrock ?agent ?runtime$"
    r"|^kendra$|^google\.cloud\.discoveryengine\.\w+\.searchservice$|^google\.cloud\.aiplatform\.\w+\.matchservice$",
    re.IGNORECASE,
)
"""Stores and managed retrieval by the service that a remote call names: Qdrant's, Pinecone's, Weaviate's and Milvus'
gRPC, Bedrock's knowledge bases, Kendra, Vertex AI Search."""
AZURE_SEARCH: Final = "Microsoft.Search"
SERVER_KIND: Final = 2
_TOP_K: Final = (
    "db.vector.query.top_k", "db.chroma.query.n_results", "db.milvus.search.limit", "db.milvus.query.limit",
    "db.pinecone.query.top_k", "pinecone.query.top_k", "db.weaviate.query.limit", "qdrant.search.limit",
    "db.lancedb.search.limit", "db.marqo.search.limit",
)  # fmt: skip
_EVENTS: Final = {"db.query.result": "db.query.result.", "db.search.result": "db.search.result.",
           "db.pinecone.query.result": "db.pinecone.query.result."}  # fmt: skip


def look(span: RawSpan, scope: str) -> str | None:
    """What a database span does: a search, a write, a read. None for databases that are no vector store."""
    attributes = span.attributes
    system = attributes.get("db.system.name") or attributes.get("db.system")
    marked = keys_of(attributes).is_marked
    name = system.lower() if isinstance(system, str) else ""
    if not name and not marked:
        called = _remote(span)
        if called is not None:
            return _verb(called.lower()) or STORE_READ
    if not name and not marked and _of_scope(scope):  # a call that failed before anything was said of it
        verb = span.name.partition(" ")[0] if " " in span.name else span.name.rpartition(".")[2]
        return _verb(verb.lower()) or ("retrieve" if span.status_code == STATUS_ERROR else STORE_READ)
    if name not in SYSTEMS and not marked:
        return "retrieve" if name in MIXED and _searches_vectors(attributes) else None
    said = attributes.get("db.operation.name") or attributes.get("db.operation")
    if not isinstance(said, str) or not said:
        said = span.name.rsplit(".", 1)[-1].rsplit(" ", 1)[-1]
    named = _NAMES.search(span.name) if name == "weaviate" else None
    if named is not None:
        return named.lastgroup
    verb = said.lower()
    known = _verb(verb)
    if known is None and verb in {"do", "call", "execute", "request"}:  # db.weaviate.query.get.do
        known = next((found for part in reversed(span.name.lower().split(".")) if (found := _verb(part))), None)
    if known is not None:
        return known
    if any(key in attributes for key in _TOP_K) and verb not in {"peek", "scroll", "count"}:
        return "retrieve"  # OpenLIT calls a query GET
    return STORE_READ


def _remote(span: RawSpan) -> str | None:
    """The method of a store's service that is called from afar; None for any other call."""
    attributes = span.attributes
    if span.kind == SERVER_KIND:
        return None  # a service of the app's own may have such a name
    if attributes.get("az.namespace") == AZURE_SEARCH:
        return span.name.rpartition(".")[2]
    service, method = attributes.get("rpc.service"), attributes.get("rpc.method")
    if isinstance(service, str) and isinstance(method, str) and _is_store(service):
        return method
    return None


@lru_cache(maxsize=1024)
def _is_store(service: str) -> bool:
    return _SERVICES.search(service) is not None


def _searches_vectors(attributes: Attributes) -> bool:
    statement = attributes.get("db.query.text") or attributes.get("db.statement")
    return isinstance(statement, str) and _STATEMENT.search(statement[:20_000]) is not None


def _verb(verb: str) -> str | None:
    if _KEEPS.match(verb):
        return STORE_READ
    if verb.startswith(_SEARCHES) or verb.endswith(("_search", "_query", ".search", ".query")):
        return "retrieve"
    return "ingest" if verb.startswith(_WRITES) else None


@lru_cache(maxsize=1024)
def _of_scope(scope: str) -> bool:
    return scope.rpartition(".")[2].lower().replace("_client", "") in SYSTEMS


def _extract(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    if step != "retrieve":
        return
    found: list[Document] = []
    for name, _, held in span.events or ():
        prefix = _EVENTS.get(name)
        if prefix is not None:
            identity = held.get(f"{prefix}id")
            found.append(
                Document(
                    None if identity is None else str(identity)[:256],
                    len(found) + 1,
                    number(held.get(f"{prefix}score")),
                    number(held.get(f"{prefix}distance")),
                    "id" if identity is not None else None,
                )
            )
    if found:
        row["documents"] = tuple(found)
    if "data_source" not in row:
        for key, value in attributes.items():
            if key.endswith((".collection_name", ".collection.name")):
                row["data_source"] = str(value)
                break


_BOTH: Final = frozenset({"retrieve", "ingest"})
CONVENTION: Final[Convention] = Convention(
    "vector_store",
    "Vector stores (database spans)",
    look=look,
    settled_by=(
        "db.system.name", "db.system", "db.operation.name", "db.operation", "rpc.service", "rpc.method",
        "az.namespace",
    ),
    searched=("db.query.text", "db.statement"),
    extract=_extract,
    marks=("db.system", "db.system.name"),
    fields=(
        Field(
            "data_source", ("db.collection.name", "db.namespace", "db.name", "aws.bedrock.knowledge_base.id"),
            text, _BOTH,
        ),
        Field("top_k", _TOP_K, whole, frozenset({"retrieve"})),
        Field("document_count", ("db.response.returned_rows", "db.milvus.search.result_count"), whole,
              frozenset({"retrieve"})),
        Field("error_type", ("error.type",), text),
    ),
    packed=(("documents", "events db.query.result and db.search.result: ids, distances apart from scores"),),
    lacks=(("documents", "an instrumentor that says which documents came back (OpenLIT and Qdrant's give a count)"),),
)  # fmt: skip
