"""What ragwatch sends says the same as what OpenTelemetry's own exporter sends for the same spans."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.otlp_values import attributes_of, typed, value_of
from tests.support.procs import Process
from tests.support.sink import Sink

WORK = """
import math, os
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
import ragwatch

library = SimpleSpanProcessor(OTLPSpanExporter(endpoint=os.environ["LIBRARY"]))
if os.environ["WHOSE"] == "foreign":
    provider = TracerProvider(resource=Resource({"service.name": "bot", "service.instance.id": "one", "cpus": 2}))
    trace.set_tracer_provider(provider)
    ragwatch.init()
else:
    ragwatch.init(service="bot", attributes={"service.instance.id": "one", "cpus": 2})
    provider = trace.get_tracer_provider()
provider.add_span_processor(library)

tracer = trace.get_tracer("lib", "1.2", schema_url="https://schema.example/1", attributes={"part": "http"})
caller = SpanContext(0xABC << 64, 0xDEF, True, TraceFlags(1), TraceState([("vendor", "1"), ("other", "2")]))
local = SpanContext(7, 8, False, TraceFlags(0))
remote = trace.set_span_in_context(trace.NonRecordingSpan(caller))
odd = {"s": "naïve 文字", "t": True, "i": -(1 << 63), "f": 0.1, "nan": math.nan, "a": ["x", "y"], "n": [1, 2], "e": ""}
links = [Link(caller, {"why": 1}), Link(local)]
with tracer.start_as_current_span("serve", remote, SpanKind.SERVER, odd, links) as top:
    top.add_event("noted", {"n": 1}, timestamp=5)
    top.add_event("bare")
    with ragwatch.query("is it?", session="s-1"):
        with ragwatch.retrieve(top_k=2, source="kb") as step:
            step.documents([{"id": "a", "score": 0.5}, {"id": "b", "score": 0.25}])
        with tracer.start_as_current_span("client", kind=SpanKind.CLIENT) as inner:
            inner.set_status(Status(StatusCode.OK))
        with ragwatch.generate() as step:
            step.model("m").tokens(input=10, output=3)
    try:
        with ragwatch.query("fails"), ragwatch.retrieve():
            raise TimeoutError("late")
    except TimeoutError:
        pass
    with tracer.start_as_current_span("failed") as inner:
        inner.set_status(Status(StatusCode.ERROR, "why it failed"))
with tracer.start_as_current_span("producer", kind=SpanKind.PRODUCER), tracer.start_as_current_span(
    "consumer", kind=SpanKind.CONSUMER
):
    pass
assert ragwatch.flush(20)
"""
REMOTE_BITS = 0x300


def plain(attributes: Any) -> dict[str, Any]:
    return {item.key: typed(value_of(item.value)) for item in attributes}


def meanings(sink: Sink) -> dict[bytes, dict[str, Any]]:
    """Every span by id, as plain values, with its resource and scope."""
    found = {}
    for message in sink.messages("traces"):
        for group in message.resource_spans:
            for scope in group.scope_spans:
                for span in scope.spans:
                    assert span.span_id not in found, f"{span.name} came twice"
                    found[span.span_id] = meaning(span) | {
                        "resource": (plain(group.resource.attributes), group.schema_url),
                        "scope": (scope.scope.name, scope.scope.version, scope.schema_url),
                        "scope attributes": plain(scope.scope.attributes),
                    }
    return found


def meaning(span: Any) -> dict[str, Any]:
    return {
        "ids": (span.trace_id, span.span_id, span.parent_span_id),
        "remote": span.flags & REMOTE_BITS if span.parent_span_id else None,
        "trace state": span.trace_state,
        "name": (span.name, span.kind),
        "times": (span.start_time_unix_nano, span.end_time_unix_nano),
        "attributes": plain(span.attributes),
        "events": [(event.name, event.time_unix_nano, plain(event.attributes)) for event in span.events],
        "links": [
            (link.trace_id, link.span_id, link.flags & REMOTE_BITS, plain(link.attributes)) for link in span.links
        ],
        "status": (span.status.code, span.status.message),
        "dropped": (
            span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count,
            [event.dropped_attributes_count for event in span.events],
            [link.dropped_attributes_count for link in span.links],
        ),
    }  # fmt: skip


@pytest.mark.parametrize("whose", ["own", "foreign"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_spans_mean_what_the_library_says(whose: str, protocol: str) -> None:
    with Sink(grpc=False) as ours, Sink(grpc=False) as library:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": ours.http_url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "LIBRARY": f"{library.http_url}/v1/traces", "WHOSE": whose, "RAGWATCH_RAISE": "1",
        }  # fmt: skip
        with Process.python("-c", WORK, env=env) as process:
            assert process.wait(60) == 0, process.output
    got, wanted = meanings(ours), meanings(library)
    assert len(wanted) == 10
    assert got.keys() == wanted.keys()
    for span_id, expected in wanted.items():
        assert got[span_id] == expected, expected["name"]


def test_every_signal_names_the_same_process() -> None:
    with Sink(grpc=False) as ours, Sink(grpc=False) as library:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": ours.http_url, "LIBRARY": f"{library.http_url}/v1/traces", "WHOSE": "own",
            "RAGWATCH_RAISE": "1",
        }  # fmt: skip
        with Process.python("-c", WORK, env=env) as process:
            assert process.wait(60) == 0, process.output
    resources = [
        attributes_of(group.resource.attributes)
        for signal in ("traces", "metrics", "logs")
        for message in ours.messages(signal)
        for group in getattr(message, f"resource_{'spans' if signal == 'traces' else signal}")
    ]
    assert len(resources) >= 3
    assert all(resource == resources[0] for resource in resources)
    assert resources[0]["cpus"] == 2
