"""LangGraph: a graph that retrieves, grades, answers; an agent with a tool loop; streamed, async, in threads, failing.

argv: the recording's name, and which instrumentors: openinference, openllmetry, or openllmetry+openai.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypedDict

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import create_react_agent
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 8, "errors": 2},
        "retrieve": {"count": 8, "errors": 1},
        "generate": {"count": 14, "errors": 1},
        "tool": {"count": 1, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429"], "response": ["gpt-4o-mini-2026-01-01"]},
    "tokens": {"generate": {"calls_with_usage": 13, "input": 1560, "output": 221}},
    "documents": {"counts": [2, 2, 2, 2, None, 2, 2, 2]},
    "error_classes": {"rate_limited": 1, "connection": 1},
    "cache_hits": 0,
    "note": "each run of the graph is one query with two model calls; query 6 is an agent: model, tool (which "
    "retrieves), model; 7 and 8 run in two threads at once",
}


class State(TypedDict, total=False):
    question: str
    model: str
    broken: bool
    documents: list[Document]
    grade: str
    answer: str


class Corpus(BaseRetriever):
    broken: bool = False

    def _get_relevant_documents(self, query: str, **_more: Any) -> list[Document]:
        if self.broken:
            raise ConnectionError("vector db down")
        return [
            Document(id=f"doc-{at}", page_content=f"text {at} on {query}", metadata={"source": f"kb/{at}.md"})
            for at in (1, 2)
        ]


def main(name: str, instrumentors: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH) as provider:
        if instrumentors == "openinference":
            from openinference.instrumentation.langchain import LangChainInstrumentor

            LangChainInstrumentor().instrument(tracer_provider=provider)
        else:
            from opentelemetry.instrumentation.langchain import LangchainInstrumentor

            LangchainInstrumentor().instrument(tracer_provider=provider)
            if instrumentors.endswith("+openai"):
                from opentelemetry.instrumentation.openai import OpenAIInstrumentor

                OpenAIInstrumentor().instrument(tracer_provider=provider)
        run(stub)


def run(stub: Stub) -> None:
    def model(which: str = "gpt-4o-mini") -> ChatOpenAI:
        return ChatOpenAI(model=which, base_url=stub.url, api_key="x", max_retries=0, stream_usage=True)

    def retrieve(state: State) -> State:
        return {"documents": Corpus(broken=state.get("broken", False)).invoke(state["question"])}

    def grade(state: State) -> State:
        return {"grade": str(model().invoke(f"relevant? {state['question']}").content)}

    def answer(state: State) -> State:
        return {"answer": str(model(state.get("model", "gpt-4o-mini")).invoke(state["question"]).content)}

    builder = StateGraph(State)
    for node in (retrieve, grade, answer):
        builder.add_node(node.__name__, node)
    builder.add_edge(START, "retrieve")
    builder.add_edge("retrieve", "grade")
    builder.add_edge("grade", "answer")
    builder.add_edge("answer", END)
    graph = builder.compile()

    graph.invoke({"question": "one"})
    list(graph.stream({"question": "two"}))
    asyncio.run(graph.ainvoke({"question": "three"}))
    for state in ({"question": "four", "model": "gpt-429"}, {"question": "five", "broken": True}):
        with suppress(Exception):
            graph.invoke(state)

    @tool
    def search_docs(query: str) -> str:
        """Search the documents."""
        return "\n".join(document.page_content for document in Corpus().invoke(query))

    stub.tool_calls.append(("search_docs", {"query": "six"}))
    agent = create_react_agent(model(), [search_docs])
    agent.invoke({"messages": [("user", "six")]})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda question: graph.invoke({"question": question}), ["seven", "eight"]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
