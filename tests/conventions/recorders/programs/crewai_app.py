"""CrewAI: a crew of one agent with one task, asked three times; the third time its model is rate limited.

argv: the recording's name, and whose instrumentors: openinference, or openllmetry; both with their OpenAI client's.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false", "OPENAI_API_KEY": "x"}

from crewai import LLM, Agent, Crew, Task
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {"query": {"count": 3, "errors": 1}, "generate": {"count": 5, "errors": 3}},
    "models": {"request": ["gpt-4o-mini", "gpt-429"]},
    "tokens": {"generate": {"calls_with_usage": 2, "input": 240, "output": 34}},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "a crew's run is a query: an agent does its task with one model call; the third run's model is rate "
    "limited, and CrewAI asks it three times",
}


def main(name: str, whose: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH) as provider:
        if whose == "openinference":
            from openinference.instrumentation.crewai import CrewAIInstrumentor
            from openinference.instrumentation.openai import OpenAIInstrumentor
        else:
            from opentelemetry.instrumentation.crewai import CrewAIInstrumentor
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor
        CrewAIInstrumentor().instrument(tracer_provider=provider)
        OpenAIInstrumentor().instrument(tracer_provider=provider)
        for model in ("gpt-4o-mini", "gpt-4o-mini", "gpt-429"):
            llm = LLM(model=f"openai/{model}", base_url=stub.url, api_key="x", max_retries=0)
            agent = Agent(
                role="Librarian", goal="Answer questions", backstory="Reads a lot", llm=llm, max_retry_limit=0
            )
            task = Task(description="What is the capital of France?", expected_output="A city", agent=agent)
            with suppress(Exception):
                Crew(agents=[agent], tasks=[task], verbose=False).kickoff()
    assert stub.calls == 5, stub.calls


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
