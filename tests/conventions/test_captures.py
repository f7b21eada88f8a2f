"""Every capture gives what its truth says, however its spans are cut, ordered, repeated and mixed with others'."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.captures import GIVEN, GOLDEN, Came, Told, assembled, counted, shuffled_batches, spans_of, truths

FOLDERS = (GIVEN, GOLDEN)
TRUTHS = {(folder, name): truth for folder in FOLDERS if folder.exists() for name, truth in truths(folder).items()}
PLACES = sorted(TRUTHS, key=str)

NOT_ON_THE_SPANS: dict[tuple[str, str], Any] = {
    # the component does not say which model it was asked for; the answer does
    ("haystack-native", "models.request"): set(),
    # OpenLLMetry's LangChain callback and OpenLIT's clients leave reasoning out
    ("openllmetry-langchain-llmcache", "tokens.generate.reasoning"): 0,
    ("openlit-openai-chroma", "tokens.generate.reasoning"): 0,
    # "reasoning tokens of streamed calls" is in the truth's cannot_recover
    ("openllmetry-openai", "tokens.generate.reasoning"): 15,
    # the failed retrieval stands as 0 in this truth, and as null in the README's words
    ("openinference-llama-index", "documents.counts"): [3, 4, 3, None, 0, 3, 3],
    # two queries failed without a span of theirs, one is incomplete
    ("openllmetry-llama-index", "documents.counts"): [3, 4, 3, 0, 3, 3],
    # the truth's models leave out the embedding model that only the client's spans name
    ("double-openinference-langchain-plus-openai", "models.request"): {
        "gpt-4o-mini", "gpt-429", "gpt-500", "text-embedding-3-small",
    },
    ("double-openinference-langchain-plus-openai", "models.response"): {
        "gpt-4o-mini-2026-01-01", "text-embedding-3-small",
    },
    # no span of the official instrumentor names a prompt's version: "cannot_recover"
    ("otel-genai-langchain", "prompt_version"): {},
}  # fmt: skip


@cache
def capture(place: tuple[Path, str]) -> tuple[Came, ...]:
    folder, name = place
    return tuple(spans_of(folder / f"{name}.otlp.jsonl"))


def expected(name: str, truth: dict[str, Any]) -> dict[str, Any]:
    """What a truth says of the figures that are compared, by dotted name."""
    found: dict[str, Any] = {}
    steps = truth.get("recoverable_steps") or truth["steps"]
    for step, figures in steps.items():
        if step != "other":
            found[f"steps.{step}"] = figures
    for kind, models in (truth.get("models") or {}).items():
        found[f"models.{kind}"] = set(models)
    tokens = truth.get("tokens") or {}
    for kind, figure in (tokens.get("generate") or {}).items():
        if kind != "total" and figure is not None:
            found[f"tokens.generate.{kind}"] = figure
    if tokens.get("embed_input") is not None:
        found["tokens.embed_input"] = tokens["embed_input"]
    if "error_classes" in truth:
        found["error_classes"] = truth["error_classes"]
    found["cache_hits"] = truth["cache_hits"]
    for key in ("counts", "ids"):
        if isinstance((truth.get("documents") or {}).get(key), list):
            found[f"documents.{key}"] = truth["documents"][key]
    for key in ("session", "prompt_version"):
        if key in truth:
            found[key] = truth[key]
    return {key: NOT_ON_THE_SPANS.get((name, key), value) for key, value in found.items()}


def at(held: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        held = held.get(part)
        if held is None:
            break
    return held


@pytest.mark.parametrize("place", PLACES, ids=[name for _, name in PLACES])
def test_a_capture_gives_what_its_truth_says(place: tuple[Path, str]) -> None:
    truth = TRUTHS[place]
    told = assembled(capture(place))
    found = counted(told.queries, told.loose)
    wanted = expected(place[1], truth)
    assert {key: at(found, key) for key in wanted} == wanted
    unnamed = found["steps"].keys() - (truth.get("recoverable_steps") or truth["steps"]).keys() - {"query"}
    assert not unnamed, "the truth names no such step"
    if "query" not in truth["steps"]:
        assert found["steps"]["query"]["count"] == 0


@pytest.mark.parametrize("place", PLACES, ids=[name for _, name in PLACES])
def test_order_batches_and_repetition_change_nothing(place: tuple[Path, str]) -> None:
    whole = assembled(capture(place))
    for seed in range(6):
        batches = shuffled_batches(capture(place), seed)
        again = assembled(came for batch in batches for came in batch)
        assert again.queries == whole.queries
        assert again.loose == whole.loose


@pytest.mark.parametrize("seed", range(3))
def test_traces_of_many_services_interleaved_give_the_same_records(seed: int) -> None:
    mixed: list[Came] = []
    apart = Told([], [], assembled(()).tallies)
    for number, place in enumerate(PLACES):
        spans = [
            came._replace(origin=came.origin._replace(service=f"service-{number}"), raw=renamed(came, number))
            for came in capture(place)
        ]
        told = assembled(spans)
        apart.queries.extend(told.queries)
        apart.loose.extend(told.loose)
        mixed += spans
    random.Random(seed).shuffle(mixed)
    together = assembled(mixed)
    assert sorted(together.queries, key=str) == sorted(apart.queries, key=str)
    assert sorted(together.loose, key=str) == sorted(apart.loose, key=str)


def renamed(came: Came, number: int) -> Any:
    """The span in a trace of another name: captures of two programs may have drawn the same ids."""
    return came.raw._replace(trace_id=number.to_bytes(2) + came.raw.trace_id[2:])


@pytest.mark.parametrize("place", PLACES, ids=[name for _, name in PLACES])
def test_the_critical_path_adds_up_to_the_query(place: tuple[Path, str]) -> None:
    for record in assembled(capture(place)).queries:
        assert sum(seconds for _, seconds in record.critical_path) == pytest.approx(record.duration_s, abs=1e-9)


@pytest.mark.parametrize("place", PLACES, ids=[name for _, name in PLACES])
def test_spans_of_unknown_kinds_change_nothing(place: tuple[Path, str]) -> None:
    """Transport below any span, and custom spans beside: the same queries and steps."""
    spans = list(capture(place))
    rng = random.Random(5)
    whole = assembled(spans)
    for number, came in enumerate(rng.sample(spans, min(20, len(spans)))):
        raw = came.raw
        custom = number % 2
        spans.append(
            Came(
                raw._replace(
                    span_id=(1 << 40 | number).to_bytes(8),
                    parent_id=raw.span_id,
                    name="validate_input" if custom else "POST",
                    kind=1 if custom else 3,
                    attributes={"app.flag": True}
                    if custom
                    else {"http.request.method": "POST", "url.full": "http://m/"},
                    events=None,
                    status_code=0 if custom else 2,
                    status_message="",
                ),
                came.origin,
                "my.app" if custom else "opentelemetry.instrumentation.httpx",
            )
        )
    again = assembled(spans)
    assert again.queries == whole.queries
    assert again.loose == whole.loose
