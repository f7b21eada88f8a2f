"""A failure as a plain value: it travels between processes, into the ledger and the dead letters."""

from __future__ import annotations

import hashlib
import traceback
from typing import NamedTuple

from ragwatch.errors import Rejected
from ragwatch.resilience.retryable import retry_after_of, status_of, transient

MAX_MESSAGE = 500
TRACE_ID = "ragwatch_trace_id"
"""The attribute in which an exception carries the trace that it ended."""


class Failure(NamedTuple):
    """Why an attempt failed. ``fingerprint`` is the same for the same failure at the same place."""

    error_type: str
    message: str
    fingerprint: str
    transient: bool
    retry_after_s: float | None = None
    rejected: bool = False
    """A breaker or limit of the function's own turned it away: the document is not to blame."""
    lost: bool = False
    """Its worker died: of this document, or of one beside it."""
    status: int | None = None
    trace_id: str | None = None
    """Of the ``ingest`` step, where there was one."""


class RemoteError(Exception):
    """Stands for an exception of another process, with what is known of it."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        self.status_code = failure.status
        self.ragwatch_transient = failure.transient
        self.retry_after_s = failure.retry_after_s
        super().__init__(f"{failure.error_type}: {failure.message}")


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception is; the place is where it was raised, by file, function and line."""
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    place = "|".join(f"{frame.filename}:{frame.name}:{frame.lineno}" for frame in frames)
    try:
        message = str(error)[:MAX_MESSAGE].encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001  (the app's own method)
        message = ""
    return Failure(
        name,
        message,
        hashlib.blake2b(f"{name}|{place}".encode(), digest_size=8).hexdigest(),
        transient(error),
        retry_after_of(error),
        isinstance(error, Rejected),
        status=status_of(error),
        trace_id=getattr(error, TRACE_ID, None),
    )


HANG = hashlib.blake2b(b"hang", digest_size=8).hexdigest()
"""The fingerprint of a document that was given up because it took too long."""


def hang(timeout_s: float, what: str) -> Failure:
    """The failure of a call that did not end within its time; ``what`` became of its thread or process."""
    return Failure("TimeoutError", f"no end after {timeout_s:g} s; {what}", HANG, transient=True)


def named_failure(error_type: str, message: str, *, transient: bool) -> Failure:
    """A failure that no exception told of: a worker that died."""
    fingerprint = hashlib.blake2b(error_type.encode(), digest_size=8).hexdigest()
    return Failure(error_type, message, fingerprint, transient)
