"""Agents of frameworks that trace themselves: Strands, Semantic Kernel, Google's ADK, LangChain by LangSmith.

Each is asked three times: model, tool search_docs, model; the third time its model is rate limited.

argv: the recording's name, and which framework: strands, semantic_kernel, adk or langsmith.
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

TRUTH: dict[str, Any] = {
    "steps": {
        "query": {"count": 3, "errors": 1},
        "generate": {"count": 5, "errors": 1},
        "tool": {"count": 2, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini", "gpt-429"]},
    "tokens": {"generate": {"calls_with_usage": 4, "input": 480, "output": 68}},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "an agent's run is a query: model, tool search_docs, model; the third run's model is rate limited",
}
QUESTION = "What is the capital of France?"
MODELS = ("gpt-4o-mini", "gpt-4o-mini", "gpt-429")
CALL = ("search_docs", {"query": "capital"})


def strands(stub: Stub) -> None:
    from strands import Agent, tool
    from strands.models.openai import OpenAIModel

    @tool
    def search_docs(query: str) -> str:
        """Search the documents.

        Args:
            query: what to look for
        """
        return f"doc-1: Paris is the capital of France ({query})"

    for model in MODELS:
        stub.tool_calls = [CALL]
        held = OpenAIModel(
            client_args={"base_url": stub.url, "api_key": "x", "max_retries": 0},
            model_id=model,
        )
        with suppress(Exception):
            Agent(model=held, tools=[search_docs], callback_handler=None)(QUESTION)


def semantic_kernel(stub: Stub) -> None:
    os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"] = "true"
    from openai import AsyncOpenAI
    from semantic_kernel.agents import ChatCompletionAgent
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
    from semantic_kernel.functions import kernel_function

    class Docs:
        @kernel_function(description="Search the documents")
        def search_docs(self, query: str) -> str:
            return f"doc-1: Paris is the capital of France ({query})"

    async def ask(model: str) -> None:
        client = AsyncOpenAI(base_url=stub.url, api_key="x", max_retries=0)
        service = OpenAIChatCompletion(ai_model_id=model, async_client=client)
        agent = ChatCompletionAgent(service=service, name="librarian", plugins=[Docs()])
        await agent.get_response(messages=QUESTION)

    for model in MODELS:
        stub.tool_calls = [("Docs-search_docs", CALL[1])]
        with suppress(Exception):
            asyncio.run(ask(model))


def adk(stub: Stub) -> None:
    from google.adk.agents import LlmAgent
    from google.adk.models.lite_llm import LiteLlm
    from google.adk.runners import InMemoryRunner
    from google.genai.types import Content, Part

    def search_docs(query: str) -> str:
        """Search the documents."""
        return f"doc-1: Paris is the capital of France ({query})"

    async def ask(model: str) -> None:
        held = LiteLlm(model=f"openai/{model}", api_base=stub.url, api_key="x", num_retries=0, max_retries=0)
        runner = InMemoryRunner(LlmAgent(name="librarian", model=held, tools=[search_docs]), app_name="app")
        session = await runner.session_service.create_session(app_name="app", user_id="u-1")
        message = Content(role="user", parts=[Part(text=QUESTION)])
        async for _ in runner.run_async(user_id="u-1", session_id=session.id, new_message=message):
            pass

    for model in MODELS:
        stub.tool_calls = [CALL]
        with suppress(Exception):
            asyncio.run(ask(model))


def langsmith(stub: Stub) -> None:
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_core.tracers.langchain import wait_for_all_tracers
    from langchain_openai import ChatOpenAI

    @tool
    def search_docs(query: str) -> str:
        """Search the documents."""
        return f"doc-1: Paris is the capital of France ({query})"

    for model in MODELS:
        stub.tool_calls = [CALL]
        llm = ChatOpenAI(model=model, base_url=stub.url, api_key="x", max_retries=0)
        with suppress(Exception):
            create_agent(llm, [search_docs]).invoke({"messages": [("user", QUESTION)]})
    wait_for_all_tracers()


PROGRAMS: dict[str, Callable[[Stub], None]] = {
    "strands": strands,
    "semantic_kernel": semantic_kernel,
    "adk": adk,
    "langsmith": langsmith,
}


def main(name: str, which: str) -> None:
    if which == "langsmith":
        os.environ |= {"LANGSMITH_TRACING": "true", "LANGSMITH_OTEL_ENABLED": "true", "LANGSMITH_OTEL_ONLY": "true",
                       "LANGSMITH_API_KEY": "x", "LANGSMITH_ENDPOINT": "http://127.0.0.1:9"}  # fmt: skip
    truth = TRUTH
    if which == "adk":
        note = "the failed call's span says nothing but its error: not which model was asked"
        truth = {**TRUTH, "models": {"request": ["openai/gpt-4o-mini"]}, "note": f"{TRUTH['note']}; {note}"}
    with Recording(name, truth):
        PROGRAMS[which](Stub())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
