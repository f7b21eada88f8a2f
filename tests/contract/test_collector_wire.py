"""What the encoder writes, a real OpenTelemetry Collector takes, and hands on with the same meaning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from ragwatch.conventions.decode import decode_traces
from ragwatch.sdk.wire import ScopeKey, TraceEncoder
from tests.support.collector import BUILD_TIMEOUT_S, Collector
from tests.support.sink import Sink
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT_S)  # whoever comes first may have to build it
RESOURCE = {"service.name": "bot", "service.instance.id": "a-b", "host.cpus": 2, "tags": ["x", "y"]}
ATTRIBUTES: dict[str, Any] = {
    "str": "naïve 文字 🙂",
    "empty": "",
    "true": True,
    "false": False,
    "int": -(1 << 63),
    "zero": 0,
    "float": 0.1,
    "nan": math.nan,
    "infinite": -math.inf,
    "bytes": b"\x00\xff",
    "array": ["a", 1, 1.5, True, [None, "deep"]],
    "no array": [],
    "map": {"k": {"inner": [1]}, "none": None},
    "none": None,
    "lone surrogate": "a\ud800",
    "beyond 64 bits": 1 << 80,
    "long": "x" * 5000,
}


class Span:
    name = "rag.query"
    kind_number = 3
    trace_id = 0x0AF7651916CD43DD8448EB211C80319C
    span_id = 0xB7AD6B7169203331
    parent_span_id = 0x00F067AA0BA902B7
    trace_state_header = "vendor=1"
    flags = 0x301
    start_ns = 1_760_000_000_000_000_001
    end_ns = 1_760_000_001_000_000_002
    attribute_map = ATTRIBUTES
    event_list = [("exception", 1_760_000_000_500_000_000, {"exception.type": "ValueError"}, 2), ("bare", 1, None, 0)]  # noqa: RUF012
    link_list = [(1 << 127, 1, "other=2", {"why": "retry"}, 1, 0x101)]  # noqa: RUF012
    status_number = 2
    status_message = "it failed"
    dropped_attributes = 1
    dropped_events = 2
    dropped_links = 3


class Plain(Span):
    name = "rag.retrieve"
    parent_span_id = 0
    trace_state_header = ""
    attribute_map = {"rag.step": "retrieve"}  # noqa: RUF012
    event_list = link_list = None  # type: ignore[assignment]
    status_number = 0
    status_message = ""
    dropped_attributes = dropped_events = dropped_links = 0


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, Any, Any]]:
    """What was sent, what the collector's file says, and what it handed on."""
    encoder = TraceEncoder(RESOURCE, "https://opentelemetry.io/schemas/1.40.0")
    body = encoder.request(
        [
            (ScopeKey("ragwatch", "0.1.0", "https://example.org/1", (("scope.kind", "own"),)), [encoder.span(Span())]),
            (ScopeKey("other"), [encoder.span(Plain()), encoder.span(Plain())]),
        ]
    )
    with (
        Sink(grpc=False) as sink,
        Collector(tmp_path_factory.mktemp("collector"), forward_to=sink.http_url) as collector,
    ):
        connection = HTTPConnection("127.0.0.1", collector.http_port, timeout=20)
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        answer = ExportTraceServiceResponse.FromString(response.read())
        assert (response.status, answer.partial_success.rejected_spans) == (200, 0)
        connection.close()
        wait_until(lambda: collector.messages() and sink.received)
        yield body, collector.messages()[0], sink.messages("traces")[0]


def canonical(message: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """A copy in which NaN compares with itself; Go writes an empty status where Python writes none."""
    copy = ExportTraceServiceRequest()
    copy.CopyFrom(message)
    for group in copy.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                span.status.SetInParent()
                for attribute in span.attributes:
                    if math.isnan(attribute.value.double_value):
                        attribute.value.string_value = "NaN"
    return copy


def test_the_collector_hands_on_what_was_encoded(arrived: tuple[bytes, Any, Any]) -> None:
    body, _, handed_on = arrived
    assert canonical(handed_on) == canonical(ExportTraceServiceRequest.FromString(body))


def test_the_collectors_own_json_says_the_same(arrived: tuple[bytes, Any, Any]) -> None:
    body, written, _ = arrived
    assert canonical(written) == canonical(ExportTraceServiceRequest.FromString(body))


def test_the_decoder_reads_what_the_collector_writes(arrived: tuple[bytes, Any, Any]) -> None:
    _, _, handed_on = arrived
    (group,) = decode_traces(handed_on.SerializeToString())
    assert group.resource == {**RESOURCE, "tags": ("x", "y")}
    (first, (span,)), (second, others) = group.scopes
    assert (first.name, first.version, second.name, len(others)) == ("ragwatch", "0.1.0", "other", 2)
    assert span.trace_id.hex() == f"{Span.trace_id:032x}"
    assert (span.name, span.kind, span.start_ns, span.end_ns) == (Span.name, 3, Span.start_ns, Span.end_ns)
    assert span.attributes["array"] == ("a", 1, 1.5, True, (None, "deep"))
    assert span.attributes["beyond 64 bits"] == str(1 << 80)
    assert span.attributes["lone surrogate"] == "a?"
    assert span.events == [("exception", 1_760_000_000_500_000_000, {"exception.type": "ValueError"}), ("bare", 1, {})]
    assert (span.status_code, span.status_message, span.flags) == (2, "it failed", 0x301)
