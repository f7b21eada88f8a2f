"""Others' spans under a tracer provider that the app had already: counted once, whoever else exports them."""

from __future__ import annotations

from typing import Any

import pytest

from ragwatch.assembly.assembler import Origin
from ragwatch.conventions.decode import decode_traces
from tests.sdk.test_provider import run
from tests.support.captures import Came, Told, assembled
from tests.support.otlp_values import attributes_of
from tests.support.sink import Sink

APP = """
import threading
from time import sleep, time_ns
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
import ragwatch

mine = TracerProvider(resource=Resource({"service.name": "mine"}))
lib = mine.get_tracer("openinference.instrumentation.langchain")

def retriever(documents=1):
    span = lib.start_span("Retriever", start_time=time_ns() - 300_000_000)
    span.set_attribute("openinference.span.kind", "RETRIEVER")
    for at in range(documents):
        span.set_attribute(f"retrieval.documents.{at}.document.id", f"doc-{at}")
        span.set_attribute(f"retrieval.documents.{at}.document.score", 0.5)
    return span

def answer(documents=1):
    with ragwatch.query("q"):
        with lib.start_as_current_span("chain") as chain:
            chain.set_attribute("openinference.span.kind", "CHAIN")
            with trace.use_span(retriever(documents), end_on_exit=True), lib.start_as_current_span("GET"):
                sleep(0.3)
        with ragwatch.generate() as step:
            step.model("m").tokens(input=3, output=4)
            sleep(0.1)
"""
OWN_EXPORTER = "mine.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))\n"
STARTED = "trace.set_tracer_provider(mine)\nragwatch.init()\n"


def seen_by_an_agent(sink: Sink) -> Told:
    """What the agent makes of the spans, each where it came first."""
    came: dict[bytes, Came] = {}
    for message in sink.messages("traces"):
        for _, scopes in decode_traces(message.SerializeToString()):
            for scope, spans in scopes:
                for raw in spans:
                    came.setdefault(raw.span_id, Came(raw, Origin("mine", "", None), scope.name))
    return assembled(list(came.values()))


def sums(sink: Sink, name: str, label: str) -> dict[str, float]:
    """A counter of what the SDK sent, by one label."""
    found: dict[str, float] = {}
    for point in sink.metrics()[name].sum.data_points:
        key = str(attributes_of(point.attributes)[label])
        found[key] = found.get(key, 0.0) + (point.as_double or point.as_int)
    return {key: amount for key, amount in found.items() if amount}


def same(seen: Any, **seconds: float) -> bool:
    return bool(dict(seen) == pytest.approx(seconds, abs=0.09))


def test_the_critical_path_that_is_counted_holds_others_steps() -> None:
    sink = run(APP + STARTED + "answer()\nassert ragwatch.metrics().steps.keys() == {'retrieve', 'generate'}\n")
    assert sums(sink, "rag.step.calls", "step") == {"retrieve": 1, "generate": 1}
    waited = sums(sink, "rag.query.critical_path", "step")
    assert same({step: waited[step] for step in ("retrieve", "generate")}, retrieve=0.3, generate=0.1), waited
    told = seen_by_an_agent(sink)
    assert told.loose == []
    (record,) = told.queries
    assert record.counted
    assert [step.step for step in record.steps] == ["retrieve", "generate"]


@pytest.mark.parametrize("documents", [1, 100], ids=["few attributes", "more than a span keeps"])
def test_a_span_that_the_apps_exporter_sends_too_is_counted_once(documents: int) -> None:
    sink = run(APP + OWN_EXPORTER + STARTED + f"answer({documents})\n")
    names = [span.name for span in sink.spans()]
    assert names.count("Retriever") == 2, "once from each exporter"
    told = seen_by_an_agent(sink)
    assert told.loose == []
    assert [record.counted for record in told.queries] == [True]
    assert told.queries[0].extra is None, "the ids are of no interest to anybody"


def test_a_marked_span_of_which_nothing_is_kept_back_leaves_the_process() -> None:
    plain = """
for _ in range(2):
    with ragwatch.query("q"), lib.start_as_current_span("Retriever") as span:
        span.set_attribute("openinference.span.kind", "RETRIEVER")
assert ragwatch.flush(20) and ragwatch.telemetry()["lost"] == {}, ragwatch.telemetry()
"""
    retrievers = [span for span in run(APP + STARTED + plain).spans() if span.name == "Retriever"]
    assert [attributes_of(span.attributes)["ragwatch.counted"] for span in retrievers] == [True, True]


def test_an_agent_counts_what_the_process_does_not() -> None:
    sink = run(APP + OWN_EXPORTER + STARTED + "answer()\n", OTEL_METRICS_EXPORTER="none")
    told = seen_by_an_agent(sink)
    assert [record.counted for record in told.queries] == [False]
    marked = [span.name for span in sink.spans() if "ragwatch.counted" in str(span.attributes)]
    assert marked == []


def test_a_span_that_ends_after_its_query_is_the_agents() -> None:
    late = """
with ragwatch.query("q"):
    with ragwatch.generate():
        left = retriever()
left.end()
"""
    sink = run(APP + OWN_EXPORTER + STARTED + late)
    assert "retrieve" not in sums(sink, "rag.step.calls", "step")
    assert [step.step for step in seen_by_an_agent(sink).loose] == ["retrieve"]


def test_a_callback_on_another_thread_is_of_its_parents_query() -> None:
    other = """
def callback(parent):
    context.attach(context.Context())
    lib.start_span("ChatOpenAI", trace.set_span_in_context(parent), start_time=time_ns() - 9_000_000,
                   attributes={"openinference.span.kind": "LLM", "llm.token_count.prompt": 7}).end()
with ragwatch.query("q"), lib.start_as_current_span("chain") as chain:
    thread = threading.Thread(target=callback, args=(chain,))
    thread.start()
    thread.join()
"""
    sink = run(APP + STARTED + other)
    assert sums(sink, "rag.step.calls", "step") == {"generate": 1}


def test_switched_off_and_on_again_one_processor_goes_on() -> None:
    again = """
answer()
ragwatch.shutdown()
answer()
ragwatch.init()
answer()
assert ragwatch.metrics().query_count == 1 and ragwatch.metrics().steps["retrieve"]["count"] == 1
assert ragwatch.flush(20) and ragwatch.telemetry()["lost"] == {}, ragwatch.telemetry()
"""
    sink = run(APP + STARTED + again)
    assert [span.name for span in sink.spans()].count("Retriever") == 2


def test_an_exporter_that_the_app_hangs_at_ragwatchs_provider_marks_what_is_counted() -> None:
    ours = """
ragwatch.init(service="mine")
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
lib = trace.get_tracer("openinference.instrumentation.langchain")
answer()
"""
    sink = run(APP + ours)
    assert [span.name for span in sink.spans()].count("Retriever") == 2
    told = seen_by_an_agent(sink)
    assert told.loose == []
    assert [record.counted for record in told.queries] == [True]


def test_a_span_in_a_trace_of_its_own_is_the_agents() -> None:
    apart = """
with ragwatch.query("q"):
    lib.start_span("ChatOpenAI", context.Context(), start_time=time_ns() - 9_000_000,
                   attributes={"openinference.span.kind": "LLM", "llm.token_count.prompt": 7}).end()
"""
    sink = run(APP + OWN_EXPORTER + STARTED + apart)
    assert "rag.step.calls" not in sink.metrics() or "generate" not in sums(sink, "rag.step.calls", "step")
    assert [step.step for step in seen_by_an_agent(sink).loose] == ["generate"]
