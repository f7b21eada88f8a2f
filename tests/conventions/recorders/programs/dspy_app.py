"""DSPy by OpenInference: a RAG module over a retriever of its own, with DSPy's cache on; sync, async, failing.

argv: the recording's name.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import dspy
from openinference.instrumentation.dspy import DSPyInstrumentor
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 4, "errors": 1},
        "generate": {"count": 4, "errors": 1},
    },
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "cannot_recover": ["tokens: DSPy's spans have none", "which call DSPy's cache answered: query 2 repeats query 1",
                       "retrievals by a function of the app's own"],
    "note": "1 ok, 2 the same question again (DSPy's cache answers), 3 async, 4 fails with 429",
}  # fmt: skip
ANSWER = "[[ ## reasoning ## ]]\nIt says so.\n\n[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]"


class Rag(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.respond = dspy.ChainOfThought("context, question -> answer")

    def forward(self, question: str) -> Any:
        return self.respond(context=["doc-1: Paris is the capital of France"], question=question)

    async def aforward(self, question: str) -> Any:
        return await self.respond.acall(context=["doc-1: Paris"], question=question)


def main(name: str) -> None:
    stub = Stub()
    stub.answers = [ANSWER] * 20
    with Recording(name, TRUTH) as provider:
        DSPyInstrumentor().instrument(tracer_provider=provider)

        def model(which: str) -> Any:
            return dspy.LM(f"openai/{which}", api_base=stub.url, api_key="x", num_retries=0)

        dspy.configure(lm=model("gpt-4o-mini"))
        rag = Rag()
        rag(question="one")
        rag(question="one")
        asyncio.run(rag.acall(question="three"))
        with suppress(Exception), dspy.context(lm=model("gpt-429")):
            rag(question="four")


if __name__ == "__main__":
    main(sys.argv[1])
