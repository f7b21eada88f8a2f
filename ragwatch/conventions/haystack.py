"""Haystack's own tracer: ``haystack.component.run`` spans, told apart by the component's type."""

from __future__ import annotations

from typing import Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import at, mapping, put_documents
from ragwatch.conventions.table import TASK, WORKFLOW, Convention, Row, given, text, whole

TYPE: Final = "haystack.component.type"
INPUT: Final = "haystack.component.input"
OUTPUT: Final = "haystack.component.output"
_BY_SUFFIX: Final = (
    ("Retriever", "retrieve"), ("Ranker", "rerank"), ("Reranker", "rerank"), ("Embedder", "embed"),
    ("Generator", "generate"), ("Writer", "ingest"), ("Converter", "ingest"), ("Splitter", "ingest"),
    ("Cleaner", "ingest"), ("Fetcher", "ingest"), ("ToolInvoker", "tool"), ("CacheChecker", "cache"),
    ("WebSearch", "retrieve"),
)  # fmt: skip
_VENDORS: Final = (
    "OpenAI", "AzureOpenAI", "Anthropic", "Cohere", "HuggingFace", "Mistral", "GoogleAI", "VertexAI",
    "Ollama", "Nvidia", "AmazonBedrock",
)  # fmt: skip


def look(span: RawSpan, _scope: str) -> str | None:
    """The step of a component; a pipeline's run is a workflow; the tracer's own spans are nothing of the app's."""
    kind = span.attributes.get(TYPE)
    if isinstance(kind, str):
        if kind == "Agent":
            return WORKFLOW
        for suffix, step in _BY_SUFFIX:
            if kind.endswith(suffix):
                return step
        return "cache" if "Cache" in kind else TASK
    if span.name in {"haystack.pipeline.run", "haystack.async_pipeline.run", "haystack.agent.run"}:
        return WORKFLOW
    return TASK if span.name.startswith("haystack.") else None


def _extract(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    kind = str(attributes.get(TYPE) or "")
    if step == "query":
        return
    output = mapping(attributes.get(OUTPUT), OUTPUT)
    if step in {"retrieve", "rerank"}:
        found = output.get("documents")
        if isinstance(found, list):
            put_documents(row, found)
        top_k = mapping(attributes.get(INPUT), INPUT).get("top_k")
        if isinstance(top_k, int):
            row["top_k"] = top_k
        return
    if step not in {"generate", "embed"}:
        return
    vendor = next((name for name in _VENDORS if kind.startswith(name)), None)
    if vendor is not None:
        row["provider"] = vendor.lower()
    replies = output.get("replies")
    meta = at(replies, 0, "meta") if step == "generate" else None
    meta = meta or at(output.get("meta"), 0) or output.get("meta") or {}
    row["response_model"] = text(at(meta, "model"))
    usage = at(meta, "usage") or {}
    row["input_tokens"] = given(at(usage, "prompt_tokens"))
    if step == "generate":
        row["output_tokens"] = whole(at(usage, "completion_tokens"))
        row["cached_tokens"] = whole(at(usage, "prompt_tokens_details", "cached_tokens"))
        row["reasoning_tokens"] = whole(at(usage, "completion_tokens_details", "reasoning_tokens"))


CONVENTION: Final[Convention] = Convention(
    "haystack",
    "Haystack's own tracer",
    look=look,
    settled_by=(TYPE,),
    extract=_extract,
    packed=(
        ("documents", f"{OUTPUT} documents[].id, .score"),
        ("response_model", f"{OUTPUT} replies[].meta.model, meta.model"),
        ("input_tokens", f"{OUTPUT} …usage.prompt_tokens"),
        ("output_tokens", f"{OUTPUT} …usage.completion_tokens"),
        ("top_k", f"{INPUT} top_k; null is the component's default"),
    ),
    lacks=(
        ("documents", "content tracing (HAYSTACK_CONTENT_TRACING_ENABLED=true): documents and usage are content there"),
        ("cost_usd", "a price table of yours: ragwatch agent --prices FILE"),
        ("model", "the model client's own instrumentor: the component does not say which model was asked for"),
    ),
)
