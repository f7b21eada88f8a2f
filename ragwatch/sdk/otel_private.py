"""The private names of OpenTelemetry that ragwatch needs; a contract test holds them against the installed SDK."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

_READ_AT_IMPORT = "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"


def survive_unreadable_limit() -> None:
    """Import the SDK without a value at which its import raises: the app still runs, and ``init`` says what is wrong.

    Nothing is imported where the value can be read.
    """
    value = os.environ.get(_READ_AT_IMPORT)
    if value is None or not value.strip() or value.strip().isdigit():
        return
    del os.environ[_READ_AT_IMPORT]
    try:
        import opentelemetry.sdk.trace  # noqa: F401
    finally:
        os.environ[_READ_AT_IMPORT] = value


@contextmanager
def without_instrumentation() -> Iterator[None]:
    """Run without being traced: an instrumented ``requests`` would else trace our own sending, for ever."""
    token = otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        otel_context.detach(token)
