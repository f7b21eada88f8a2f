"""AutoGen's agents by OpenInference: an assistant that searches documents, twice; once its model is rate limited.

argv: the recording's name.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from openinference.instrumentation.autogen_agentchat import AutogenAgentChatInstrumentor
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 3, "errors": 1},
        "generate": {"count": 5, "errors": 1},
        "tool": {"count": 2, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini-2024-07-18", "gpt-429"]},
    "tokens": {"generate": {"calls_with_usage": 4, "input": 480, "output": 68}},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "an agent's run is a query: model, tool search_docs, model that reflects; the third run's model fails. "
    "AutoGen makes a dated name of the model's",
}


async def search_docs(query: str) -> str:
    """Search the documents."""
    return f"doc-1: Paris is the capital of France ({query})"


def main(name: str) -> None:
    stub = Stub()
    info: Any = {"vision": False, "function_calling": True, "json_output": False, "family": "unknown",
                 "structured_output": False}  # fmt: skip
    with Recording(name, TRUTH) as provider:
        AutogenAgentChatInstrumentor().instrument(tracer_provider=provider)
        for model in ("gpt-4o-mini", "gpt-4o-mini", "gpt-429"):
            stub.tool_calls = [("search_docs", {"query": "capital"})]
            client = OpenAIChatCompletionClient(
                model=model, base_url=stub.url, api_key="x", max_retries=0, model_info=info
            )
            agent = AssistantAgent("librarian", client, tools=[search_docs], reflect_on_tool_use=True)
            with suppress(Exception):
                asyncio.run(agent.run(task="What is the capital of France?"))


if __name__ == "__main__":
    main(sys.argv[1])
