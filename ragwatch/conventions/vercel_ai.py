"""Vercel's AI SDK for TypeScript (3.3 to 6; from 7 on it speaks OpenTelemetry GenAI): spans with ``ai.operationId``.

Of each call there are two spans: the whole of it, with every round of tools (``ai.generateText``), and each request to
the model in it (``ai.generateText.doGenerate``). The tokens of the first are the sum of those of the second.
"""

from __future__ import annotations

from typing import Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import at, mapping
from ragwatch.conventions.table import CHAIN, TASK, Convention, Field, Row, Rule, given, number, text, whole

OPERATION: Final = "ai.operationId"
PROMPT, RANKING = "ai.prompt", "ai.ranking"
FIRST_CHUNK: Final = "ai.stream.firstChunk"
_OF: Final = "ai.telemetry.metadata."
_CALLS: Final = ("ai.generatetext", "ai.streamtext", "ai.generateobject", "ai.streamobject")
_ROLES: Final = {
    **dict.fromkeys(_CALLS, CHAIN),
    **dict.fromkeys([f"{call}.{kind}" for call in _CALLS for kind in ("dogenerate", "dostream")], "generate"),
    **dict.fromkeys(["ai.embed", "ai.embedmany", "ai.embed.doembed", "ai.embedmany.doembed"], "embed"),
    **dict.fromkeys(["ai.rerank", "ai.rerank.dorerank"], "rerank"),
    "ai.toolcall": "tool",
    **dict.fromkeys(["ai.generateimage", "ai.generateimage.dogenerate", "ai.generatespeech", "ai.transcribe"], TASK),
}
_CHUNKS: Final = frozenset({FIRST_CHUNK})
_GENERATES: Final = frozenset({"generate"})
_EMBEDS: Final = frozenset({"embed"})


def _vendor(value: object) -> str | None:
    """``openai.chat`` and ``openai.embedding`` are one provider."""
    return text(value.partition(".")[0]) if isinstance(value, str) else None


def _seconds(value: object) -> float | None:
    milliseconds = number(value)
    return None if milliseconds is None or milliseconds < 0 else milliseconds / 1000


def _extract(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    if step == "generate" and "first_chunk_s" not in row:
        row["first_chunk_s"] = span.seconds_until(_CHUNKS)
    elif step == "rerank":
        ranking = attributes.get(RANKING)
        if isinstance(ranking, list | tuple):
            row["document_count"] = len(ranking)
    elif step == "query":
        asked = mapping(attributes.get(PROMPT), PROMPT)
        last = at(asked.get("messages"), -1, "content")
        row.setdefault("question", text(asked.get("prompt")) or text(last) or text(at(last, 0, "text")))


CONVENTION: Final[Convention] = Convention(
    "vercel_ai",
    "Vercel's AI SDK (TypeScript)",
    rules=(Rule(OPERATION, _ROLES), Rule("operation.name", _ROLES)),
    extract=_extract,
    marks=(OPERATION,),
    fields=(
        Field("model", ("ai.model.id",), text),
        Field("provider", ("ai.model.provider",), _vendor),
        Field("response_model", ("ai.response.model",), text, _GENERATES),
        Field("response_id", ("ai.response.id",), text, _GENERATES),
        Field("input_tokens", ("ai.usage.inputTokens", "ai.usage.promptTokens"), given, _GENERATES),
        Field("input_tokens", ("ai.usage.tokens",), given, _EMBEDS),
        Field("output_tokens", ("ai.usage.outputTokens", "ai.usage.completionTokens"), whole, _GENERATES),
        Field(
            "cached_tokens",
            ("ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens"),
            whole,
            _GENERATES,
        ),
        Field(
            "reasoning_tokens",
            ("ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"),
            whole,
            _GENERATES,
        ),
        Field("first_chunk_s", ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"), _seconds, _GENERATES),
        Field(
            "session",
            tuple(f"{_OF}{name}" for name in ("sessionId", "session.id", "conversationId", "chatId", "threadId")),
            text,
        ),
        Field("user", (f"{_OF}userId", f"{_OF}user.id"), text),
        Field("tenant", (f"{_OF}tenantId", f"{_OF}tenant"), text),
        Field("prompt_version", (f"{_OF}promptVersion", f"{_OF}prompt_version"), text),
        Field("answer", ("ai.response.text", "ai.result.text"), text, frozenset({"query"})),
    ),
    packed=(
        ("first_chunk_s", f"event {FIRST_CHUNK}"),
        ("question", PROMPT),
    ),
    lacks=(
        ("documents", "a span of your own around the retrieval, or a vector store's own instrumentor"),
        ("cost_usd", "a price table of yours: ragwatch agent --prices FILE"),
    ),
)
