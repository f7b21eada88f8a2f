"""Side by side with OpenTelemetry's own SDK and other people's processors, samplers and tracers."""

from __future__ import annotations

from tests.support.otlp_values import attributes_of
from tests.support.procs import Process
from tests.support.sink import Sink


def run(code: str, **env: str) -> Sink:
    """Run an app against a receiver; what the receiver got."""
    with Sink(grpc=False) as sink:
        with Process.python(
            "-c", code, env={"OTEL_EXPORTER_OTLP_ENDPOINT": sink.http_url, "RAGWATCH_RAISE": "1", **env}
        ) as process:
            assert process.wait(60) == 0, process.output
        return sink


def test_an_existing_provider_is_kept_and_used() -> None:
    sink = run("""
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
mine, held = TracerProvider(resource=Resource({"service.name": "mine", "team": "search"})), InMemorySpanExporter()
mine.add_span_processor(SimpleSpanProcessor(held))
trace.set_tracer_provider(mine)
import ragwatch
ragwatch.init(app_info={"index_version": "i1"})
assert trace.get_tracer_provider() is mine
with ragwatch.query("q") as query:
    with trace.get_tracer("lib").start_as_current_span("http"):
        with ragwatch.retrieve(source="kb") as step, ragwatch.CircuitBreaker("index"):
            step.documents([{"id": "a", "score": 0.5}])
    with ragwatch.generate() as step:
        step.model("m").tokens(input=3)
try:
    with ragwatch.query("bad"):
        raise TimeoutError
except TimeoutError:
    pass
metrics = ragwatch.metrics()
assert (metrics.query_count, metrics.errors) == (2, {"query/timeout": 1}), metrics
assert [span.name for span in held.get_finished_spans()] == ["retrieve", "http", "generate", "query", "query"]
assert ragwatch.flush(20)
""")
    by_name = {span.name: span for span in sink.spans()}
    assert by_name["retrieve"].parent_span_id == by_name["http"].span_id
    said = attributes_of(by_name["retrieve"].attributes)
    assert (said["rag.step"], said["rag.breaker.name"], said["rag.breaker.state"]) == ("retrieve", "index", "closed")
    assert attributes_of(by_name["query"].attributes)["rag.app.index_version"] == "i1"
    assert len(sink.spans()) == 5
    resource = attributes_of(sink.messages("traces")[0].resource_spans[0].resource.attributes)
    assert (resource["service.name"], resource["team"]) == ("mine", "search")


def test_somebody_elses_processor_gets_readable_spans() -> None:
    run("""
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
import ragwatch
ragwatch.init(service="s")
started, ended = [], []
class Mine(SpanProcessor):
    def on_start(self, span, parent_context=None):
        span.set_attribute("added.at.start", True)
        started.append(span.name)
    def on_end(self, span):
        ended.append(span)
trace.get_tracer_provider().add_span_processor(Mine())
with ragwatch.query("q"), ragwatch.retrieve() as step:
    step.documents(["a"])
    step.add_event("e", {"n": 1})
assert started == ["query", "retrieve"]
assert [type(span) for span in ended] == [ReadableSpan] * 2
first = ended[0]
assert first.attributes["rag.step"] == "retrieve" and first.attributes["added.at.start"] is True
assert first.parent.span_id == ended[1].context.span_id
assert first.end_time >= first.start_time and first.events[0].attributes == {"n": 1}
assert first.resource.attributes["service.name"] == "s"
assert '"rag.step": "retrieve"' in first.to_json()
""")


def test_a_sampler_thins_the_traces_and_not_the_kpis() -> None:
    sink = run(
        """
import ragwatch
ragwatch.init(service="s")
for _ in range(200):
    with ragwatch.query("q"), ragwatch.retrieve() as step:
        step.documents(["a"])
assert ragwatch.metrics().query_count == 200
assert ragwatch.metrics().steps["retrieve"]["count"] == 200
assert ragwatch.flush(20)
""",
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.25",
    )
    spans = sink.spans()
    assert 20 <= len(spans) / 2 <= 90
    traces = {span.trace_id for span in spans}
    assert len(traces) * 2 == len(spans), "a trace is whole or not there"
    points = sink.metrics()["rag.query.duration"].histogram.data_points
    assert sum(point.count for point in points) == 200


def test_switched_off_by_the_specifications_variable() -> None:
    sink = run(
        """
import ragwatch
from opentelemetry import trace
ragwatch.init(service="s")
with ragwatch.query("q"):
    pass
assert ragwatch.metrics().query_count == 0
assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
""",
        OTEL_SDK_DISABLED="true",
    )
    assert sink.received == []


def test_shutdown_and_init_again_count_nothing_twice() -> None:
    sink = run("""
import ragwatch
breaker = ragwatch.CircuitBreaker("b")
for round in range(3):
    ragwatch.init(service="s")
    with ragwatch.query("q"):
        breaker.call(int)
    assert ragwatch.metrics().query_count == 1
    assert ragwatch.metrics().breaker_calls["b"]["ok"] == 1, ragwatch.metrics().breaker_calls
    ragwatch.shutdown()
""")
    assert len(sink.spans()) == 3
    instances = {
        attributes_of(group.resource.attributes)["service.instance.id"]
        for message in sink.messages("metrics")
        for group in message.resource_metrics
    }
    assert len(instances) == 3


def test_environment_of_the_specification_reaches_the_resource() -> None:
    sink = run(
        """
import ragwatch
ragwatch.init(version="1.2.3", environment="prod")
with ragwatch.query("q"):
    pass
""",
        OTEL_SERVICE_NAME="from-env",
        OTEL_RESOURCE_ATTRIBUTES="team=search,service.name=loses,note=a%20b",
    )
    resource = attributes_of(sink.messages("traces")[0].resource_spans[0].resource.attributes)
    wanted = {
        "service.name": "from-env", "team": "search", "note": "a b", "service.version": "1.2.3",
        "deployment.environment.name": "prod", "telemetry.sdk.language": "python",
    }  # fmt: skip
    assert wanted.items() <= resource.items()
