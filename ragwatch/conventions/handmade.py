"""Spans that say nothing but a name: hand-made ones, tasks of OpenLLMetry. What a name says is a guess, and yields."""

from __future__ import annotations

import re

from ragwatch.conventions.decode import RawSpan
from ragwatch.conventions.table import SERVER, Attributes, Convention, Field, text

_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"rerank|re_rank|ranker$|postprocessor|postprocess_nodes", "rerank"),
    (r"guard_?rail|^guard|guard$|moderation", "guardrail"),
    (r"cache", "cache"),
    (
        r"retriever$|^retriev(?:e|al)(?:$|_|\.)|vector_?search|similarity_?search|^search_(?:docs|documents|index)",
        "retrieve",
    ),
    (r"embedding|^embed(?:_|$|\.)|embedder$", "embed"),
    (r"splitter|ingest|loader|indexing", "ingest"),
    (r"llm$|^llm_|^chat(?:$|[a-z]+$|\.completion|_completion)|generator$|^generate(?:_|$|\.)|^generation$", "generate"),
)
_NO_MODEL = re.compile(
    r"^chat\w*(?:prompt|template|messages?|history|memory|buffer|store|engine|agent|bot|service|handler|pipeline|chain|app"
    r"|session|flow|controller|endpoint|request|parser|router|manager|loop|turn|room|summary)(?:_\w*)?$"
)
"""Begins like a chat model of LangChain, and is none."""
_RULES = tuple((re.compile(pattern), step) for pattern, step in _PATTERNS)
_SUFFIX = re.compile(r"\.(?:task|workflow|run|tool|agent)$")
_TRANSPORT = ("http.", "rpc.", "messaging.", "db.", "url.", "faas.", "net.", "network.", "server.address")
_KIND_SERVER, _KIND_CONSUMER = 2, 5
MAX_CACHED = 4096
_known: dict[str, str | None] = {}


def step_of_name(name: str) -> str | None:
    """The step that a name stands for, or None.

    >>> [step_of_name(name) for name in ("VectorIndexRetriever.task", "MockLLM.task", "answer", "CohereRerank")]
    ['retrieve', 'generate', None, 'rerank']
    """
    if name in _known:
        return _known[name]
    lowered = _SUFFIX.sub("", name).lower()
    found = next((step for pattern, step in _RULES if pattern.search(lowered)), None)
    if found == "generate" and _NO_MODEL.search(lowered):
        found = None
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
        if _is_transport(attributes):
            return None
        name = span.name
    return step_of_name(name)


def _is_transport(attributes: Attributes) -> bool:
    return any(key.startswith(_TRANSPORT) for key in attributes)


CONVENTION = Convention(
    "names",
    "Hand-made spans, by name",
    look=look,
    weak=True,
    fields=(
        Field("session", ("session.id",), text),
        Field("user", ("user.id", "enduser.id"), text),
        Field("tenant", ("tenant.id",), text),
    ),
    packed=(
        ("step", "the span's name: *Retriever, *Embedding*, *rerank*, *LLM, Chat*, *Generator, *cache*, *guard*, …"),
    ),
    lacks=(("documents", "ragwatch's SDK, or an instrumentor of the framework"),),
)
