"""Spans of other instrumentors, written down as trees: what a test says about a framework in a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ragwatch.assembly.assembler import Origin
from ragwatch.conventions.decode import RawSpan
from tests.support.captures import Came, Told, assembled

MS = 1_000_000
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
LOCAL, REMOTE = 0x101, 0x301
_serial = count(1)


@dataclass
class Spun:
    """A span and those below it. ``wait_ms`` lies before it, ``own_ms`` after its children; times follow from these."""

    name: str
    attributes: dict[str, Any] = field(default_factory=dict)
    below: Sequence[Spun] = ()
    kind: int = INTERNAL
    scope: str = "my.app"
    error: str | None = None
    events: Sequence[tuple[str, int, dict[str, Any]]] = ()
    own_ms: float = 10
    wait_ms: float = 1
    flags: int = LOCAL
    parent_id: bytes = b""
    service: str = "bot"


def spun(name: str, attributes: Mapping[str, Any] | None = None, *below: Spun, **more: Any) -> Spun:
    """``Spun`` with its children after its attributes."""
    return Spun(name, dict(attributes or {}), below, **more)


def oi(kind: str, name: str, *below: Spun, error: str | None = None, own_ms: float = 10, **attributes: Any) -> Spun:
    """A span of OpenInference; keyword arguments are attributes with ``__`` for dots."""
    found = {"openinference.span.kind": kind, **dotted(attributes)}
    return Spun(name, found, below, scope="openinference.instrumentation.langchain", error=error, own_ms=own_ms)


def dotted(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """
    >>> dotted({"gen_ai__system": "openai"})
    {'gen_ai.system': 'openai'}
    """
    return {key.replace("__", "."): value for key, value in attributes.items()}


def llm(name: str = "ChatOpenAI", tokens: int | None = 120, **attributes: Any) -> Spun:
    """A model call by OpenInference."""
    usage = {} if tokens is None else {"llm.token_count.prompt": tokens, "llm.token_count.completion": 17}
    spun_ = oi("LLM", name, **attributes)
    spun_.attributes |= {"llm.model_name": "gpt-4o", "output.value": "Paris", **usage}
    return spun_


def retriever(ids: Sequence[str] = ("a", "b"), name: str = "Retriever", **attributes: Any) -> Spun:
    """A retrieval by OpenInference."""
    spun_ = oi("RETRIEVER", name, **attributes)
    for at, identity in enumerate(ids):
        spun_.attributes[f"retrieval.documents.{at}.document.id"] = identity
        spun_.attributes[f"retrieval.documents.{at}.document.content"] = f"text of {identity}"
    spun_.attributes["output.value"] = "[]"
    return spun_


def chat(model: str = "gpt-4o", *below: Spun, **attributes: Any) -> Spun:
    """A model call by OpenTelemetry's GenAI names."""
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 17,
        **dotted(attributes),
    }
    return Spun(f"chat {model}", found, below, kind=CLIENT, scope="opentelemetry.instrumentation.openai")


def search(store: str = "qdrant", **attributes: Any) -> Spun:
    """A search in a vector store by OpenLLMetry."""
    found = {"db.system": store, "db.operation": "query", "db.vector.query.top_k": 3, **dotted(attributes)}
    return Spun(f"{store}.query", found, kind=CLIENT, scope=f"opentelemetry.instrumentation.{store}")


def spans_of(*trees: Spun, trace: int | None = None) -> list[Came]:
    """The trees' spans; each tree is a trace of its own unless they share one."""
    found: list[Came] = []
    for tree in trees:
        number = next(_serial) if trace is None else trace
        start = 1_700_000_000_000 * MS + (len(found) + number % 1000) * 3_600_000 * MS
        found += _placed(tree, number.to_bytes(16), tree.parent_id, start)[0]
    return found


def _placed(tree: Spun, trace_id: bytes, parent_id: bytes, now: int) -> tuple[list[Came], int]:
    span_id = next(_serial).to_bytes(8)
    start = now + int(tree.wait_ms * MS)
    at = start
    inner: list[Came] = []
    for child in tree.below:
        if child.service == "bot":
            child.service = tree.service
        placed, at = _placed(child, trace_id, span_id, at)
        inner += placed
    end = at + int(tree.own_ms * MS)
    events = [(name, start + after_ms * MS, held) for name, after_ms, held in tree.events]
    if tree.error:
        kind, _, message = tree.error.partition(": ")
        events.append(("exception", end, {"exception.type": kind, "exception.message": message}))
    raw = RawSpan(
        trace_id, span_id, parent_id, tree.name, tree.kind, start, end, tree.attributes, events or None, None,
        2 if tree.error else 0, tree.error or "", "", tree.flags, 0,
    )  # fmt: skip
    return [Came(raw, Origin(tree.service, "", None), tree.scope), *inner], end


def made(*trees: Spun, trace: int | None = None, **bounds: Any) -> Told:
    """What the assembler makes of these trees."""
    return assembled(spans_of(*trees, trace=trace), **bounds)


def kinds(told: Told) -> list[list[str]]:
    """The steps of each query, in order of start."""
    return [[step.step for step in record.steps] for record in told.queries]


def walk(tree: Spun) -> Iterator[Spun]:
    """A tree's spans."""
    yield tree
    for child in tree.below:
        yield from walk(child)
