"""What an exception means for the step that it ended."""

from __future__ import annotations

import traceback
from typing import Any

from ragwatch import semconv
from ragwatch.error_class import error_class
from ragwatch.resilience.retryable import status_of
from ragwatch.sdk.content import ContentPolicy

FRAMES = 30
"""The innermost frames of a traceback that are kept."""


def outcome_of(exception: BaseException) -> str:
    """``cancelled`` for what no one failed at, ``rejected`` where a breaker or limit said no, else ``error``.

    An exception type says that it is a rejection by a class attribute ``ragwatch_outcome``. Cancellation is told by
    name, so that asyncio need not be loaded: asyncio's, concurrent.futures', anyio's and trio's are all called so.

    >>> outcome_of(ValueError()), outcome_of(GeneratorExit()), outcome_of(KeyboardInterrupt())
    ('error', 'cancelled', 'cancelled')
    """
    said = getattr(type(exception), "ragwatch_outcome", None)
    if said in semconv.OUTCOMES:
        return str(said)
    if isinstance(exception, SystemExit):
        return "ok" if exception.code in (None, 0) else "error"
    if not isinstance(exception, Exception):
        return "cancelled"
    if any(base.__name__ in {"CancelledError", "Cancelled"} for base in type(exception).__mro__):
        return "cancelled"
    return "error"


def message_of(exception: BaseException) -> str:
    """The exception's text; empty where it cannot be had."""
    try:
        return str(exception)
    except Exception:  # noqa: BLE001  (the app's own method)
        return ""


def class_of(exception: BaseException) -> str:
    """The class of a failure, from what the exception knows here: HTTP status, name, message.

    The message is looked at in the process, where it may stay: what leaves is the class.
    """
    named = error_class(type_name(exception))
    if named not in {"other", "invalid_request"}:
        return named
    status = status_of(exception)
    if status is not None:
        named = error_class(str(status))
    return error_class(type_name(exception), message_of(exception)) if named in {"other", "invalid_request"} else named


def type_name(exception: BaseException) -> str:
    """The name of an exception's type, with its module where it has one."""
    kind = type(exception)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def exception_attributes(exception: BaseException, content: ContentPolicy) -> dict[str, Any]:
    """The attributes of OpenTelemetry's exception event.

    The message may quote a question or a document, so it stays here unless content may leave; frames and source lines
    of the program always go.
    """
    name = type_name(exception)
    frames = "".join(traceback.format_tb(exception.__traceback__, limit=-FRAMES))
    message = content.text(message_of(exception))
    last = f"{name}: {message}" if message else name
    found = {
        semconv.EXCEPTION_TYPE: name,
        semconv.EXCEPTION_STACKTRACE: f"Traceback (most recent call last):\n{frames}{last}",
    }
    if message is not None:
        found[semconv.EXCEPTION_MESSAGE] = message
    return found
