"""The receiver's duties by the OTLP specification, over real sockets."""

from __future__ import annotations

import gzip
import json
from http.client import HTTPConnection
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from ragwatch.agent.receiver.status import retry_status
from tests.support.agent import Agent

PROTOBUF, JSON = "application/x-protobuf", "application/json"
EXPORT = "/opentelemetry.proto.collector.{}/Export"


def post(
    agent: Agent, path: str, body: bytes | list[bytes], content_type: str = PROTOBUF, **headers: str
) -> tuple[int, str | None, bytes]:
    """(status, content type, body) of a POST; a list is sent in chunks, without a length."""
    connection = HTTPConnection("127.0.0.1", int(agent.http_url.rsplit(":", 1)[1]), timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(
            "POST", path, iter(body) if isinstance(body, list) else body, {"Content-Type": content_type, **named}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


def traces(number: int, *, service: str = "wire", step: str = "embed") -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = service
    span = resource.scope_spans.add().spans.add(
        trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name=step,
        start_time_unix_nano=10**18, end_time_unix_nano=10**18 + 10**7,
    )  # fmt: skip
    span.attributes.add(key="rag.step").value.string_value = step
    return request.SerializeToString()


def as_json(body: bytes) -> bytes:
    """OTLP/JSON with ids in upper-case hex, which is legal."""
    data = MessageToDict(ExportTraceServiceRequest.FromString(body))
    for group in data["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                import base64

                for key in ("traceId", "spanId"):
                    span[key] = base64.b64decode(span[key]).hex().upper()
                span["someFutureField"] = {"x": 1}
    return json.dumps(data).encode()


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
@pytest.mark.parametrize(("content_type", "body"), [(PROTOBUF, b""), (JSON, b"{}"), (JSON + "; charset=utf-8", b"{}")])
def test_an_empty_request_succeeds_in_its_own_type(agent: Agent, signal: str, content_type: str, body: bytes) -> None:
    status, answered, content = post(agent, f"/v1/{signal}", body, content_type)
    assert (status, answered) == (200, content_type.split(";", maxsplit=1)[0])
    assert content == (b"" if content_type == PROTOBUF else b"{}")


@pytest.mark.parametrize("how", ["protobuf", "gzip", "json", "chunked", "json gzip"])
def test_spans_arrive_however_they_are_sent(agent: Agent, how: str) -> None:
    service = f"how-{how.replace(' ', '-')}"
    body: Any = traces(abs(hash(how)) % 10**9 + 1, service=service)
    content_type = JSON if "json" in how else PROTOBUF
    if "json" in how:
        body = as_json(body)
    headers = {"Content_Encoding": "gzip"} if "gzip" in how else {}
    if "gzip" in how:
        body = gzip.compress(body)
    if how == "chunked":
        body = [body[:10], body[10:]]
    status, _, content = post(agent, "/v1/traces", body, content_type, **headers)
    assert status == 200
    if content_type == PROTOBUF:
        assert not ExportTraceServiceResponse.FromString(content).HasField("partial_success")
    agent.wait_metric("rag_step_calls_total", 1, service=service)


@pytest.mark.parametrize(
    ("path", "body", "content_type", "headers", "status"),
    [
        ("/v1/traces", b"x", "text/plain", {}, 415),
        ("/v1/traces", b"x", PROTOBUF, {"Content_Encoding": "br"}, 415),
        ("/v1/traces", b"no gzip", PROTOBUF, {"Content_Encoding": "gzip"}, 400),
        ("/v1/traces", gzip.compress(b"x" * 1000)[:-8], PROTOBUF, {"Content_Encoding": "gzip"}, 400),
        ("/v1/traces", b"x" * 200_001, PROTOBUF, {}, 413),
        ("/v1/traces", gzip.compress(b"\0" * 50_000_000), PROTOBUF, {"Content_Encoding": "gzip"}, 413),
        ("/v1/nothing", b"x", PROTOBUF, {}, 404),
    ],
    ids=["media type", "encoding", "bad gzip", "cut gzip", "too large", "gzip bomb", "path"],
)
def test_what_cannot_be_taken_is_refused_for_good(
    agent: Agent, path: str, body: bytes, content_type: str, headers: dict[str, str], status: int
) -> None:
    answered, answer_type, content = post(agent, path, body, content_type, **headers)
    assert answered == status
    if status != 404:
        assert answer_type == PROTOBUF
        assert Status.FromString(content).message


def test_a_refusal_of_json_is_json(agent: Agent) -> None:
    status, content_type, content = post(agent, "/v1/traces", b"x" * 200_001, JSON)
    assert (status, content_type) == (413, JSON)
    assert "smaller batches" in json.loads(content)["message"]


def test_get_is_not_allowed(agent: Agent) -> None:
    connection = HTTPConnection("127.0.0.1", int(agent.http_url.rsplit(":", 1)[1]), timeout=10)
    connection.request("GET", "/v1/traces")
    assert connection.getresponse().status == 405
    connection.close()


@pytest.mark.parametrize(
    ("service", "request_"),
    [
        ("trace.v1.TraceService", ExportTraceServiceRequest()),
        ("metrics.v1.MetricsService", ExportMetricsServiceRequest()),
        ("logs.v1.LogsService", ExportLogsServiceRequest()),
    ],
)
def test_grpc_takes_all_three_signals(agent: Agent, service: str, request_: Any) -> None:
    with grpc.insecure_channel(agent.grpc_target) as channel:
        call = channel.unary_unary(EXPORT.format(service))
        assert call(request_.SerializeToString(), timeout=5) == b""


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_spans_arrive_over_grpc(agent: Agent, compression: grpc.Compression) -> None:
    service = f"grpc-{compression.name}"
    with grpc.insecure_channel(agent.grpc_target, compression=compression) as channel:
        call = channel.unary_unary(EXPORT.format("trace.v1.TraceService"))
        call(traces(7000 + compression.value, service=service), timeout=5)
    agent.wait_metric("rag_step_calls_total", 1, service=service)


def test_grpc_refuses_what_is_too_large_for_good(agent: Agent) -> None:
    with grpc.insecure_channel(agent.grpc_target) as channel:
        call = channel.unary_unary(EXPORT.format("trace.v1.TraceService"))
        with pytest.raises(grpc.RpcError) as caught:
            call(b"x" * 300_000, timeout=5)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not any(key == "grpc-status-details-bin" for key, _ in caught.value.trailing_metadata() or ())


def test_a_resent_request_is_acked_and_counted_once(agent: Agent) -> None:
    body = traces(424242, service="resent")
    before = agent.metric("ragwatch_agent_duplicates_total", reason="request")
    assert [post(agent, "/v1/traces", body)[0] for _ in range(3)] == [200, 200, 200]
    agent.wait_metric("rag_step_calls_total", 1, service="resent")
    agent.wait_metric("ragwatch_agent_duplicates_total", before + 2, reason="request")


def test_a_span_that_comes_in_two_requests_is_counted_once(agent: Agent) -> None:
    body = traces(515151, service="twice")
    padded = body + traces(616161, service="other")
    assert post(agent, "/v1/traces", body)[0] == post(agent, "/v1/traces", padded)[0] == 200
    agent.wait_metric("rag_step_calls_total", 1, service="other")
    assert agent.metric("rag_step_calls_total", service="twice") == 1


def test_malformed_spans_are_set_aside_and_counted(agent: Agent) -> None:
    assert post(agent, "/v1/traces", b"\xff\xff\xff")[0] == 200
    assert post(agent, "/v1/traces", b'{"resourceSpans": 7}', JSON)[0] == 200
    agent.wait_metric("ragwatch_agent_decode_errors_total", 2)
    agent.wait_metric("ragwatch_agent_dead_letters_total", 2)
    assert post(agent, "/v1/traces", traces(717171, service="after"))[0] == 200
    agent.wait_metric("rag_step_calls_total", 1, service="after")


def test_retry_info_says_when_to_come_again() -> None:
    status = Status.FromString(retry_status(14, "full", 1.5))
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    assert (info.retry_delay.seconds, info.retry_delay.nanos) == (1, 500_000_000)
