"""The receiver that other tests trust."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from tests.support.sink import BAD_REQUEST, JSON, PROTOBUF, UNAVAILABLE, Answer, Sink
from tests.support.sink_process import SinkProcess


def request(*names: str) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for name in names:
        scope.spans.add(name=name, trace_id=bytes(range(16)))
    return message


@pytest.fixture(scope="module")
def one_sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
def sink(one_sink: Sink) -> Sink:
    one_sink.reset()
    return one_sink


def post(port: int, body: object, path: str = "/v1/traces", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    given = {"Content-Type": PROTOBUF, **{key.replace("_", "-"): value for key, value in headers.items()}}
    connection.request("POST", path, body, given, encode_chunked="Transfer-Encoding" in given)  # type: ignore[arg-type]
    response = connection.getresponse()
    found = response.read()
    connection.close()
    return response, found


def test_http_in_every_form(sink: Sink) -> None:
    body = request("a", "b").SerializeToString()
    as_json = json.dumps(
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "j", "traceId": bytes(range(16)).hex()}]}]}], "new": 1}
    )
    assert post(sink.http_port, body)[0].status == 200
    assert post(sink.http_port, gzip.compress(body), Content_Encoding="gzip")[0].status == 200
    assert post(sink.http_port, iter([body[:5], body[5:]]), Transfer_Encoding="chunked")[0].status == 200
    response, answer = post(sink.http_port, as_json, Content_Type=JSON)
    assert (response.status, json.loads(answer)) == (200, {})
    assert [span.name for span in sink.spans()] == ["a", "b"] * 3 + ["j"]
    assert {span.trace_id for span in sink.spans()} == {bytes(range(16))}
    assert sink.counts()["traces"] == {"attempts": 4, "requests": 4, "items": 7, "bytes": 3 * len(body) + len(as_json)}


def test_every_signal(sink: Sink) -> None:
    metrics, logs = ExportMetricsServiceRequest(), ExportLogsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    logs.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "line"
    post(sink.http_port, metrics.SerializeToString(), "/v1/metrics")
    post(sink.http_port, logs.SerializeToString(), "/v1/logs")
    assert list(sink.metrics()) == ["m"]
    assert [record.body.string_value for record in sink.log_records()] == ["line"]


def test_what_is_no_otlp_is_refused(sink: Sink) -> None:
    assert post(sink.http_port, b"", "/v1/else")[0].status == 404
    assert post(sink.http_port, b"", Content_Type="text/plain")[0].status == 415
    assert post(sink.http_port, b"\xff")[0].status == 400
    assert sink.counts()["traces"]["requests"] == 0


def test_http_failures(sink: Sink) -> None:
    body = request("a").SerializeToString()
    sink.answer(UNAVAILABLE, 1)
    sink.answer(BAD_REQUEST, 1)
    sink.answer(Answer(drop=True), 1)
    sink.answer(Answer(rejected=1, message="one bad"), 1)
    response, _ = post(sink.http_port, body)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    response, answer = post(sink.http_port, body)
    assert (response.status, Status.FromString(answer).message) == (400, "bad data")
    with pytest.raises(ConnectionError):
        post(sink.http_port, body)
    _, answer = post(sink.http_port, body)
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1
    assert post(sink.http_port, body)[0].status == 200
    assert sink.counts()["traces"] == {"attempts": 5, "requests": 2, "items": 2, "bytes": 2 * len(body)}


def test_slow_answers(sink: Sink) -> None:
    sink.answer(Answer(delay_s=30))
    connection = HTTPConnection("127.0.0.1", sink.http_port, timeout=0.05)
    connection.request("POST", "/v1/traces", b"", {"Content-Type": PROTOBUF})
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()


def test_grpc(sink: Sink) -> None:
    with grpc.insecure_channel(sink.grpc_target) as channel:
        stub = TraceServiceStub(channel)
        assert not stub.Export(request("a"), timeout=10).HasField("partial_success")
        assert stub.Export(request("b"), timeout=10, compression=grpc.Compression.Gzip) is not None
        sink.answer(UNAVAILABLE, 1)
        with pytest.raises(grpc.RpcError) as failure:
            stub.Export(request("c"), timeout=10)
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        assert b"RetryInfo" in dict(failure.value.trailing_metadata())["grpc-status-details-bin"]
        sink.answer(BAD_REQUEST, 1)
        with pytest.raises(grpc.RpcError) as failure:
            stub.Export(request("c"), timeout=10)
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [span.name for span in sink.spans()] == ["a", "b"]
    assert {received.protocol for received in sink.received} == {"grpc"}


def test_in_another_process() -> None:
    with SinkProcess() as sink:
        sink.answer(UNAVAILABLE, 1)
        body = request("a").SerializeToString()
        assert post(sink.http_port, body)[0].status == 503
        assert post(sink.http_port, body)[0].status == 200
        with grpc.insecure_channel(sink.grpc_target) as channel:
            TraceServiceStub(channel).Export(request("b"), timeout=10)
        assert [span.name for span in sink.spans()] == ["a", "b"]
        assert sink.counts()["traces"]["attempts"] == 3
        sink.reset()
        assert sink.counts()["traces"]["attempts"] == 0
