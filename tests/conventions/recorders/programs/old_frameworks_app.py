"""LangChain 0.2 and LlamaIndex 0.11 as OpenInference instrumented them in 2024: a chain, a query engine.

argv: the recording's name, and which framework: langchain, llama_index, langsmith or openlit for today's LangChain by
LangSmith's exporter and by OpenLIT, or llama_index_otel for today's LlamaIndex by its own tracing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from recording import Recording
from stub_server import Stub

CHAIN: dict[str, Any] = {
    "steps": {
        "query": {"count": 5, "errors": 2},
        "retrieve": {"count": 5, "errors": 1},
        "generate": {"count": 4, "errors": 1},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429"]},
    "tokens": {"generate": {"calls_with_usage": 3, "input": 360, "output": 51}},
    "error_classes": {"rate_limited": 1, "connection": 1},
    "documents": {"counts": [2, 2, 2, 2, None]},
    "cache_hits": 0,
    "note": "an LCEL chain: invoked, streamed, awaited, with a model that is rate limited, with a corpus that is down",
}
APART: dict[str, Any] = {
    **CHAIN,
    "recoverable_steps": {"retrieve": {"count": 5, "errors": 1}, "generate": {"count": 2, "errors": 1}},
    "tokens": {"generate": {"calls_with_usage": 1, "input": 120, "output": 17}},
    "cannot_recover": [
        "queries: nothing is around their steps, each of which is a trace",
        "the streamed and the awaited call: their spans never end",
    ],
}
ENGINE: dict[str, Any] = {
    "steps": {
        "query": {"count": 4, "errors": 1},
        "retrieve": {"count": 4, "errors": 0},
        "generate": {"count": 4, "errors": 1},
        "embed": {"count": 4, "errors": 0},
        "rerank": {"count": 1, "errors": 0},
    },
    "error_classes": {"timeout": 1},
    "documents": {"counts": [2, 2, 2, 2]},
    "cache_hits": 0,
    "note": "a query engine over four documents: asked, awaited, with a postprocessor, with a model that fails",
}


TRACED: dict[str, Any] = {
    **ENGINE,
    "steps": {**ENGINE["steps"], "embed": {"count": 5, "errors": 0}, "ingest": {"count": 1, "errors": 0}},
    "note": f"{ENGINE['note']}; before that the documents are split and embedded in one batch, which is traced too",
}


def langchain(stub: Stub, provider: Any) -> None:
    from langchain_core.documents import Document
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import RunnablePassthrough
    from langchain_openai import ChatOpenAI

    class Corpus(BaseRetriever):
        broken: bool = False

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            if self.broken:
                raise ConnectionError("vector db down")
            return [Document(id=f"doc-{at}", page_content=f"text {at} on {query}") for at in (1, 2)]

    if provider is not None:
        from openinference.instrumentation.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=provider)

    def build(model: str = "gpt-4o-mini", broken: bool = False) -> Any:
        llm = ChatOpenAI(model=model, base_url=stub.url, api_key="x", max_retries=0, stream_usage=True)
        prompt = ChatPromptTemplate.from_template("{context}\n{question}")
        held = {"context": Corpus(broken=broken) | (lambda found: str(len(found))), "question": RunnablePassthrough()}
        return held | prompt | llm | StrOutputParser()

    build().invoke("one")
    list(build().stream("two"))
    asyncio.run(build().ainvoke("three"))
    for bad in (build("gpt-429"), build(broken=True)):
        with suppress(Exception):
            bad.invoke("four")


def langsmith(stub: Stub, _provider: Any) -> None:
    os.environ |= {"LANGSMITH_TRACING": "true", "LANGSMITH_OTEL_ENABLED": "true", "LANGSMITH_OTEL_ONLY": "true",
                   "LANGSMITH_API_KEY": "x", "LANGSMITH_ENDPOINT": "http://127.0.0.1:9"}  # fmt: skip
    from langchain_core.tracers.langchain import wait_for_all_tracers

    langchain(stub, None)
    wait_for_all_tracers()


def openlit(stub: Stub, _provider: Any) -> None:
    import openlit

    openlit.init(application_name="openlit", environment="test", disable_metrics=True)
    langchain(stub, None)


def llama_index_otel(stub: Stub, provider: Any) -> None:
    from llama_index.observability.otel import LlamaIndexOpenTelemetry

    LlamaIndexOpenTelemetry(tracer_provider=provider).start_registering()
    llama_index(stub, None)


def llama_index(_stub: Stub, provider: Any) -> None:
    from llama_index.core import Document, MockEmbedding, Settings, VectorStoreIndex
    from llama_index.core.llms import MockLLM
    from llama_index.core.postprocessor import SimilarityPostprocessor

    class Slow(MockLLM):
        def complete(self, *_args: Any, **_more: Any) -> Any:
            raise TimeoutError("the model did not answer")

    Settings.embed_model = MockEmbedding(embed_dim=8)
    Settings.llm = MockLLM(max_tokens=8)
    index = VectorStoreIndex.from_documents([Document(text=f"text {at}", id_=f"doc-{at}") for at in range(4)])
    if provider is not None:
        from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

        LlamaIndexInstrumentor().instrument(tracer_provider=provider)
    index.as_query_engine(similarity_top_k=2).query("one")
    asyncio.run(index.as_query_engine(similarity_top_k=2).aquery("two"))
    cut = SimilarityPostprocessor(similarity_cutoff=0.0)
    index.as_query_engine(similarity_top_k=2, node_postprocessors=[cut]).query("three")
    with suppress(TimeoutError):
        index.as_query_engine(similarity_top_k=2, llm=Slow(max_tokens=8)).query("four")


PROGRAMS: dict[str, tuple[dict[str, Any], Callable[[Stub, Any], None]]] = {
    "langchain": (CHAIN, langchain),
    "langsmith": (CHAIN, langsmith),
    "openlit": (APART, openlit),
    "llama_index_otel": (TRACED, llama_index_otel),
    "llama_index": (ENGINE, llama_index),
}


def main(name: str, which: str) -> None:
    truth, program = PROGRAMS[which]
    with Recording(name, truth) as provider:
        program(Stub(), provider)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
