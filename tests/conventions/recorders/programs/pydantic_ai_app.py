"""Pydantic AI's own OpenTelemetry GenAI spans: an agent with a tool, async, streamed, failing; one inside another.

argv: the recording's name.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 4, "errors": 1},
        "generate": {"count": 7, "errors": 1},
        "tool": {"count": 2, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429"]},
    "tokens": {"generate": {"calls_with_usage": 6, "input": 720, "output": 102}},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "1: model, tool, model. 2: streamed. 3: 429. 4: model, a tool that asks another agent (model), model",
}


def main(name: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH) as provider:
        settings = InstrumentationSettings(tracer_provider=provider)

        def agent(model: str = "gpt-4o-mini", called: str = "docs") -> Agent:
            client = AsyncOpenAI(base_url=stub.url, api_key="x", max_retries=0)
            held = OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client))
            return Agent(held, name=called)

        Agent.instrument_all(settings)
        asyncio.run(run(stub, agent))


async def run(stub: Stub, agent: Any) -> None:
    docs = agent()

    @docs.tool_plain
    def search_docs(query: str) -> str:
        """Search the documents."""
        return "doc-1: Paris is the capital of France"

    stub.tool_calls = [("search_docs", {"query": "capital"})]
    await docs.run("one")
    async with agent().run_stream("two") as streamed:
        await streamed.get_output()
    with suppress(Exception):
        await agent("gpt-429").run("three")

    outer = agent(called="outer")

    @outer.tool_plain
    async def ask_inner(query: str) -> str:
        """Ask another agent."""
        return str((await agent(called="inner").run(query)).output)

    stub.tool_calls = [("ask_inner", {"query": "inner"})]
    await outer.run("four")


if __name__ == "__main__":
    main(sys.argv[1])
