"""An app that does everything that the catalogue has a metric for, over and over, until it is told to stop.

python -m tests.stack.everything FOLDER    (an OTLP endpoint in the environment; FOLDER/stop ends it)
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import ragwatch
from ragwatch import (
    AdaptiveLimit,
    Bulkhead,
    CircuitBreaker,
    CircuitOpen,
    DocumentProcessor,
    LimitExceeded,
    RetryPolicy,
    retry,
)

NOW = time.time()


def hits(draw: random.Random, count: int) -> list[dict[str, object]]:
    return [
        {"id": f"doc-{draw.randrange(50)}", "score": draw.random(), "text": f"text {n % 3}", "date": NOW - 86400 * n}
        for n in range(count)
    ]


def run(folder: Path, draw: random.Random) -> None:
    breaker = CircuitBreaker("store", failure_threshold=3, reset_timeout=0.3)
    bulkhead = Bulkhead("model", max_concurrent=1)
    adaptive = AdaptiveLimit("adaptive")
    policy = RetryPolicy("store", max_retries=2, base_delay=0.001)
    number = 0

    @retry(policy)
    def ask(down: bool) -> None:
        if down:
            raise ConnectionError("away")

    while not (folder / "stop").exists():
        number += 1
        down = number % 40 < 8
        try:
            with ragwatch.query("why?") as query:
                with ragwatch.cache("answers") as cache:
                    cache.hit(number % 3 == 0)
                with ragwatch.embed(model="emb-1", provider="openai") as embed:
                    embed.tokens(input=7)
                with ragwatch.retrieve(source="handbook", top_k=5) as step:
                    if down:
                        breaker.call(ask, True)
                    else:
                        ask(False)
                        breaker.call(str)
                    if number % 7 == 0:
                        step.set("rag.retrieval.score_threshold", 2.0)
                    step.documents(hits(draw, 0 if number % 5 == 0 else 5))
                with ragwatch.rerank() as step:
                    step.documents(hits(draw, 3))
                with ragwatch.generate(model="gpt-1", provider="openai") as step:
                    adaptive.call(str)
                    with bulkhead:
                        try:
                            bulkhead.call(str)
                        except LimitExceeded:
                            step.degraded("no room")
                    step.tokens(input=100, output=20, cached=10).cost(usd=0.001)
                    step.set("gen_ai.response.time_to_first_chunk", draw.random() / 10)
                query.relevant([f"doc-{draw.randrange(50)}"])
                ragwatch.feedback(ragwatch.trace_id() or "", number % 4 > 0)
        except (ConnectionError, CircuitOpen):
            pass
        if number % 20 == 0:
            with ragwatch.generate(model="gpt-1"):
                pass
            processor = DocumentProcessor(lambda d: 1 / int(d), pipeline="nightly", retry=None, workers=1)
            processor.process(["1", "2", "0"])
        time.sleep(0.005)


def main() -> int:
    folder = Path(sys.argv[1])
    ragwatch.init(service="everything", environment="test", log_queries=False, app_info={"index_version": "7"})
    run(folder, random.Random(7))
    ragwatch.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
