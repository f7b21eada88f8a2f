"""ragwatch: observability for RAG applications.

    import ragwatch

    ragwatch.init(service="support-bot")

    @ragwatch.retrieve(top_k=5)
    def search(question): ...

The names below are loaded when they are first used: ``import ragwatch`` loads none of the SDK, of gRPC, of pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ragwatch.errors import ConfigError, RagwatchError
    from ragwatch.kpi.metrics import RAGMetrics
    from ragwatch.record import Document, QueryRecord, Step
    from ragwatch.sdk.api import cache, embed, generate, guardrail, ingest, query, rerank, retrieve, tool
    from ragwatch.sdk.setup import flush, init, metrics, shutdown, telemetry

__all__ = [
    "ConfigError",
    "Document",
    "QueryRecord",
    "RAGMetrics",
    "RagwatchError",
    "Step",
    "cache",
    "embed",
    "flush",
    "generate",
    "guardrail",
    "ingest",
    "init",
    "metrics",
    "query",
    "rerank",
    "retrieve",
    "shutdown",
    "telemetry",
    "tool",
]
_HOMES = {
    "ragwatch.errors": ("ConfigError", "RagwatchError"),
    "ragwatch.kpi.metrics": ("RAGMetrics",),
    "ragwatch.record": ("Document", "QueryRecord", "Step"),
    "ragwatch.sdk.api": (
        "cache", "embed", "generate", "guardrail", "ingest", "query", "rerank", "retrieve", "tool",
    ),
    "ragwatch.sdk.setup": ("flush", "init", "metrics", "shutdown", "telemetry"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'ragwatch' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
