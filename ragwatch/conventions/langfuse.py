"""Langfuse's SDK: spans with ``langfuse.observation.type``, what they say packed as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.shapes import at, mapping, put_documents, question_in, unpack
from ragwatch.conventions.table import (
    CHAIN,
    EVALUATION,
    TASK,
    WORKFLOW,
    Convention,
    Field,
    Row,
    Rule,
    cost,
    given,
    text,
    whole,
)

TYPE: Final = "langfuse.observation.type"
_OF: Final = "langfuse.observation."
INPUT, OUTPUT, USAGE, COST = f"{_OF}input", f"{_OF}output", f"{_OF}usage_details", f"{_OF}cost_details"
FIRST_CHUNK: Final = f"{_OF}completion_start_time"
_IN: Final = ("prompt_tokens", "input_tokens", "promptTokens")
_OUT: Final = ("completion_tokens", "output_tokens", "completionTokens")
_CACHED: Final = ("input_cache_read", "input_cached_tokens", "cache_read_input_tokens")
_REASONING: Final = ("output_reasoning", "output_reasoning_tokens")


def _extract(row: Row, span: RawSpan, step: str) -> None:
    attributes = span.attributes
    if step in {"generate", "embed"}:
        _usage(row, mapping(attributes.get(USAGE), USAGE), step)
        if step == "generate":
            row.setdefault("cost_usd", cost(mapping(attributes.get(COST), COST).get("total")))
            row.setdefault("first_chunk_s", _seconds_until(attributes.get(FIRST_CHUNK), span.start_ns))
    elif step in {"retrieve", "rerank"}:
        found = unpack(attributes.get(OUTPUT), OUTPUT)
        found = found.get("documents") if isinstance(found, dict) else found
        if isinstance(found, list) and "documents" not in row:
            put_documents(row, found)
    elif step == "query":
        held = mapping(attributes.get(INPUT), INPUT)
        asked = at(held, "args", 0) or question_in(held)
        row.setdefault("question", text(asked) or text(attributes.get(INPUT)))
        row.setdefault("answer", text(attributes.get(OUTPUT)))


def _usage(row: Row, usage: Mapping[str, Any], step: str) -> None:
    """Tokens under a vendor's names, or under Langfuse's own: whose ``input`` leaves out all ``input_…``."""
    row.setdefault("input_tokens", given(_total(usage, "input", _IN)))
    if step == "generate":
        row.setdefault("output_tokens", _total(usage, "output", _OUT))
        cached = at(usage, "prompt_tokens_details", "cached_tokens") or at(
            usage, "input_tokens_details", "cached_tokens"
        )
        row.setdefault("cached_tokens", _first(usage, _CACHED) if cached is None else whole(cached))
        thought = at(usage, "completion_tokens_details", "reasoning_tokens")
        row.setdefault("reasoning_tokens", _first(usage, _REASONING) if thought is None else whole(thought))


def _total(usage: Mapping[str, Any], own: str, vendors: tuple[str, ...]) -> int | None:
    named = _first(usage, vendors)
    rest = whole(usage.get(own))
    if named is not None or rest is None:
        return named
    return rest + sum(whole(value) or 0 for name, value in usage.items() if name.startswith(f"{own}_"))


def _first(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := whole(usage.get(name))) is not None), None)


def _seconds_until(value: object, start_ns: int) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        after = datetime.fromisoformat(value.strip('"')).timestamp() - start_ns / 1e9
    except ValueError:
        return None
    return after if after >= 0 else None


def _version(value: object) -> str | None:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)


CONVENTION: Final[Convention] = Convention(
    "langfuse",
    "Langfuse's SDK",
    rules=(
        Rule(
            TYPE,
            {
                "generation": "generate",
                "embedding": "embed",
                "retriever": "retrieve",
                "tool": "tool",
                "guardrail": "guardrail",
                "agent": WORKFLOW,
                "chain": CHAIN,
                "evaluator": EVALUATION,
                "event": TASK,
                "span": None,
            },
        ),
    ),
    extract=_extract,
    marks=(TYPE,),
    fields=(
        Field("model", (f"{_OF}model.name",), text),
        Field("prompt_version", (f"{_OF}prompt.version", f"{_OF}prompt.name"), _version),
        Field("session", ("langfuse.session.id",), text),
        Field("user", ("langfuse.user.id",), text),
    ),
    packed=(
        ("input_tokens", f"{USAGE} prompt_tokens, input_tokens; input with all input_…"),
        ("output_tokens", f"{USAGE} completion_tokens, output_tokens; output with all output_…"),
        ("cost_usd", f"{COST} total"),
        ("first_chunk_s", FIRST_CHUNK),
        ("documents", OUTPUT),
        ("question", INPUT),
        ("answer", OUTPUT),
    ),
    lacks=(
        (
            "response_model",
            "another instrumentor: one name stands for the model that was asked and for the one that answered",
        ),
        ("top_k", "a vector store's own instrumentor"),
    ),
)
