"""The private names of OpenTelemetry that ragwatch needs; a contract test holds them against the installed SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY


@contextmanager
def without_instrumentation() -> Iterator[None]:
    """Run without being traced: an instrumented ``requests`` would else trace our own sending, for ever."""
    token = otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        otel_context.detach(token)
