"""OpenLLMetry as of spring 2025 (0.40): LangChain's chain with a retriever, and the OpenAI client; the old names.

argv: the recording's name, and which instrumentors: langchain, openai, or both.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough
from langchain_openai import ChatOpenAI
from openai import OpenAI, RateLimitError
from recording import Recording
from stub_server import Stub

CLIENT = {
    "steps": {"generate": {"count": 4, "errors": 1}, "embed": {"count": 1, "errors": 0}},
    "models": {"request": ["gpt-4o-mini", "gpt-429", "text-embedding-3-small"]},
    "tokens": {"generate": {"calls_with_usage": 2, "input": 240, "output": 34}, "embed_input": 7},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "the client alone: chat, streamed (without usage in this version), chat 429, with a tool; an embedding",
}
CHAIN = {
    "steps": {
        "query": {"count": 4, "errors": 2},
        "retrieve": {"count": 4, "errors": 1},
        "generate": {"count": 3, "errors": 1},
    },
    "recoverable_steps": {"query": {"count": 4, "errors": 2}, "generate": {"count": 3, "errors": 1}},
    "cannot_recover": ["retrievals: this version has no callback for retrievers"],
    "models": {"request": ["gpt-4o-mini", "gpt-429"]},
    "tokens": {"generate": {"calls_with_usage": 2, "input": 240, "output": 34}},
    "error_classes": {"rate_limited": 1, "connection": 1},
    "cache_hits": 0,
    "note": "an LCEL chain: ok, streamed, 429, retriever down",
}


class Corpus(BaseRetriever):
    broken: bool = False

    def _get_relevant_documents(self, query: str, **_more: Any) -> list[Document]:
        if self.broken:
            raise ConnectionError("vector db down")
        return [Document(id=f"doc-{at}", page_content=f"text {at} on {query}") for at in (1, 2)]


def main(name: str, instrumentors: str) -> None:
    stub = Stub()
    with Recording(name, CLIENT if instrumentors == "openai" else CHAIN) as provider:
        if instrumentors != "langchain":
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor

            OpenAIInstrumentor().instrument(tracer_provider=provider)
        if instrumentors != "openai":
            from opentelemetry.instrumentation.langchain import LangchainInstrumentor

            LangchainInstrumentor().instrument(tracer_provider=provider)
        client(stub) if instrumentors == "openai" else chain(stub)


def client(stub: Stub) -> None:
    openai = OpenAI(base_url=stub.url, api_key="x", max_retries=0)
    messages: Any = [{"role": "user", "content": "capital?"}]
    openai.embeddings.create(model="text-embedding-3-small", input="capital?")
    openai.chat.completions.create(model="gpt-4o-mini", messages=messages)
    for _ in openai.chat.completions.create(
        model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}
    ):
        pass
    with suppress(RateLimitError):
        openai.chat.completions.create(model="gpt-429", messages=messages)
    stub.tool_calls = [("search_docs", {"query": "capital"})]
    schema: Any = {"type": "function", "function": {"name": "search_docs", "parameters": {"type": "object"}}}
    openai.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[schema])


def chain(stub: Stub) -> None:
    def build(model: str = "gpt-4o-mini", broken: bool = False) -> Any:
        llm = ChatOpenAI(model=model, base_url=stub.url, api_key="x", max_retries=0, stream_usage=True)
        prompt = ChatPromptTemplate.from_template("{context}\n{question}")
        held = {"context": Corpus(broken=broken) | (lambda found: str(len(found))), "question": RunnablePassthrough()}
        return (held | prompt | llm | StrOutputParser()).with_config(run_name="rag_chain")

    build().invoke("one")
    list(build().stream("two"))
    for bad in (build("gpt-429"), build(broken=True)):
        with suppress(Exception):
            bad.invoke("three")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
