"""OpenAI's Agents SDK: an agent with a retrieval tool, a hand-off, a stream, a guardrail, a rate limit.

argv: the recording's name, whose instrumentor (openinference or openllmetry), and which API (responses or chat).
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

from agents import (
    Agent,
    GuardrailFunctionOutput,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    input_guardrail,
    set_trace_processors,
)
from openai import AsyncOpenAI
from recording import Recording
from stub_vendors import Vendors

TRUTH: dict[str, Any] = {
    "steps": {
        "query": {"count": 5, "errors": 1},
        "generate": {"count": 8, "errors": 1},
        "tool": {"count": 3, "errors": 0},
        "guardrail": {"count": 1, "errors": 0},
    },
    "tokens": {"generate": {"calls_with_usage": 7, "input": 840, "output": 119}},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "a run in one turn, one with a tool, one with a hand-off (a tool to this instrumentor), a stream with a "
    "guardrail, a rate limit that the outermost span of its run does not show",
}


@function_tool
def search_docs(query: str) -> str:
    """Search the documents."""
    return f"[doc-1] Paris is the capital of France ({query})"


@input_guardrail
async def harmless(_context: Any, _agent: Any, _given: Any) -> GuardrailFunctionOutput:
    """Let everything pass."""
    return GuardrailFunctionOutput(output_info="fine", tripwire_triggered=False)


def main(name: str, whose: str, api: str) -> None:
    stub = Vendors()
    with Recording(name, TRUTH) as provider:
        set_trace_processors([])
        if whose == "openinference":
            from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

            OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
        else:
            from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor as Other

            Other().instrument(tracer_provider=provider)
        client = AsyncOpenAI(base_url=stub.url, api_key="x", max_retries=0)
        kind = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel

        def agent(which: str = "gpt-4o-mini", **more: Any) -> Agent[Any]:
            return Agent(
                name="librarian", instructions="Answer.", model=kind(which, client), tools=[search_docs], **more
            )

        asyncio.run(run(stub, agent))


async def run(stub: Vendors, agent: Any) -> None:
    await Runner.run(agent(), "one")
    stub.tool_calls.append(("search_docs", {"query": "two"}))
    await Runner.run(agent(), "two")
    expert = agent()
    expert.name = "expert"
    stub.tool_calls.append(("transfer_to_expert", {}))
    stub.tool_calls.append(("search_docs", {"query": "three"}))
    await Runner.run(agent(handoffs=[expert]), "three")
    result = Runner.run_streamed(agent(input_guardrails=[harmless]), "four")
    async for _ in result.stream_events():
        pass
    with suppress(Exception):
        await Runner.run(agent("gpt-429"), "five")


if __name__ == "__main__":
    main(*sys.argv[1:])
