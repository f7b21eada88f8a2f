"""Clients of one vendor below hand-made query spans: embedding, chat, stream, async, rerank, a rate limit.

argv: the recording's name, the vendor (anthropic, cohere, google, mistral, ollama, bedrock, groq), and whose
instrumentor: openllmetry, openinference or otel.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from opentelemetry import trace
from recording import Recording
from stub_vendors import Vendors

MESSAGES: Any = [{"role": "user", "content": "What is the capital of France?"}]
INSTRUMENTORS = {
    "anthropic": "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
    "cohere": "opentelemetry.instrumentation.cohere:CohereInstrumentor",
    "google": "opentelemetry.instrumentation.google_generativeai:GoogleGenerativeAiInstrumentor",
    "mistral": "opentelemetry.instrumentation.mistralai:MistralAiInstrumentor",
    "ollama": "opentelemetry.instrumentation.ollama:OllamaInstrumentor",
    "bedrock": "opentelemetry.instrumentation.bedrock:BedrockInstrumentor",
    "groq": "opentelemetry.instrumentation.groq:GroqInstrumentor",
    "openinference anthropic": "openinference.instrumentation.anthropic:AnthropicInstrumentor",
    "openinference cohere": "openinference.instrumentation.cohere:CohereInstrumentor",
    "openinference google": "openinference.instrumentation.google_genai:GoogleGenAIInstrumentor",
    "openinference mistral": "openinference.instrumentation.mistralai:MistralAIInstrumentor",
    "openinference ollama": "openinference.instrumentation.ollama:OllamaInstrumentor",
    "openinference bedrock": "openinference.instrumentation.bedrock:BedrockInstrumentor",
    "otel google": "opentelemetry.instrumentation.google_genai:GoogleGenAiSdkInstrumentor",
    "otel anthropic": "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
    "otel bedrock": "opentelemetry.instrumentation.botocore:BotocoreInstrumentor",
}


class Anthropic:
    model, embedder, reranker, is_async = "claude-sonnet-4-5", None, None, True

    def __init__(self, stub: Vendors) -> None:
        import anthropic

        options: Any = {"base_url": stub.root, "api_key": "x", "max_retries": 0}
        self.client, self.later = anthropic.Anthropic(**options), anthropic.AsyncAnthropic(**options)

    def chat(self, model: str) -> None:
        self.client.messages.create(model=model, max_tokens=50, messages=MESSAGES)

    def stream(self, model: str) -> None:
        for _ in self.client.messages.create(model=model, max_tokens=50, messages=MESSAGES, stream=True):
            pass

    async def achat(self, model: str) -> None:
        await self.later.messages.create(model=model, max_tokens=50, messages=MESSAGES)


class Cohere:
    model, embedder, reranker, is_async = "command-r-plus", "embed-v4", "rerank-v3.5", False

    def __init__(self, stub: Vendors) -> None:
        import cohere

        self.client = cohere.ClientV2("x", base_url=stub.root)

    def embed(self, model: str) -> None:
        self.client.embed(model=model, texts=["one"], input_type="search_query", embedding_types=["float"])

    def rerank(self, model: str) -> None:
        self.client.rerank(model=model, query="one", documents=["a", "b", "c"], top_n=2)

    def chat(self, model: str) -> None:
        self.client.chat(model=model, messages=MESSAGES, request_options={"max_retries": 0})

    def stream(self, model: str) -> None:
        for _ in self.client.chat_stream(model=model, messages=MESSAGES):
            pass


class Google:
    model, embedder, reranker, is_async = "gemini-2.5-flash", "text-embedding-004", None, True

    def __init__(self, stub: Vendors) -> None:
        from google import genai
        from google.genai.types import HttpOptions

        self.client = genai.Client(api_key="x", http_options=HttpOptions(base_url=stub.root))

    def embed(self, model: str) -> None:
        self.client.models.embed_content(model=model, contents="one")

    def chat(self, model: str) -> None:
        self.client.models.generate_content(model=model, contents="What is the capital of France?")

    def stream(self, model: str) -> None:
        for _ in self.client.models.generate_content_stream(model=model, contents="What is the capital of France?"):
            pass

    async def achat(self, model: str) -> None:
        await self.client.aio.models.generate_content(model=model, contents="What is the capital of France?")


class Mistral:
    model, embedder, reranker, is_async = "mistral-large", "mistral-embed", None, True

    def __init__(self, stub: Vendors) -> None:
        try:
            from mistralai.client import Mistral as Client
        except ImportError:
            from mistralai import Mistral as Client
        self.client = Client(api_key="x", server_url=stub.root)

    def embed(self, model: str) -> None:
        self.client.embeddings.create(model=model, inputs=["one"])

    def chat(self, model: str) -> None:
        self.client.chat.complete(model=model, messages=MESSAGES)

    def stream(self, model: str) -> None:
        for _ in self.client.chat.stream(model=model, messages=MESSAGES):
            pass

    async def achat(self, model: str) -> None:
        await self.client.chat.complete_async(model=model, messages=MESSAGES)


class Ollama:
    model, embedder, reranker, is_async = "llama3", "nomic-embed-text", None, True

    def __init__(self, stub: Vendors) -> None:
        import ollama

        self.client, self.later = ollama.Client(stub.root), ollama.AsyncClient(stub.root)

    def embed(self, model: str) -> None:
        self.client.embeddings(model=model, prompt="one")

    def chat(self, model: str) -> None:
        self.client.chat(model=model, messages=MESSAGES)

    def stream(self, model: str) -> None:
        for _ in self.client.chat(model=model, messages=MESSAGES, stream=True):
            pass

    async def achat(self, model: str) -> None:
        await self.later.chat(model=model, messages=MESSAGES)


class Groq:
    model, embedder, reranker, is_async = "llama-3.3-70b-versatile", None, None, True

    def __init__(self, stub: Vendors) -> None:
        import groq

        options: Any = {"base_url": stub.root, "api_key": "x", "max_retries": 0}
        self.client, self.later = groq.Groq(**options), groq.AsyncGroq(**options)

    def chat(self, model: str) -> None:
        self.client.chat.completions.create(model=model, messages=MESSAGES)

    def stream(self, model: str) -> None:
        for _ in self.client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
            pass

    async def achat(self, model: str) -> None:
        await self.later.chat.completions.create(model=model, messages=MESSAGES)


class Bedrock:
    model, embedder, reranker, is_async = "anthropic.claude-3-haiku", None, None, False

    def __init__(self, stub: Vendors) -> None:
        import boto3
        from botocore.config import Config

        self.client = boto3.client(
            "bedrock-runtime", region_name="us-east-1", endpoint_url=stub.root, aws_access_key_id="x",
            aws_secret_access_key="x", config=Config(retries={"max_attempts": 0}),
        )  # fmt: skip

    def chat(self, model: str) -> None:
        messages: Any = [{"role": "user", "content": [{"text": "What is the capital of France?"}]}]
        self.client.converse(modelId=model, messages=messages)

    stream = chat


VENDORS: dict[str, Any] = {
    "anthropic": Anthropic, "cohere": Cohere, "google": Google, "mistral": Mistral, "ollama": Ollama,
    "bedrock": Bedrock, "groq": Groq,
}  # fmt: skip
EMBEDS_WITH_USAGE = {"mistral"}


def truth(vendor: str, held: Any) -> dict[str, Any]:
    good = 3 if held.is_async else 2
    steps = {
        "query": {"count": good + 1, "errors": 1},
        "retrieve": {"count": good + 1, "errors": 0},
        "generate": {"count": good + 1, "errors": 1},
    }
    models = [held.model, f"{held.model}-429"]
    if held.embedder:
        steps["embed"] = {"count": good + 1, "errors": 0}
        models.append(held.embedder)
    if held.reranker:
        steps["rerank"] = {"count": good + 1, "errors": 0}
        models.append(held.reranker)
    used = good - (vendor in {"mistral", "groq"})  # their streams say nothing of it here
    usage = {"calls_with_usage": used, "input": 120 * used, "output": 17 * used}
    embedded = 7 * (good + 1) if vendor in EMBEDS_WITH_USAGE else None
    return {
        "steps": steps,
        "models": {"request": models},
        "tokens": {"generate": usage, "embed_input": embedded},
        "error_classes": {"rate_limited": 1},
        "cache_hits": 0,
        "note": "the app's own spans are rag.ask (root) and retrieve (INTERNAL); the last query meets a rate limit",
    }


def main(name: str, vendor: str, whose: str) -> None:
    stub = Vendors()
    with Recording(name, truth(vendor, VENDORS[vendor])) as provider:
        place = INSTRUMENTORS.get(f"{whose} {vendor}") or INSTRUMENTORS[vendor]
        module, _, kind = place.partition(":")
        getattr(import_module(module), kind)().instrument(tracer_provider=provider)
        held = VENDORS[vendor](stub)
        tracer = trace.get_tracer("my.app")

        def ask(call: Callable[[str], object], model: str) -> None:
            with suppress(Exception), tracer.start_as_current_span("rag.ask") as root:
                root.set_attribute("session.id", "sess-1")
                with tracer.start_as_current_span("retrieve"):
                    if held.embedder:
                        held.embed(held.embedder)
                if held.reranker:
                    held.rerank(held.reranker)
                call(model)

        ask(held.chat, held.model)
        ask(held.stream, held.model)
        if held.is_async:
            ask(lambda model: asyncio.run(held.achat(model)), held.model)
        ask(held.chat, f"{held.model}-429")


if __name__ == "__main__":
    os.environ.setdefault("OLLAMA_HOST", "")
    main(*sys.argv[1:4])
