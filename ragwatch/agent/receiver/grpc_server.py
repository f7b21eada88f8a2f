"""OTLP over gRPC: the synchronous server with identity (de)serialisers, so that a body stays bytes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, NoReturn

import grpc

from ragwatch.agent.inbox import PROTOBUF, SIGNALS, Inbox
from ragwatch.agent.receiver.status import retry_status
from ragwatch.agent.token import authorised
from ragwatch.errors import ConfigError, InboxFull

THREADS = 16
"""Threads wait for the group commit: sixteen keep it filled; the measured knee is at eight."""
COMMIT_TIMEOUT_S = 30.0
_SERVICES = {
    "opentelemetry.proto.collector.trace.v1.TraceService": 0,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": 1,
    "opentelemetry.proto.collector.logs.v1.LogsService": 2,
}


def serve_grpc(inbox: Inbox, address: str, *, max_body_bytes: int, token: str | None) -> grpc.Server:
    """Start the server on ``host:port``. Raises ``ConfigError`` when the port cannot be taken."""
    server = grpc.server(
        ThreadPoolExecutor(THREADS, thread_name_prefix="otlp-grpc"),
        options=[
            ("grpc.max_receive_message_length", max_body_bytes),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.max_ping_strikes", 0),
        ],
    )
    for service, signal in _SERVICES.items():
        handler = grpc.unary_unary_rpc_method_handler(_export(inbox, signal, token))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise ConfigError("grpc_port", f"{address} cannot be taken") from None
    server.start()
    return server


def _export(inbox: Inbox, signal: int, token: str | None) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def export(body: bytes, context: grpc.ServicerContext) -> bytes:
        if token is not None and not authorised(str(dict(context.invocation_metadata()).get("authorization")), token):
            inbox.refused("grpc", "unauthorised")
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "a bearer token is needed")
        if not body:
            return b""
        try:
            inbox.put(signal, PROTOBUF, "grpc", body).result(COMMIT_TIMEOUT_S)
        except InboxFull as full:
            _again(context, f"{SIGNALS[signal]}: {full}", full.retry_after_s)
        except FutureTimeout:
            _again(context, "the disk is too slow", 5.0)
        return b""

    return export


def _again(context: Any, message: str, retry_after_s: float) -> NoReturn:
    code = grpc.StatusCode.UNAVAILABLE
    details = retry_status(code.value[0], message, retry_after_s)
    context.set_trailing_metadata((("grpc-status-details-bin", details),))
    context.abort(code, message)
    raise AssertionError  # abort raises
