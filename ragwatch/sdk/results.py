"""What a decorated function was given and what it returned, read as facts about its step."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from ragwatch import semconv
from ragwatch.sdk.documents import is_text
from ragwatch.sdk.guard import fault

MAX_ANSWER = 1 << 20
_INPUT = ("input_tokens", "prompt_tokens", "prompt_token_count")
_OUTPUT = ("output_tokens", "completion_tokens", "candidates_token_count")
_ANSWERS = ("answer", "response", "result", "output", "text", "content", "output_text")


def given(kind: str, step: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Read the arguments: the question of a query, the ``top_k`` of a retrieval."""
    try:
        if kind == "query":
            text = next((value for value in (*args, *kwargs.values()) if isinstance(value, str)), None)
            if text is not None:
                step.question(text)
        elif kind in {"retrieve", "rerank"}:
            top_k = kwargs.get("top_k", kwargs.get("k"))
            if type(top_k) is int:
                step.set_attribute(semconv.TOP_K, top_k)
    except Exception as error:  # noqa: BLE001
        fault("arguments", error)


def returned(kind: str, step: Any, result: Any) -> None:
    """Read the usual return values: documents of a retrieval, whether a cache hit, tokens and text of an answer.

    What the app has said itself stands.
    """
    try:
        if kind in {"retrieve", "rerank"}:
            if step.document_list is None and _is_documents(result):
                step.documents([_guessed(item) for item in result] if isinstance(result, list | tuple) else result)
        elif kind == "cache":
            if semconv.CACHE_HIT not in step.attribute_map and semconv.CACHE_RESULT not in step.attribute_map:
                step.hit(result is not None and result is not False)
        elif kind in {"generate", "query", "embed"}:
            _model_call(step, result)
            if kind != "embed" and semconv.ANSWER_LENGTH not in step.attribute_map:
                text = answer_of(result)
                if text is not None:
                    step.answer(text)
    except Exception as error:  # noqa: BLE001  (the app's own objects may raise from any attribute)
        fault("result", error)


def _is_documents(result: Any) -> bool:
    if isinstance(result, list | tuple | Mapping):
        return True
    return any(
        isinstance(_get(result, name), list | tuple) for name in ("documents", "source_nodes", "nodes", "points")
    )


def _guessed(item: Any) -> Any:
    """A returned string of several words is a text, not an id: nobody said that it may leave the process."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        return (_guessed(item[0]), item[1])
    return {"text": item} if isinstance(item, str) and is_text(item, 1) else item


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _model_call(step: Any, result: Any) -> None:
    if result is None or isinstance(result, str | bytes | list | int | float):
        return
    if isinstance(result, tuple) and not hasattr(result, "_fields"):
        return
    usage = _get(result, "usage") or _get(result, "usage_metadata")
    if usage is None and any(_get(result, name) is not None for name in (*_INPUT, *_OUTPUT)):
        usage = result
    if usage is not None and semconv.INPUT_TOKENS not in step.attribute_map:
        step.tokens(input=_whole(usage, _INPUT), output=_whole(usage, _OUTPUT))
        details = _get(usage, "prompt_tokens_details") or _get(usage, "input_token_details")
        if details is not None:
            step.tokens(cached=_whole(details, ("cached_tokens", "cache_read")))
    for name, key in (("model", semconv.RESPONSE_MODEL), ("id", semconv.RESPONSE_ID)):
        value = _get(result, name)
        if isinstance(value, str) and value and usage is not None:
            step.set_attribute(key, value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _whole(usage: Any, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = _get(usage, name)
        if isinstance(value, Integral) and not _is_flag(value):
            return int(value)
    return None


def answer_of(result: Any) -> str | None:
    """The text of an answer, out of what apps and model clients usually return; None where there is none."""
    if isinstance(result, str):
        return result
    if result is None or isinstance(result, bytes | list | tuple | int | float):
        return None
    for name in _ANSWERS:
        value = _get(result, name)
        if isinstance(value, str):
            return value
    choices = _get(result, "choices")
    if isinstance(choices, list | tuple) and choices:
        message = _get(choices[0], "message")
        content = _get(message, "content") if message is not None else None
        return content if isinstance(content, str) else None
    return None
