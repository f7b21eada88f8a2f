"""Which failures are worth another attempt, and how long the server asks to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from ragwatch.error_class import error_class
from ragwatch.errors import Rejected
from ragwatch.resilience.breaker_policy import is_cancellation
from ragwatch.resilience.events import log

RetryOn = type[BaseException] | int | tuple[type[BaseException] | int, ...] | Callable[[BaseException], bool]
"""Exception types, HTTP statuses, both in a tuple, or a predicate."""
TRANSIENT = frozenset({"rate_limited", "timeout", "server_error", "connection"})
STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


def transient(error: BaseException) -> bool:
    """Whether another attempt may do better: by HTTP status where there is one, else by the class of the error's name.

    >>> transient(ConnectionResetError()), transient(TimeoutError()), transient(ValueError("bad"))
    (True, True, False)
    """
    known = getattr(error, "ragwatch_transient", None)  # an exception that travelled says what it was
    if isinstance(known, bool):
        return known
    status = status_of(error)
    if status is not None:
        return status in STATUSES
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if any(_class_of(kind) in TRANSIENT for kind in type(error).__mro__[:-3]):
        return True
    code = _grpc_code(error)
    return code in {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"}


def retry_test(retry_on: RetryOn | None) -> Callable[[BaseException], bool]:
    """The test of a policy: cancellation and rejections never pass it, and what a predicate fails on is not repeated.

    >>> test = retry_test((503, KeyError))
    >>> test(KeyError()), test(ConnectionError())
    (True, False)
    """
    wanted = _wanted(retry_on)

    def test(error: BaseException) -> bool:
        if is_cancellation(error) or isinstance(error, Rejected):
            return False
        try:
            return wanted(error)
        except Exception:  # noqa: BLE001  (the app's own predicate)
            log.exception("ragwatch: retry_on failed; %s is not retried", type(error).__qualname__)
            return False

    return test


def _wanted(retry_on: RetryOn | None) -> Callable[[BaseException], bool]:
    if retry_on is None:
        return transient
    if isinstance(retry_on, type | tuple | int):
        listed = retry_on if isinstance(retry_on, tuple) else (retry_on,)
        kinds = tuple(one for one in listed if isinstance(one, type))
        statuses = frozenset(one for one in listed if isinstance(one, int))
        return lambda error: isinstance(error, kinds) or (bool(statuses) and status_of(error) in statuses)
    predicate = retry_on
    return lambda error: bool(predicate(error))


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an exception, as requests, httpx, openai, aiohttp and urllib carry it."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 100 <= value <= 599:
                return value
    return None


def retry_after_of(error: BaseException, now_s: Callable[[], float] = time.time) -> float | None:
    """Seconds that the server asks to wait: ``retry_after_s``, or the ``Retry-After`` of the exception's response.

    The header holds seconds or an HTTP date (RFC 9110, section 10.2.3); what cannot be read says nothing.
    """
    given = getattr(error, "retry_after_s", None)
    if isinstance(given, int | float):
        return max(0.0, float(given))
    for holder in (getattr(error, "response", None), error):
        headers = getattr(holder, "headers", None)
        value = _header(headers, "retry-after-ms")
        if value is not None:
            seconds = _number(value)
            return None if seconds is None else seconds / 1000
        value = _header(headers, "retry-after")
        if value is not None:
            return _seconds(value, now_s)
    return None


def _class_of(kind: type) -> str:
    return error_class(f"{kind.__module__}.{kind.__qualname__}")


def _grpc_code(error: BaseException) -> str | None:
    code: Any = getattr(error, "code", None)
    try:
        return getattr(code(), "name", None) if callable(code) else None
    except Exception:  # noqa: BLE001  (an exception's own method)
        return None


def _header(headers: Any, name: str) -> str | None:
    for spelling in (name, name.title()):
        try:
            value = headers.get(spelling)
        except Exception:  # noqa: BLE001  (no mapping, or one that raises)
            return None
        if isinstance(value, str | bytes):
            return value.decode("latin-1") if isinstance(value, bytes) else value
    return None


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None


def _seconds(value: str, now_s: Callable[[], float]) -> float | None:
    number = _number(value)
    if number is not None:
        return number
    try:
        when = parsedate_to_datetime(value)
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)  # HTTP's dates are UTC, said or not
        return max(0.0, when.timestamp() - now_s())
    except (ValueError, TypeError):
        return None
