"""LiteLLM by OpenInference: plain calls below a hand-made query span, streamed, async, failing; and calls alone.

argv: the recording's name.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its price list would come from the network
import litellm
from openinference.instrumentation.litellm import LiteLLMInstrumentor
from opentelemetry import trace
from recording import Recording
from stub_server import Stub

TRUTH = {
    "steps": {
        "query": {"count": 3, "errors": 1},
        "retrieve": {"count": 3, "errors": 0},
        "generate": {"count": 5, "errors": 1},
        "embed": {"count": 3, "errors": 0},
    },
    "models": {"request": ["openai/gpt-4o-mini", "openai/gpt-429", "openai/text-embedding-3-small"]},
    "tokens": {"generate": {"calls_with_usage": 4, "input": 480, "output": 68}, "embed_input": 21},
    "error_classes": {"rate_limited": 1},
    "cache_hits": 0,
    "note": "the app's own spans are rag.ask (root) and retrieve (INTERNAL); two model calls stand alone, one async",
}
litellm.telemetry = False
litellm.suppress_debug_info = True


def main(name: str) -> None:
    stub = Stub()
    with Recording(name, TRUTH) as provider:
        LiteLLMInstrumentor().instrument(tracer_provider=provider)
        more = {"api_base": stub.url, "api_key": "x", "num_retries": 0, "max_retries": 0}
        tracer = trace.get_tracer("my.app")

        def ask(question: str, model: str = "gpt-4o-mini", stream: bool = False) -> None:
            with tracer.start_as_current_span("rag.ask") as root:
                root.set_attribute("session.id", "sess-1")
                with tracer.start_as_current_span("retrieve"):
                    litellm.embedding(model="openai/text-embedding-3-small", input=[question], **more)
                messages = [{"role": "user", "content": question}]
                options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
                answer = litellm.completion(model=f"openai/{model}", messages=messages, **options, **more)
                if stream:
                    for _ in answer:
                        pass

        ask("one")
        ask("two", stream=True)
        with suppress(litellm.RateLimitError):
            ask("three", model="gpt-429")
        messages = [{"role": "user", "content": "alone"}]
        litellm.completion(model="openai/gpt-4o-mini", messages=messages, **more)
        asyncio.run(litellm.acompletion(model="openai/gpt-4o-mini", messages=messages, **more))


if __name__ == "__main__":
    main(sys.argv[1])
