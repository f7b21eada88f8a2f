"""Plain code below the decorators of an SDK: embed, search, rerank, ask; one stream, one rate limit, one empty search.

argv: the recording's name, and whose SDK: langfuse, mlflow, traceloop, logfire.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from recording import Recording
from stub_vendors import Vendors

TRUTH: dict[str, Any] = {
    "steps": {
        "query": {"count": 4, "errors": 1},
        "retrieve": {"count": 4, "errors": 0},
        "embed": {"count": 4, "errors": 0},
        "rerank": {"count": 3, "errors": 0},
        "generate": {"count": 4, "errors": 1},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429", "text-embedding-3-small"]},
    "tokens": {"generate": {"calls_with_usage": 3, "input": 360, "output": 51}, "embed_input": 28},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "documents": {"counts": [2, 2, 0, 2]},
}
DOCUMENTS = [{"id": f"doc-{at}", "content": f"text {at}", "score": 0.9 - at / 10} for at in range(2)]


def main(name: str, whose: str) -> None:
    stub = Vendors()
    truth = dict(TRUTH)
    if whose == "langfuse":  # one attribute names the model that answered, and the one that was asked where none did
        truth["models"] = {"request": ["gpt-4o-mini-2026-01-01", "gpt-429", "text-embedding-3-small"]}
    elif whose != "mlflow":  # by name alone a search does not say what it found
        del truth["documents"]
    with Recording(name, truth) as provider:
        {"langfuse": langfuse, "mlflow": mlflow, "traceloop": traceloop, "logfire": logfire}[whose](stub, provider)


def questions(ask: Any) -> None:
    ask("one")
    ask("two", stream=True)
    ask("nothing")
    with suppress(Exception):
        ask("four", model="gpt-429")


def answer(client: Any, question: str, model: str, stream: bool) -> str:
    messages: Any = [{"role": "user", "content": question}]
    if not stream:
        return str(client.chat.completions.create(model=model, messages=messages).choices[0].message.content)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    said = client.chat.completions.create(model=model, messages=messages, **options)
    return "".join(str(chunk.choices[0].delta.content or "") for chunk in said if chunk.choices)


def langfuse(stub: Vendors, provider: Any) -> None:
    os.environ |= {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk", "LANGFUSE_HOST": stub.root}
    from langfuse import Langfuse, observe, propagate_attributes
    from langfuse.openai import OpenAI

    Langfuse(tracer_provider=provider, flush_interval=3600)
    client = OpenAI(base_url=stub.url, api_key="x", max_retries=0)

    @observe(as_type="retriever")
    def search_docs(question: str) -> list[dict[str, Any]]:
        client.embeddings.create(model="text-embedding-3-small", input=[question])
        return DOCUMENTS if question != "nothing" else []

    @observe()
    def rerank(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return documents[:1]

    @observe()
    def ask(question: str, model: str = "gpt-4o-mini", stream: bool = False) -> str:
        with propagate_attributes(session_id="sess-1", user_id="user-1"):
            found = search_docs(question)
            if found:
                rerank(found)
            return answer(client, question, model, stream)

    questions(ask)


def mlflow(stub: Vendors, provider: Any) -> None:
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    import mlflow
    from mlflow.tracing.provider import _get_tracer
    from openai import OpenAI

    mlflow.set_tracking_uri("file:mlruns")
    tracer: Any = _get_tracer("mlflow")  # its spans go by a provider of its own
    for processor in provider._active_span_processor._span_processors:
        tracer.span_processor.add_span_processor(processor)
    mlflow.openai.autolog()
    client = OpenAI(base_url=stub.url, api_key="x", max_retries=0)

    @mlflow.trace(span_type="RETRIEVER")
    def search_docs(question: str) -> list[dict[str, Any]]:
        client.embeddings.create(model="text-embedding-3-small", input=[question])
        found = DOCUMENTS if question != "nothing" else []
        return [{"page_content": item["content"], "metadata": {}, "id": item["id"]} for item in found]

    @mlflow.trace(span_type="RERANKER")
    def order(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return documents[:1]

    @mlflow.trace
    def ask(question: str, model: str = "gpt-4o-mini", stream: bool = False) -> str:
        found = search_docs(question)
        if found:
            order(found)
        return answer(client, question, model, stream)

    questions(ask)


def traceloop(stub: Vendors, provider: Any) -> None:
    from openai import OpenAI
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import task, workflow

    processor = next(
        one for one in provider._active_span_processor._span_processors if isinstance(one, SimpleSpanProcessor)
    )
    Traceloop.init(exporter=processor.span_exporter, disable_batch=True, telemetry_enabled=False)
    client = OpenAI(base_url=stub.url, api_key="x", max_retries=0)

    @task(name="search_docs")
    def search_docs(question: str) -> list[dict[str, Any]]:
        client.embeddings.create(model="text-embedding-3-small", input=[question])
        return DOCUMENTS if question != "nothing" else []

    @task(name="rerank")
    def order(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return documents[:1]

    @workflow(name="ask")
    def ask(question: str, model: str = "gpt-4o-mini", stream: bool = False) -> str:
        Traceloop.set_association_properties({"session_id": "sess-1", "user_id": "user-1"})
        found = search_docs(question)
        if found:
            order(found)
        return answer(client, question, model, stream)

    questions(ask)


def logfire(stub: Vendors, provider: Any) -> None:
    import logfire
    from openai import OpenAI

    processors = provider._active_span_processor._span_processors
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=list(processors))
    client = OpenAI(base_url=stub.url, api_key="x", max_retries=0)
    logfire.instrument_openai(client)

    @logfire.instrument("search documents for {question}", record_return=True)
    def search_docs(question: str) -> list[dict[str, Any]]:
        client.embeddings.create(model="text-embedding-3-small", input=[question])
        return DOCUMENTS if question != "nothing" else []

    @logfire.instrument("rerank")
    def order(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return documents[:1]

    @logfire.instrument("ask {question}")
    def ask(question: str, model: str = "gpt-4o-mini", stream: bool = False) -> str:
        found = search_docs(question)
        if found:
            order(found)
        return answer(client, question, model, stream)

    questions(ask)


if __name__ == "__main__":
    main(*sys.argv[1:])
