"""Spans that say nothing but a name: hand-made ones, tasks of OpenLLMetry. What a name says is a guess, and yields.

Names are read by their words, so that ``VectorIndexRetriever``, ``rag.retrieve`` and ``retrieve_documents`` are one
thing, and ``generate_id`` or ``cached_property`` are nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from ragwatch.conventions.keys import keys_of
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.table import SERVER, Convention, Field, text

Words = Sequence[str]
_SUFFIX: Final = re.compile(r"\.(?:task|workflow|run|tool|agent)$")
_BORDERS: Final = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_METHODS: Final = frozenset({"get", "post", "put", "delete", "patch", "head", "options"})
_STRUCTURE: Final = frozenset(
    {
        "engine", "agent", "chain", "pipeline", "workflow", "graph", "handler", "service", "controller",
        "endpoint", "app", "bot", "session", "history", "memory", "template", "prompt", "prompts", "parser",
        "manager", "router", "buffer", "config", "factory", "builder", "flow", "loop", "message",
        "messages", "room", "turn", "selector", "evaluator",
    }
)  # fmt: skip
"""A name that ends so is what holds steps, or works for them."""
_HELD: Final = frozenset(
    {
        "docs", "documents", "document", "chunks", "passages", "context", "contexts", "kb", "knowledge",
        "corpus", "index", "vectors", "vectorstore", "nodes", "embeddings",
    }
)  # fmt: skip
_ANSWERS: Final = frozenset(
    {
        "answer", "answers", "response", "reply", "text", "completion", "content", "summary", "output",
        "message", "query", "queries", "question", "questions", "chat", "stream", "async",
    }
)  # fmt: skip
_NO_TEXTS: Final = frozenset(
    {
        "id", "ids", "uuid", "key", "password", "token", "url", "report", "pdf", "data", "random", "test",
        "code", "hash", "name", "image", "thumbnail", "schema", "sequence",
    }
)  # fmt: skip
_NO_LOOKUP: Final = frozenset(
    {
        "set", "put", "write", "store", "save", "warm", "warmup", "clear", "invalidate", "update",
        "refresh", "evict", "fill", "populate",
    }
)  # fmt: skip
_SEARCHES: Final = frozenset(
    {
        "vector", "similarity", "semantic", "hybrid", "knn", "ann", "dense", "sparse", "document", "docs",
        "rag", "kb", "fulltext", "bm25",
    }
)  # fmt: skip
_FETCHES: Final = frozenset({"fetch", "find", "lookup", "search", "get", "query", "load"})


def _rerank(words: Words) -> bool:
    joined = " ".join(words)
    return (
        any(word.startswith("rerank") for word in words)
        or words[-1] in {"ranker", "postprocessor"}
        or "re rank" in joined
        or "postprocess nodes" in joined
    )


def _guardrail(words: Words) -> bool:
    return (
        any(word.startswith("guardrail") or word in {"moderation", "moderate"} for word in words)
        or "guard" in {words[0], words[-1]}
        or "guard rail" in " ".join(words)
    )


def _cache(words: Words) -> bool:
    return "cache" in words and _NO_LOOKUP.isdisjoint(words)


def _retrieve(words: Words) -> bool:
    last = words[-1]
    if last in {"retriever", "retrieval", "retrieve"} or "retrieve" in words[:2]:
        return True
    if "search" in words:
        at = words.index("search")
        beside = {*words[max(0, at - 1) : at], *words[at + 1 : at + 2]}
        if beside & (_SEARCHES | _HELD):
            return True
    return words[0] in _FETCHES and last in _HELD and ("relevant" in words or words[0] != "get") and words[0] != "load"


def _embed(words: Words) -> bool:
    ends = {words[0], words[-1]}
    return bool(ends & {"embed", "embedding", "embeddings", "embedder"}) or "embed" in words[:2]


def _ingest(words: Words) -> bool:
    if any(word.startswith("ingest") for word in words) or words[-1] in {"splitter", "indexing", "indexer", "loader"}:
        return True
    return words[0] == "index" and words[-1] in _HELD


def _generate(words: Words) -> bool:
    last = words[-1]
    if "llm" in words or (words[0] == "chat" and (len(words) == 1 or words[1] not in _NO_TEXTS)):
        return True
    if "completion" in words and "chat" in words:
        return True
    if last in {"generator", "generation"}:
        return _NO_TEXTS.isdisjoint(words)
    if "generate" in words[:2]:
        at = words.index("generate")
        return at == len(words) - 1 or words[at + 1] in _ANSWERS
    return False


_RULES: Final[tuple[tuple[str, Callable[[Words], bool], str], ...]] = (
    ("rerank", _rerank, "rerank…, …ranker, …postprocessor"),
    ("guardrail", _guardrail, "guardrail…, guard, moderation"),
    ("cache", _cache, "cache, unless it is written"),
    ("retrieve", _retrieve, "…retriever, retrieve…, vector / similarity / document search, fetch … context"),
    ("embed", _embed, "embed…, …embedding(s), …embedder"),
    ("ingest", _ingest, "ingest…, …splitter, …loader, index … documents"),
    ("generate", _generate, "…llm…, Chat…, …generator, generate (answer, text, …)"),
)
_KIND_SERVER, _KIND_CONSUMER = 2, 5
MAX_CACHED: Final = 4096
_known: Final[dict[str, str | None]] = {}


def step_of_name(name: str) -> str | None:
    """The step that a name stands for, or None.

    >>> [step_of_name(name) for name in ("VectorIndexRetriever.task", "MockLLM.task", "answer", "CohereRerank")]
    ['retrieve', 'generate', None, 'rerank']
    >>> [step_of_name(name) for name in ("rag.embed", "ChatOpenAI", "ChatPromptTemplate", "generate_id", "GET /cache")]
    ['embed', 'generate', None, None, None]
    """
    if name in _known:
        return _known[name]
    words = [word.lower() for word in _BORDERS.split(_SUFFIX.sub("", name)[:200]) if word]
    found = None
    if words and words[-1] not in _STRUCTURE and words[0] not in _METHODS - {"get"} and "/" not in name:
        found = next((step for step, rule, _ in _RULES if rule(words)), None)
    if len(_known) < MAX_CACHED:
        _known[name] = found
    return found


def look(span: RawSpan, _scope: str) -> str | None:
    """The step that a hand-made span is named for; the request that the app serves; None for transport."""
    attributes = span.attributes
    if span.kind in {_KIND_SERVER, _KIND_CONSUMER}:
        return SERVER
    name = attributes.get("traceloop.entity.name")
    if not isinstance(name, str):
        if keys_of(attributes).is_transport:
            return None
        name = span.name
    return step_of_name(name)


CONVENTION: Final[Convention] = Convention(
    "names",
    "Hand-made spans, by name",
    look=look,
    settled_by=("traceloop.entity.name",),
    weak=True,
    fields=(
        Field("session", ("session.id",), text),
        Field("user", ("user.id", "enduser.id"), text),
        Field("tenant", ("tenant.id",), text),
    ),
    packed=tuple((step, f"words of the span's name: {words}") for step, _, words in _RULES),
    lacks=(("documents", "ragwatch's SDK, or an instrumentor of the framework"),),
)
