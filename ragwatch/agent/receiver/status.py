"""What the receiver answers: ``google.rpc.Status`` bodies, by the OTLP specification's tables."""

from __future__ import annotations

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
