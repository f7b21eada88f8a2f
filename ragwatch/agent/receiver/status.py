"""What the receiver answers: ``google.rpc.Status`` bodies, by the OTLP specification's tables."""

from __future__ import annotations

import hmac
import json

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]


def retry_status(code: int, message: str, retry_after_s: float) -> bytes:
    """A serialised ``Status`` that says when to come again."""
    status = Status(code=code, message=message)
    whole = int(retry_after_s)
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=whole, nanos=int((retry_after_s - whole) * 1e9))))
    return bytes(status.SerializeToString())


def plain_status(message: str, *, as_json: bool) -> bytes:
    """A ``Status`` for people: the body of every refusal over HTTP."""
    return json.dumps({"message": message}).encode() if as_json else bytes(Status(message=message).SerializeToString())


def authorised(header: str | None, token: str | None) -> bool:
    """Whether an ``Authorization`` header shows the token; no token is asked of anyone when none is set.

    >>> authorised("Bearer s3cret", "s3cret"), authorised("Bearer guess", "s3cret"), authorised(None, None)
    (True, False, True)
    """
    if token is None:
        return True
    scheme, _, shown = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())
