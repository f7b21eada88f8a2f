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
    from ragwatch.adapters.pybreaker_observer import observe_pybreaker
    from ragwatch.adapters.redis_state import RedisState
    from ragwatch.adapters.stamina_observer import observe_stamina
    from ragwatch.adapters.tenacity_observer import observe_tenacity
    from ragwatch.config.production import ProductionConfig
    from ragwatch.errors import (
        CircuitOpen,
        ConfigError,
        ConfigErrors,
        DeadlineExceeded,
        LimitExceeded,
        RagwatchError,
        Rejected,
    )
    from ragwatch.kpi.metrics import RAGMetrics
    from ragwatch.patterns.documents import CircuitBreakerDocumentProcessor
    from ragwatch.patterns.monitor import ProductionRAGMonitor
    from ragwatch.patterns.retry import RetryableRAGProcessor
    from ragwatch.processing.processor import DocumentProcessor
    from ragwatch.processing.result import DocResult, ProcessingResult
    from ragwatch.record import Document, QueryRecord, Step
    from ragwatch.resilience.adaptive import AdaptiveLimit
    from ragwatch.resilience.breaker import CircuitBreaker
    from ragwatch.resilience.breakers import breaker, breakers
    from ragwatch.resilience.deadline import deadline
    from ragwatch.resilience.limits import Bulkhead, RateLimit
    from ragwatch.resilience.retry import retry
    from ragwatch.resilience.retry_budget import RetryBudget
    from ragwatch.resilience.retry_policy import RetryPolicy
    from ragwatch.resilience.retry_run import current_attempt
    from ragwatch.sdk.api import cache, embed, generate, guardrail, ingest, query, rerank, retrieve, tool
    from ragwatch.sdk.judgements import feedback, relevance, trace_id
    from ragwatch.sdk.setup import app_info, flush, init, metrics, shutdown, telemetry

__all__ = [
    "AdaptiveLimit",
    "Bulkhead",
    "CircuitBreaker",
    "CircuitBreakerDocumentProcessor",
    "CircuitOpen",
    "ConfigError",
    "ConfigErrors",
    "DeadlineExceeded",
    "DocResult",
    "Document",
    "DocumentProcessor",
    "LimitExceeded",
    "ProcessingResult",
    "ProductionConfig",
    "ProductionRAGMonitor",
    "QueryRecord",
    "RAGMetrics",
    "RagwatchError",
    "RateLimit",
    "RedisState",
    "Rejected",
    "RetryBudget",
    "RetryPolicy",
    "RetryableRAGProcessor",
    "Step",
    "app_info",
    "breaker",
    "breakers",
    "cache",
    "current_attempt",
    "deadline",
    "embed",
    "feedback",
    "flush",
    "generate",
    "guardrail",
    "ingest",
    "init",
    "metrics",
    "observe_pybreaker",
    "observe_stamina",
    "observe_tenacity",
    "query",
    "relevance",
    "rerank",
    "retrieve",
    "retry",
    "shutdown",
    "telemetry",
    "tool",
    "trace_id",
]
_HOMES = {
    "ragwatch.adapters.pybreaker_observer": ("observe_pybreaker",),
    "ragwatch.adapters.redis_state": ("RedisState",),
    "ragwatch.adapters.stamina_observer": ("observe_stamina",),
    "ragwatch.adapters.tenacity_observer": ("observe_tenacity",),
    "ragwatch.config.production": ("ProductionConfig",),
    "ragwatch.errors": (
        "CircuitOpen", "ConfigError", "ConfigErrors", "DeadlineExceeded", "LimitExceeded", "RagwatchError", "Rejected",
    ),
    "ragwatch.patterns.documents": ("CircuitBreakerDocumentProcessor",),
    "ragwatch.patterns.monitor": ("ProductionRAGMonitor",),
    "ragwatch.patterns.retry": ("RetryableRAGProcessor",),
    "ragwatch.processing.processor": ("DocumentProcessor",),
    "ragwatch.processing.result": ("DocResult", "ProcessingResult"),
    "ragwatch.kpi.metrics": ("RAGMetrics",),
    "ragwatch.record": ("Document", "QueryRecord", "Step"),
    "ragwatch.resilience.adaptive": ("AdaptiveLimit",),
    "ragwatch.resilience.breaker": ("CircuitBreaker",),
    "ragwatch.resilience.breakers": ("breaker", "breakers"),
    "ragwatch.resilience.deadline": ("deadline",),
    "ragwatch.resilience.limits": ("Bulkhead", "RateLimit"),
    "ragwatch.resilience.retry": ("retry",),
    "ragwatch.resilience.retry_budget": ("RetryBudget",),
    "ragwatch.resilience.retry_policy": ("RetryPolicy",),
    "ragwatch.resilience.retry_run": ("current_attempt",),
    "ragwatch.sdk.api": (
        "cache", "embed", "generate", "guardrail", "ingest", "query", "rerank", "retrieve", "tool",
    ),
    "ragwatch.sdk.judgements": ("feedback", "relevance", "trace_id"),
    "ragwatch.sdk.setup": ("app_info", "flush", "init", "metrics", "shutdown", "telemetry"),
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
