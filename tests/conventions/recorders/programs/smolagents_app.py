"""smolagents by OpenInference: a tool-calling agent that searches documents, twice; once its model fails.

argv: the recording's name.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from recording import Recording
from smolagents import OpenAIServerModel, ToolCallingAgent, tool
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 3, "errors": 1},
        "generate": {"count": 5, "errors": 1},
        "tool": {"count": 4, "errors": 0},
    },
    "models": {"request": ["gpt-4o-mini"]},
    "tokens": {"generate": {"calls_with_usage": 4, "input": 480, "output": 68}},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "an agent's run is a query: model, tool search_docs, model, tool final_answer. Of the failed run the "
    "agent's own span is never exported, and its model call does not say which model it asked",
}


@tool
def search_docs(query: str) -> str:
    """Search the documents.

    Args:
        query: what to look for
    """
    return "doc-1: Paris is the capital of France"


def main(name: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH) as provider:
        SmolagentsInstrumentor().instrument(tracer_provider=provider)
        for model in ("gpt-4o-mini", "gpt-4o-mini", "gpt-429"):
            stub.tool_calls = [("search_docs", {"query": "capital"}), ("final_answer", {"answer": "Paris"})]
            held = OpenAIServerModel(model_id=model, api_base=stub.url, api_key="x", client_kwargs={"max_retries": 0})
            if hasattr(held, "retryer"):
                held.retryer.max_attempts = 1
            agent = ToolCallingAgent(tools=[search_docs], model=held, max_steps=4, verbosity_level=0)
            with suppress(Exception):
                agent.run("What is the capital of France?")


if __name__ == "__main__":
    main(sys.argv[1])
