"""Other instrumentors' spans inside a query of ours: counted once, here, and marked so for the agent."""

from __future__ import annotations

from time import time_ns
from typing import Any

from opentelemetry import trace

import ragwatch
from ragwatch.assembly.assembler import Origin
from ragwatch.conventions.decode import decode_traces
from ragwatch.sdk.setup import engine_state, running
from tests.sdk.conftest import Watched
from tests.support.captures import Came, assembled
from tests.support.otlp_values import attributes_of

LLM = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o",
    "llm.token_count.prompt": 120,
    "llm.token_count.completion": 17,
    "input.value": "What did Ann earn?",
    "output.value": "A secret.",
}
RETRIEVER = {
    "openinference.span.kind": "RETRIEVER",
    "retrieval.documents.0.document.id": "doc-1",
    "retrieval.documents.0.document.content": "a secret",
    "retrieval.documents.0.document.score": 0.5,
}


def foreign(name: str, attributes: dict[str, Any], scope: str = "openinference.instrumentation.langchain") -> Any:
    # no server answers in microseconds: such a call may be taken for a cache's replay
    began_ns = time_ns() - 5_000_000 if attributes is LLM else None
    return trace.get_tracer(scope).start_as_current_span(name, attributes=attributes, start_time=began_ns)


def cells(name: str) -> dict[Any, Any]:
    ragwatch.flush(20)
    return engine_state().series(name)


def seen_by_an_agent(watched: Watched) -> Any:
    """What the agent's assembler makes of what arrived."""
    assert ragwatch.flush(20)
    came = [
        Came(raw, Origin("bot", "", None), scope.name)
        for message in watched.sink.messages("traces")
        for _, scopes in decode_traces(message.SerializeToString())
        for scope, spans in scopes
        for raw in spans
    ]
    return assembled(came)


def test_a_call_inside_our_step_gives_it_model_and_tokens(watched: Watched) -> None:
    with ragwatch.query("q"), ragwatch.generate(), foreign("ChatOpenAI", LLM):
        pass
    metrics = ragwatch.metrics()
    assert (metrics.query_count, metrics.token_coverage) == (1, 1.0)
    assert {name: found["count"] for name, found in metrics.steps.items()} == {"generate": 1}
    usage = {key[-1]: (key[4], cell.sum) for key, cell in cells("gen_ai.client.token.usage").items()}
    assert usage == {"input": ("gpt-4o", 120), "output": ("gpt-4o", 17)}
    marked = {span.name: attributes_of(span.attributes).get("ragwatch.counted") for span in watched.spans()}
    assert marked["ChatOpenAI"] is True
    told = seen_by_an_agent(watched)
    assert told.loose == []
    (record,) = told.queries
    assert record.counted
    assert [(step.step, step.input_tokens) for step in record.steps] == [("generate", 120)]


def test_a_step_that_only_others_record_is_a_step_of_the_query(watched: Watched) -> None:
    with ragwatch.query("q"), foreign("handler", {}, "my.app"):
        with foreign("Retriever", RETRIEVER), foreign("GET", {"http.request.method": "GET"}, "httpx"):
            pass
        with ragwatch.generate() as step:
            step.model("m").tokens(input=3, output=4)
    assert {name: found["count"] for name, found in ragwatch.metrics().steps.items()} == {"retrieve": 1, "generate": 1}
    assert sum(cells("rag.retrieval.requests").values()) == 1
    marked = {span.name: attributes_of(span.attributes).get("ragwatch.counted") for span in watched.spans()}
    assert marked == {"handler": None, "Retriever": True, "GET": None, "generate": True, "query": True}
    told = seen_by_an_agent(watched)
    assert told.loose == []
    assert [step.step for step in told.queries[0].steps] == ["retrieve", "generate"]
    (line,) = watched.lines()
    assert "secret" not in str(line)


def test_texts_of_others_stay_in_the_process(watched: Watched) -> None:
    with ragwatch.query("q"), foreign("ChatOpenAI", LLM), foreign("Retriever", RETRIEVER):
        pass
    assert "secret" not in str([attributes_of(span.attributes) for span in watched.spans()])
    assert "secret" not in str(watched.lines())
    assert "Ann" not in str(watched.lines())


def test_the_cause_of_a_failure_may_be_anothers_step(watched: Watched) -> None:
    try:
        with ragwatch.query("q"), foreign("Retriever", {"openinference.span.kind": "RETRIEVER"}):
            raise ConnectionError("down")
    except ConnectionError:
        pass
    assert ragwatch.metrics().errors == {"retrieve/connection": 1}
    assert len(watched.spans()) == 2


def test_our_step_inside_a_hand_made_span_of_the_same_name_stays_ours(watched: Watched) -> None:
    with ragwatch.query("q"), foreign("generate", {}, "my.app"), ragwatch.generate() as step:
        step.model("m").tokens(input=3, output=4)
    assert {name: found["count"] for name, found in ragwatch.metrics().steps.items()} == {"generate": 1}
    told = seen_by_an_agent(watched)
    assert [(step.step, step.model) for step in told.queries[0].steps] == [("generate", "m")]
    assert told.loose == []


def test_a_span_that_ends_after_its_query_is_the_agents(watched: Watched) -> None:
    with ragwatch.query("q"):
        late = trace.get_tracer("openinference.instrumentation.openai").start_span("ChatCompletion", attributes=LLM)
    late.end()
    assert ragwatch.metrics().steps == {}
    told = seen_by_an_agent(watched)
    assert [step.step for step in told.loose] == ["generate"]


def test_transport_alone_changes_nothing(watched: Watched) -> None:
    with ragwatch.query("q"), ragwatch.retrieve() as step, foreign("GET", {"http.request.method": "GET"}, "httpx"):
        step.documents([{"id": "a"}])
    assert {name: found["count"] for name, found in ragwatch.metrics().steps.items()} == {"retrieve": 1}
    assert len(watched.spans()) == 3


def test_a_query_within_a_query_is_nobody_elses_span(watched: Watched) -> None:
    with ragwatch.query("outer"), ragwatch.query("inner"), ragwatch.retrieve() as step:
        step.documents([{"id": "a"}])
    assert {name: found["count"] for name, found in ragwatch.metrics().steps.items()} == {"retrieve": 1}
    process = running()
    assert process is not None
    assert process[0]._foreign is None, "to recognise others' spans costs the first query 25 ms"
    told = seen_by_an_agent(watched)
    assert told.loose == []
    assert [[step.step for step in record.steps] for record in told.queries] == [["retrieve"]]
