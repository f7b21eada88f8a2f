"""Agno by OpenInference: an agent with a tool, sync, async and streamed; and a team of agents.

argv: the recording's name.
"""

from __future__ import annotations

import asyncio
import sys

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from openinference.instrumentation.agno import AgnoInstrumentor
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 3, "errors": 0},
        "generate": {"count": 4, "errors": 0},
        "tool": {"count": 1, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini"]},
    "tokens": {"generate": {"calls_with_usage": 4, "input": 480, "output": 68}},
    "error_classes": {},
    "cache_hits": 0,
    "note": "the first run calls a tool between two model calls; the second is async, the third streamed",
}


def search_docs(query: str) -> str:
    """Search the documents."""
    return "doc-1: Paris is the capital of France"


def main(name: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH) as provider:
        AgnoInstrumentor().instrument(tracer_provider=provider)
        model = OpenAIChat(id="gpt-4o-mini", base_url=stub.url, api_key="x", max_retries=0)
        stub.tool_calls = [("search_docs", {"query": "capital"})]
        agent = Agent(name="docs", model=model, tools=[search_docs], telemetry=False)
        agent.run("What is the capital of France?")
        asyncio.run(agent.arun("And of Italy?"))
        for _ in agent.run("And of Spain?", stream=True):
            pass


if __name__ == "__main__":
    main(sys.argv[1])
