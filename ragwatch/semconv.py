"""Every attribute and operation name that ragwatch reads or writes; the only such strings in the code.

OpenTelemetry's names stand where they exist (``gen_ai.*``, ``error.type``, ``session.id``), ``rag.*`` for what it
lacks, ``ragwatch.*`` for what ragwatch says about itself.
"""

from __future__ import annotations

from typing import Final

# -- vocabulary -------------------------------------------------------------------------------------------------------
STEPS: Final = ("query", "cache", "embed", "retrieve", "rerank", "generate", "guardrail", "tool", "ingest")
OUTCOMES: Final = ("ok", "error", "rejected", "degraded", "cancelled", "incomplete")
ANSWERED: Final = frozenset({"ok", "degraded"})
"""Outcomes of what was answered."""
ERROR_CLASSES: Final = (
    "rate_limited",
    "timeout",
    "server_error",
    "auth",
    "connection",
    "invalid_request",
    "context_length",
    "content_filter",
    "other",
)
CACHE_RESULTS: Final = ("hit", "miss", "stale", "error")
RETRIEVAL_RESULTS: Final = ("ok", "empty", "below_threshold", "error")

# -- resource ---------------------------------------------------------------------------------------------------------
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
DEPLOYMENT_ENVIRONMENT: Final = "deployment.environment.name"
DEPLOYMENT_ENVIRONMENT_OLD: Final = "deployment.environment"

# -- what the app ran when it answered: on the query ------------------------------------------------------------------
APP_VERSION: Final = "rag.app.version"
"""Where the app names another than ``service.version``."""
APP_CONFIG_HASH: Final = "rag.app.config_hash"
APP_INDEX_VERSION: Final = "rag.app.index_version"
APP_EMBEDDING_MODEL: Final = "rag.app.embedding_model"

# -- a step -----------------------------------------------------------------------------------------------------------
STEP: Final = "rag.step"
STEP_ALIAS: Final = "ragwatch.step"
OUTCOME: Final = "rag.outcome"
DEGRADED_REASON: Final = "rag.degraded.reason"
COUNTED: Final = "ragwatch.counted"
COUNTED_SPANS: Final = "ragwatch.counted.spans"
"""Of a query under the app's own tracer provider: the ids of others' spans that its process counted with it."""
EXPORT_INTERVAL: Final = "ragwatch.sdk.export.interval"
ERROR_TYPE: Final = "error.type"
ERROR_CLASS: Final = "rag.error.class"
ATTEMPTS: Final = "rag.attempts"
BREAKER_NAME: Final = "rag.breaker.name"
BREAKER_STATE: Final = "rag.breaker.state"
"""What the breaker that a step met was when it was last asked; several breakers are two arrays, in parallel."""

# -- resilience -------------------------------------------------------------------------------------------------------
DOCUMENT_ID: Final = "rag.document.id"
EVENT_RETRY: Final = "rag.retry"
EVENT_REJECTED: Final = "rag.rejected"
EVENT_BREAKER: Final = "rag.breaker"
EVENT_APP_CHANGED: Final = "rag.app.changed"
EVENT_CONFIG_CHANGED: Final = "rag.config.changed"
EVENT_CONFIG_REJECTED: Final = "rag.config.rejected"
EVENT_BREAKER_SHARED: Final = "rag.breaker.shared"
RETRY_OPERATION: Final = "rag.retry.operation"
RETRY_ATTEMPT: Final = "rag.retry.attempt"
RETRY_DELAY_S: Final = "rag.retry.delay"
RETRY_ALONG_PATH: Final = "rag.retry.along_path"
RETRY_RESULT: Final = "rag.retry.result"
REJECTED_BY: Final = "rag.rejected.by"
REJECTED_NAME: Final = "rag.rejected.name"
REJECTED_REASON: Final = "rag.rejected.reason"

# -- cache ------------------------------------------------------------------------------------------------------------
CACHE_NAME: Final = "rag.cache.name"
CACHE_HIT: Final = "rag.cache.hit"
CACHE_RESULT: Final = "rag.cache.result"

# -- model calls ------------------------------------------------------------------------------------------------------
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
FIRST_CHUNK_S: Final = "gen_ai.response.time_to_first_chunk"
COST_USD: Final = "rag.cost.usd"

OP_CHAT: Final = "chat"
OP_EMBEDDINGS: Final = "embeddings"
OP_RETRIEVAL: Final = "retrieval"
OP_TOOL: Final = "execute_tool"
STEP_OPERATIONS: Final = {"generate": OP_CHAT, "embed": OP_EMBEDDINGS, "retrieve": OP_RETRIEVAL, "tool": OP_TOOL}
"""The GenAI operation that a step is, where OpenTelemetry has one."""
TOKEN_INPUT: Final = "input"
TOKEN_OUTPUT: Final = "output"

# -- retrieval --------------------------------------------------------------------------------------------------------
DATA_SOURCE: Final = "gen_ai.data_source.id"
TOP_K: Final = "gen_ai.request.top_k"
TOP_K_ALIAS: Final = "rag.top_k"
DOCUMENTS: Final = "gen_ai.retrieval.documents"
DOCUMENT_COUNT: Final = "rag.retrieval.document_count"
DOCUMENT_COUNT_ALIAS: Final = "rag.docs"
SCORE_THRESHOLD: Final = "rag.retrieval.score_threshold"
QUERY_TEXT: Final = "gen_ai.retrieval.query.text"

# -- the query --------------------------------------------------------------------------------------------------------
SESSION_ID: Final = "session.id"
USER_ID: Final = "user.id"
USER_HASH: Final = "user.hash"
TENANT_ID: Final = "tenant.id"
PROMPT_VERSION: Final = "ragwatch.prompt.version"
QUESTION: Final = "rag.question"
QUESTION_LENGTH: Final = "rag.question.length"
ANSWER: Final = "rag.answer"
ANSWER_LENGTH: Final = "rag.answer.length"

# -- labels that came with the query ----------------------------------------------------------------------------------
LABEL_K: Final = "rag.label.k"
LABEL_RECALL: Final = "rag.label.recall"
LABEL_RECIPROCAL_RANK: Final = "rag.label.reciprocal_rank"
LABEL_HIT: Final = "rag.label.hit"
LABEL_SOURCE: Final = "rag.label.source"

# -- events -----------------------------------------------------------------------------------------------------------
EVENT_EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
EXCEPTION_ESCAPED: Final = "exception.escaped"
EVENT_EVALUATION: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
JUDGEMENT_TARGET: Final = "rag.judgement.target"
JUDGEMENT_SOURCE: Final = "rag.judgement.source"
JUDGEMENT_JUDGE: Final = "rag.judgement.judge"
JUDGEMENT_SERVICE: Final = "rag.judgement.service"
EVENT_QUERY_LOG: Final = "rag.query"

SCOPE_NAME: Final = "ragwatch"
"""The instrumentation scope of ragwatch's own spans, metrics and logs."""

CONTENT_KEYS: Final = frozenset(
    {
        QUESTION,
        ANSWER,
        QUERY_TEXT,
        EXCEPTION_MESSAGE,
        "input.value",
        "output.value",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.tool.message",
        "gen_ai.memory.query.text",
        "gen_ai.memory.records",
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.content",
        "gen_ai.evaluation.explanation",
        "traceloop.entity.input",
        "traceloop.entity.output",
        "traceloop.prompt.template",
        "llm.invocation_parameters",
        "llm.prompts",
        "llm.choices",
        "llm.tools",
        "llm.prompt_template.template",
        "llm.prompt_template.variables",
        "reranker.query",
        "retrieval.documents",
        "tool.parameters",
        "db.query.text",
        "db.statement",
        "db.query.result.document",
        "db.query.result.metadata",
        "db.query.result.vector",
        "db.search.result.entity",
    }
)
"""Attributes that carry what people asked, what documents say, or what a model answered (STANDARDS sections 1 to 4)."""
CONTENT_PREFIXES: Final = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.prompts.",
    "llm.choices.",
    "llm.tools.",
    "llm.prompt_template.variables.",
    "traceloop.prompt.template",
    "embedding.embeddings.",
    "embedding.text",
    "message.",
    "db.query.parameter.",
    "haystack.component.input",
    "haystack.component.output",
    "haystack.pipeline.input",
    "haystack.pipeline.output",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "mlflow.chunk.",
)
CONTENT_SUFFIXES: Final = (".document.content", ".document.metadata", ".message.content", ".embedding.text")
