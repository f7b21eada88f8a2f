"""One table from the error names that instrumentors and clients use to the closed set of error classes.

The names come from what real clients raise for the same failure (``RateLimitError``, ``openai.RateLimitError``,
``OpenAIRateLimitError``, ``LMRateLimitError`` are one HTTP 429), so the last dotted part is matched, by fragment.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_FRAGMENTS: Final[tuple[tuple[str, str], ...]] = (
    ("contextlength", "context_length"),
    ("contextwindow", "context_length"),
    ("maxtokens", "context_length"),
    ("contentfilter", "content_filter"),
    ("contentpolicy", "content_filter"),
    ("safety", "content_filter"),
    ("ratelimit", "rate_limited"),
    ("toomanyrequests", "rate_limited"),
    ("resourceexhausted", "rate_limited"),
    ("quota", "rate_limited"),
    ("throttl", "rate_limited"),
    ("timeout", "timeout"),
    ("timedout", "timeout"),
    ("deadlineexceeded", "timeout"),
    ("authentication", "auth"),
    ("unauthorized", "auth"),
    ("unauthenticated", "auth"),
    ("permission", "auth"),
    ("forbidden", "auth"),
    ("credentials", "auth"),
    ("accessdenied", "auth"),
    ("internalserver", "server_error"),
    ("servererror", "server_error"),
    ("serviceunavailable", "server_error"),
    ("badgateway", "server_error"),
    ("unavailable", "server_error"),
    ("overloaded", "server_error"),
    ("notready", "server_error"),
    ("connect", "connection"),
    ("brokenpipe", "connection"),
    ("gaierror", "connection"),
    ("nameresolution", "connection"),
    ("remotedisconnected", "connection"),
    ("networkerror", "connection"),
    ("badrequest", "invalid_request"),
    ("invalidrequest", "invalid_request"),
    ("invalidargument", "invalid_request"),
    ("unprocessable", "invalid_request"),
    ("validation", "invalid_request"),
    ("notfounderror", "invalid_request"),
    ("valueerror", "invalid_request"),
    ("typeerror", "invalid_request"),
)
_STATUS: Final = re.compile(
    r"\b(?:error code|status(?: code)?|http(?:/\d(?:\.\d)?)?|code|response|error)\W{0,3}([1-5]\d\d)\b"
    r"|^\W{0,2}([45]\d\d)\b|\berror occurred \((\d{3})\)|\btoo many ([45]\d\d) error responses",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(r"\berror occurred \((\w{3,60})\)|\bStatusCode\.([A-Z_]{2,40})\b|\(Caused by (\w{3,60})\(")
"""What AWS' clients, gRPC's and urllib3's retries name in the message alone."""
_CONTEXT: Final = re.compile(r"context[_ ](?:length|window)|maximum context", re.IGNORECASE)
_FILTER: Final = re.compile(r"content[_ ](?:filter|policy)", re.IGNORECASE)
_WORDS: Final = (
    (
        re.compile(r"\brate[ _-]?limit|\btoo many requests|\bquota (?:exceeded|exhausted)", re.IGNORECASE),
        "rate_limited",
    ),
    (re.compile(r"\btimed out\b|ETIMEDOUT|\b(?:request|read|connect(?:ion)?) timeout\b", re.IGNORECASE), "timeout"),
    (re.compile(r"\b(?:invalid|incorrect|missing) api[ _-]?key\b|\bunauthorized\b", re.IGNORECASE), "auth"),
    (re.compile(r"\bservice unavailable\b|\binternal server error\b|\bbad gateway\b", re.IGNORECASE), "server_error"),
    (
        re.compile(
            r"ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|\bconnection (?:refused|reset|aborted)|\bsocket hang up"
            r"|\bfetch failed\b",
            re.IGNORECASE,
        ),
        "connection",
    ),
)
"""What the words of a message say, where neither the type's name nor a status does: JavaScript's errors are all
``Error``."""
_BY_STATUS: Final = {400: "invalid_request", 401: "auth", 403: "auth", 404: "invalid_request", 408: "timeout",
              413: "context_length", 422: "invalid_request", 429: "rate_limited", 504: "timeout"}  # fmt: skip


def error_class(error_type: str | None, message: str | None = None) -> str:
    """The class of a failure, from its type's name and, where that says nothing, from a status code in its message.

    >>> error_class("openai.RateLimitError"), error_class("LMRateLimitError"), error_class("429")
    ('rate_limited', 'rate_limited', 'rate_limited')
    >>> error_class("APIStatusError", "Error code: 503 - overloaded"), error_class("Boom"), error_class(None)
    ('server_error', 'other', 'other')
    >>> error_class("BadRequestError", "This model's maximum context length is 8192 tokens")
    'context_length'
    >>> error_class("ClientError", "An error occurred (ThrottlingException) when calling the Converse operation")
    'rate_limited'
    >>> error_class("AioRpcError", "<RPC terminated with status = StatusCode.UNAVAILABLE"), error_class("X", "429 Slow")
    ('server_error', 'rate_limited')
    >>> error_class("MaxRetryError", "Max retries exceeded (Caused by ResponseError('too many 500 error responses'))")
    'server_error'
    >>> error_class("MaxRetryError", "Max retries exceeded (Caused by NewConnectionError('Connection refused'))")
    'connection'
    >>> error_class("Error", "connect ECONNREFUSED 127.0.0.1:443"), error_class("AI_APICallError", "Rate limit reached")
    ('connection', 'rate_limited')
    """
    named = _of_name(error_type or "")
    if message and named in {"other", "invalid_request"}:
        said = _of_message(message)
        return said or (_of_words(message) if named == "other" else named)
    return named


@lru_cache(maxsize=1024)
def _of_name(name: str) -> str:
    last = name.rsplit(".", 1)[-1].strip()
    if last.isdigit() and len(last) == 3:
        return _of_status(int(last)) or "other"
    squeezed = last.replace("_", "").replace(" ", "").lower()
    for fragment, kind in _FRAGMENTS:
        if fragment in squeezed:
            return kind
    return "other"


def _of_message(message: str) -> str | None:
    head = message[:2000]
    if _CONTEXT.search(head):
        return "context_length"
    if _FILTER.search(head):
        return "content_filter"
    found = _STATUS.search(head)
    if found:
        return _of_status(int(found.group(found.lastindex or 0)))
    named = _NAMED.search(head)
    kind = _of_name(named.group(named.lastindex or 0)) if named else "other"
    return None if kind == "other" else kind


def _of_words(message: str) -> str:
    head = message[:2000]
    return next((kind for words, kind in _WORDS if words.search(head)), "other")


def _of_status(status: int) -> str | None:
    return _BY_STATUS.get(status) or ("server_error" if status >= 500 else None)
