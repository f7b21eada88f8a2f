"""LlamaIndex' richer engines: a postprocessor, a router, fused questions, a stream, a chat engine, a rate limit.

argv: the recording's name, whose instrumentor (openinference, or openllmetry, with +openai its client's too), and
"masked" without content.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import Any

from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.chat_engine import CondensePlusContextChatEngine
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine, RouterQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike
from recording import Recording
from stub_server import Stub

TRUTH: dict[str, Any] = {
    "steps": {
        "query": {"count": 9, "errors": 1},
        "retrieve": {"count": 9, "errors": 0},
        "generate": {"count": 10, "errors": 1},
        "rerank": {"count": 2, "errors": 0},
        "embed": {"count": 11, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429", "text-embedding-3-small"]},
    "tokens": {"generate": {"calls_with_usage": 8, "input": 960, "output": 136}},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "documents": {"counts": [2, 2, 2, 2, 2, 2, 2, 2, 2]},
}
EXPORTED = {
    **{key: value for key, value in TRUTH.items() if key != "documents"},
    "steps": {
        **TRUTH["steps"],
        "query": {"count": 7, "errors": 0},
        "generate": {"count": 9, "errors": 0},
        "ingest": {"count": 1, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "text-embedding-3-small"]},
    "error_classes": {},
    "note": "OpenLLMetry never exports the spans of a query that fails, nor the root of a streamed one; the text "
    "splitter that runs before any query is the ingestion",
}


def main(name: str, whose: str, masked: str = "") -> None:
    if masked:
        os.environ |= {"OPENINFERENCE_HIDE_INPUTS": "true", "TRACELOOP_TRACE_CONTENT": "false"}
    stub = Stub()
    with Recording(name, TRUTH if whose == "openinference" else EXPORTED) as provider:
        if whose == "openinference":
            from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

            LlamaIndexInstrumentor().instrument(tracer_provider=provider)
        else:
            from opentelemetry.instrumentation.llamaindex import LlamaIndexInstrumentor as Other

            Other().instrument(tracer_provider=provider)
            if whose.endswith("+openai"):
                from opentelemetry.instrumentation.openai import OpenAIInstrumentor

                OpenAIInstrumentor().instrument(tracer_provider=provider)
        run(stub)


def run(stub: Stub) -> None:
    def model(which: str = "gpt-4o-mini") -> OpenAI:
        return OpenAI(model=which, api_base=stub.url, api_key="x", max_retries=0)

    Settings.llm = model()
    Settings.embed_model = OpenAIEmbedding(model="text-embedding-3-small", api_base=stub.url, api_key="x")
    texts = ["Paris is the capital of France", "Berlin is in Germany", "Rome is in Italy"]
    documents = [Document(text=text, id_=f"doc-{at}") for at, text in enumerate(texts)]
    index = VectorStoreIndex.from_documents(documents, transformations=[SentenceSplitter()])

    index.as_query_engine(similarity_top_k=2).query("one")
    # a rerank: a postprocessor that keeps all
    keep = SimilarityPostprocessor(similarity_cutoff=0.0)
    index.as_query_engine(similarity_top_k=2, node_postprocessors=[keep]).query("two")
    # a router asks the model which engine answers
    tool = QueryEngineTool.from_defaults(index.as_query_engine(similarity_top_k=2), description="facts")
    stub.answers.append('[{"choice": 1, "reason": "facts"}]')
    RouterQueryEngine(selector=LLMSingleSelector.from_defaults(), query_engine_tools=[tool]).query("three")
    # several questions out of one, fused: one retrieval in parts
    stub.answers.append("capital of France")
    fusion = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=2)], num_queries=2, similarity_top_k=2, use_async=False
    )
    RetrieverQueryEngine.from_args(fusion).query("four")
    for _ in index.as_query_engine(similarity_top_k=2, streaming=True).query("five").response_gen:
        pass
    CondensePlusContextChatEngine.from_defaults(index.as_retriever(similarity_top_k=2)).chat("six")
    asyncio.run(index.as_query_engine(similarity_top_k=2).aquery("seven"))
    empty = index.as_query_engine(
        similarity_top_k=2, node_postprocessors=[SimilarityPostprocessor(similarity_cutoff=2)]
    )
    empty.query("eight")
    with suppress(Exception):
        index.as_query_engine(
            similarity_top_k=2,
            llm=OpenAILike(model="gpt-429", api_base=stub.url, api_key="x", max_retries=0, is_chat_model=True),
        ).query("nine")


if __name__ == "__main__":
    main(*sys.argv[1:])
