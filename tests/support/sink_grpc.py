"""The gRPC side of the sink."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

if TYPE_CHECKING:
    from tests.support.sink import Answer, Sink

_SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
}


def start_grpc(sink: Sink) -> tuple[Any, int]:
    """A started server on a free loopback port."""
    server = grpc.server(
        ThreadPoolExecutor(4, "sink-grpc"),
        options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)],
    )
    for signal, service in _SERVICES.items():
        handler = grpc.unary_unary_rpc_method_handler(_export(sink, signal))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def _export(sink: Sink, signal: str) -> Any:
    from tests.support.sink import PROTOBUF, SIGNALS

    def export(body: bytes, context: Any) -> bytes:
        headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        answer = sink.take(signal, body, PROTOBUF, "grpc", headers)
        if answer.delay_s:
            sink.wait_stopped(answer.delay_s)
        if not answer.accepts:
            _refuse(context, answer)
        return bytes(answer.body(SIGNALS[signal]).SerializeToString())

    return export


def _refuse(context: Any, answer: Answer) -> None:
    code = _CODES.get(answer.status, grpc.StatusCode.UNAVAILABLE)
    if answer.retry_after_s is not None:
        status = Status(code=code.value[0], message=answer.message)
        seconds = int(answer.retry_after_s)
        delay = Duration(seconds=seconds, nanos=int((answer.retry_after_s - seconds) * 1e9))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, answer.message)
