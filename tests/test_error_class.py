"""One 429 has many names, and one class."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwatch.error_class import error_class
from ragwatch.semconv import ERROR_CLASSES


@pytest.mark.parametrize(
    "name",
    [
        "RateLimitError", "openai.RateLimitError", "langchain_openai.chat_models.base.OpenAIRateLimitError",
        "LMRateLimitError", "429", "TooManyRequests", "ResourceExhausted", "RESOURCE_EXHAUSTED", "ThrottlingException",
    ],
)  # fmt: skip
def test_rate_limited(name: str) -> None:
    assert error_class(name) == "rate_limited"


@pytest.mark.parametrize(
    ("name", "message", "wanted"),
    [
        ("httpx.ReadTimeout", None, "timeout"),
        ("builtins.TimeoutError", None, "timeout"),
        ("DEADLINE_EXCEEDED", None, "timeout"),
        ("ConnectionRefusedError", None, "connection"),
        ("openai.APIConnectionError", None, "connection"),
        ("openai.AuthenticationError", None, "auth"),
        ("PermissionDeniedError", None, "auth"),
        ("InternalServerError", None, "server_error"),
        ("503", None, "server_error"),
        ("BadRequestError", "maximum context length is 8192", "context_length"),
        ("BadRequestError", "the content_filter was triggered", "content_filter"),
        ("BadRequestError", "no such parameter", "invalid_request"),
        ("PipelineRuntimeError", "Error code: 429 - slow down", "rate_limited"),
        ("PipelineRuntimeError", "it took 503 tries", "other"),
        ("KeyError", None, "other"),
        (None, None, "other"),
    ],
)
def test_classes(name: str | None, message: str | None, wanted: str) -> None:
    assert error_class(name, message) == wanted


@given(st.text(max_size=200) | st.none(), st.text(max_size=500) | st.none())
def test_every_failure_has_one_of_the_classes(name: str | None, message: str | None) -> None:
    assert error_class(name, message) in ERROR_CLASSES
