"""OpenAI's client by OpenTelemetry's own instrumentor, below hand-made spans: chat, stream, async, tools, 429.

argv: the recording's name, and whose release: new, or old, which saw neither embeddings nor awaited calls.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

from openai import AsyncOpenAI, OpenAI
from opentelemetry import trace
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from recording import Recording
from stub_server import Stub

TRUTH: dict[str, Any] = {
    "steps": {
        "query": {"count": 5, "errors": 1},
        "retrieve": {"count": 5, "errors": 0},
        "generate": {"count": 6, "errors": 1},
        "tool": {"count": 1, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429"]},
    "tokens": {"generate": {"calls_with_usage": 5, "input": 600, "output": 85}},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "rag.ask holds retrieve (hand-made, INTERNAL) and the model; one asks for a tool, whose span is hand-made",
}
OLD: dict[str, Any] = {
    **TRUTH,
    "recoverable_steps": {**TRUTH["steps"], "generate": {"count": 5, "errors": 1}},
    "tokens": {"generate": {"calls_with_usage": 4, "input": 480, "output": 68}},
    "cannot_recover": ["the awaited call: this release wraps the synchronous client alone"],
}
MESSAGES: Any = [{"role": "user", "content": "What is the capital of France?"}]
TOOL: Any = {"type": "function", "function": {"name": "search_docs", "parameters": {"type": "object"}}}


def main(name: str, release: str) -> None:
    stub = Stub()
    truth = OLD
    embeds = release == "new"
    if embeds:
        steps = {**TRUTH["steps"], "embed": {"count": 5, "errors": 0}}
        models = {"request": [*TRUTH["models"]["request"], "text-embedding-3-small"]}
        tokens = {**TRUTH["tokens"], "embed_input": 35}
        truth = {**TRUTH, "steps": steps, "models": models, "tokens": tokens}
    with Recording(name, truth) as provider:
        OpenAIInstrumentor().instrument(tracer_provider=provider)
        client = OpenAI(base_url=stub.url, api_key="x", max_retries=0)
        later = AsyncOpenAI(base_url=stub.url, api_key="x", max_retries=0)
        tracer = trace.get_tracer("my.app")

        def retrieve() -> None:
            with tracer.start_as_current_span("retrieve"):
                if embeds:
                    client.embeddings.create(model="text-embedding-3-small", input="capital?")

        def chat(model: str = "gpt-4o-mini", **more: Any) -> Any:
            return client.chat.completions.create(model=model, messages=MESSAGES, **more)

        with tracer.start_as_current_span("rag.ask"):
            retrieve()
            chat()
        with tracer.start_as_current_span("rag.ask"):
            retrieve()
            for _ in chat(stream=True, stream_options={"include_usage": True}):
                pass
        with tracer.start_as_current_span("rag.ask"):
            retrieve()
            asyncio.run(later.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES))
        with tracer.start_as_current_span("rag.ask"):
            retrieve()
            stub.tool_calls = [("search_docs", {"query": "capital"})]
            chat(tools=[TOOL])
            with tracer.start_as_current_span("execute_tool search_docs") as span:
                span.set_attribute("gen_ai.operation.name", "execute_tool")
                span.set_attribute("gen_ai.tool.name", "search_docs")
            chat()
        with suppress(Exception), tracer.start_as_current_span("rag.ask"):
            retrieve()
            chat("gpt-429")


if __name__ == "__main__":
    main(*sys.argv[1:])
