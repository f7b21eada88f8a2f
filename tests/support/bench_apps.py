"""Apps for the command line tests: named on it as ``tests.support.bench_apps:answer``."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep

import ragwatch


@ragwatch.query
def answer(question: str, top_k: int = 2, use_cache: bool = True) -> str:
    with ragwatch.retrieve(source="shelf") as step:
        sleep(0.005)
        step.documents(
            [{"id": f"doc-{n}", "score": 1 / n, "text": f"passage {n} on {question}"} for n in range(1, top_k + 1)]
        )
    with ragwatch.generate(model="known") as step:
        step.tokens(input=10, output=5)
        return f"{question}? {'cached' if use_cache else 'fresh'} words"


def other(question: str) -> dict[str, object]:
    with ragwatch.retrieve() as step:
        step.documents([{"id": "doc-2", "score": 0.9}, {"id": "doc-9", "score": 0.1}])
    return {"answer": f"other words on {question}"}


def stream(question: str) -> Iterator[str]:
    for word in ("one ", "two ", "three"):
        yield word
        sleep(0.01)


def slow(question: str) -> Iterator[str]:
    yield "thinking"
    sleep(60)
    yield "never said"


def fails(question: str) -> str:
    raise ConnectionError(f"no store for {question}")


def quick(question: str) -> str:
    return question
