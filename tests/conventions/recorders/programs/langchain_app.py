"""LangChain's richer retrieval: an ensemble, a compressing and a multi-query retriever, parallel branches, a batch,
async, a retriever as a tool of an agent; below each a chat model.

argv: the recording's name, whose instrumentor (openinference, openllmetry, or with +openai both it and OpenLLMetry's of
the client), "served" where each query runs below a span of the app's own that serves a request, and "masked" without
what was asked (OpenInference) or any content (OpenLLMetry).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Any

from langchain_classic.retrievers import ContextualCompressionRetriever, EnsembleRetriever, MultiQueryRetriever
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableParallel, RunnablePassthrough
from langchain_core.tools import create_retriever_tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from opentelemetry import trace
from recording import Recording
from stub_server import Stub

TRUTH: dict[str, Any] = {
    "steps": {
        "query": {"count": 11, "errors": 2},
        "retrieve": {"count": 11, "errors": 1},
        "generate": {"count": 12, "errors": 1},
        "tool": {"count": 1, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429"]},
    "tokens": {"generate": {"calls_with_usage": 11, "input": 1320, "output": 187}},
    "error_classes": {"rate_limited": 1, "connection": 1},
    "cache_hits": 0,
    "documents": {"counts": [3, 2, 2, 2, 2, 2, 2, 0, 2, None, 2]},
    "note": "ensemble, compression, several questions out of one, parallel branches, a batch of two, a stream, async "
    "with an empty retrieval, a rate limit, a broken store, an agent whose tool retrieves: a retrieval in parts is one",
}
TEXTS = ["Paris is the capital of France", "Berlin is in Germany", "Rome is in Italy", "Oslo is in Norway"]
TEMPLATE = "Answer from {context}: {question}"


class Words(BaseRetriever):
    """Documents that share a word with the question."""

    texts: list[str] = TEXTS
    broken: bool = False

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        if self.broken:
            raise ConnectionError("the store is away")
        words = set(query.lower().split())
        found = [(at, text) for at, text in enumerate(self.texts) if words & set(text.lower().split())]
        return [Document(text, id=f"doc-{at}", metadata={"source": f"{at}.md"}) for at, text in found[:2]]


class FirstTwo(BaseDocumentCompressor):
    """A reranker that keeps the first two documents."""

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> list[Document]:
        return list(documents[:2])


def main(name: str, whose: str, served: str = "", masked: str = "") -> None:
    if masked:
        os.environ |= {"OPENINFERENCE_HIDE_INPUTS": "true", "TRACELOOP_TRACE_CONTENT": "false"}
    stub = Stub()
    with_client = whose.endswith("+openai")
    truth = TRUTH
    if with_client:
        tokens = {**TRUTH["tokens"], "embed_input": 7 * 7 + 28}
        models = {"request": [*TRUTH["models"]["request"], "text-embedding-3-small"]}
        truth = {**TRUTH, "steps": {**TRUTH["steps"], "embed": {"count": 8, "errors": 0}}}
        truth |= {"tokens": tokens, "models": models}
    if masked and whose.startswith("openllmetry"):
        truth = {key: value for key, value in truth.items() if key != "documents"}
    with Recording(name, truth) as provider:
        if whose.startswith("openinference"):
            from openinference.instrumentation.langchain import LangChainInstrumentor

            LangChainInstrumentor().instrument(tracer_provider=provider)
        else:
            from opentelemetry.instrumentation.langchain import LangchainInstrumentor

            LangchainInstrumentor().instrument(tracer_provider=provider)
        if with_client:
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor

            OpenAIInstrumentor().instrument(tracer_provider=provider)
        run(stub, trace.get_tracer("my.app") if served else None)


def run(stub: Stub, tracer: Any) -> None:
    def model(which: str = "gpt-4o-mini") -> ChatOpenAI:
        return ChatOpenAI(model=which, base_url=stub.url, api_key="x", max_retries=0, stream_usage=True)

    def serving() -> Any:
        return tracer.start_as_current_span("POST /ask", kind=trace.SpanKind.SERVER) if tracer else nullcontext()

    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=stub.url, api_key="x", check_embedding_ctx_length=False
    )
    store = InMemoryVectorStore(embeddings)
    store.add_documents([Document(text, id=f"doc-{at}") for at, text in enumerate(TEXTS)])
    vectors = store.as_retriever(search_kwargs={"k": 2})
    prompt = ChatPromptTemplate.from_template(TEMPLATE)

    def chain(retriever: Any, which: str = "gpt-4o-mini") -> Any:
        return {"context": retriever, "question": RunnablePassthrough()} | prompt | model(which) | StrOutputParser()

    ensemble = EnsembleRetriever(retrievers=[vectors, Words()], weights=[0.5, 0.5])
    compressing = ContextualCompressionRetriever(base_compressor=FirstTwo(), base_retriever=vectors)
    with serving():
        chain(ensemble).invoke("Germany")
    with serving():
        chain(compressing).invoke("France")
    stub.answers.append("capital of France\ncapital of Germany")
    several = MultiQueryRetriever.from_llm(vectors, model())
    with serving():
        chain(several).invoke("capitals")
    with serving():
        RunnableParallel(answer=chain(vectors), question=RunnablePassthrough()).invoke("Paris")
    if tracer:
        for question in ("Rome is where", "Oslo is where"):
            with serving():
                chain(Words()).invoke(question)
    else:
        chain(Words()).batch(["Rome is where", "Oslo is where"], config={"max_concurrency": 1})
    with serving():
        list(chain(vectors).stream("Paris"))
    with serving():
        asyncio.run(chain(Words()).ainvoke("nothing"))
    with suppress(Exception), serving():
        chain(vectors, "gpt-429").invoke("France")
    with suppress(Exception), serving():
        chain(Words(broken=True)).invoke("France")
    from langchain.agents import create_agent

    search = create_retriever_tool(Words(), "search_docs", "Search the documents.")
    stub.tool_calls.append(("search_docs", {"query": "Germany is"}))
    with serving():
        create_agent(model(), [search]).invoke({"messages": [("user", "Where is Berlin?")]})


if __name__ == "__main__":
    main(*sys.argv[1:])
