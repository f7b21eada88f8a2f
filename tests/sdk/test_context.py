"""Which query a step belongs to: over threads, tasks, other instrumentors' spans, and time."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor

from opentelemetry import trace

import ragwatch
from tests.sdk.conftest import Watched


def test_steps_on_threads_with_the_context_belong_to_the_query(watched: Watched) -> None:
    @ragwatch.retrieve
    def search(number: int) -> list[str]:
        return [f"doc-{number}"]

    with ThreadPoolExecutor(4) as pool, ragwatch.query("q"):
        contexts = [contextvars.copy_context() for _ in range(8)]
        list(pool.map(lambda item: item[1].run(search, item[0]), enumerate(contexts)))
    root = watched.span("query")
    steps = [span for span in watched.spans() if span.name == "retrieve"]
    assert len(steps) == 8
    assert {span.parent_span_id for span in steps} == {root.span_id}
    assert ragwatch.metrics().steps["retrieve"]["count"] == 8


async def test_tasks_belong_to_the_query_that_started_them(watched: Watched) -> None:
    @ragwatch.retrieve
    async def search(number: int) -> list[str]:
        await asyncio.sleep(0.001)
        return [str(number)]

    @ragwatch.query
    async def answer(number: int) -> None:
        await asyncio.gather(*(search(number * 10 + n) for n in range(3)))

    await asyncio.gather(*(answer(number) for number in range(20)))
    spans = watched.spans()
    roots = {span.span_id: span.trace_id for span in spans if span.name == "query"}
    steps = [span for span in spans if span.name == "retrieve"]
    assert (len(roots), len(steps)) == (20, 60)
    assert all(roots[span.parent_span_id] == span.trace_id for span in steps)
    assert len({span.trace_id for span in spans}) == 20
    assert all(len(line["documents"]) == 1 for line in watched.lines())


def test_a_query_within_a_query_is_counted_once(watched: Watched) -> None:
    @ragwatch.query
    def inner(question: str) -> str:
        return question

    @ragwatch.query
    def outer(question: str) -> str:
        return inner(question)

    outer("q")
    assert ragwatch.metrics().query_count == 1
    assert len(watched.lines()) == 1
    assert len(watched.spans()) == 2


def test_a_step_without_a_query_is_a_step_and_no_query(watched: Watched) -> None:
    with ragwatch.ingest("nightly"):
        pass
    metrics = ragwatch.metrics()
    assert metrics.query_count == 0
    assert metrics.steps["ingest"]["count"] == 1
    assert watched.attributes("ingest")["rag.step"] == "ingest"


def test_a_step_that_ends_after_its_query_is_counted_all_the_same(watched: Watched) -> None:
    late = ragwatch.tool("late")
    with ragwatch.query("q"):
        context = contextvars.copy_context()
        step = context.run(late.__enter__)
    assert ragwatch.metrics().query_count == 1
    step.end()
    metrics = ragwatch.metrics()
    assert metrics.steps["tool"]["count"] == 1
    assert watched.span("tool").parent_span_id == watched.span("query").span_id


def test_other_instrumentors_spans_nest_where_they_are(watched: Watched) -> None:
    tracer = trace.get_tracer("some.library")
    with ragwatch.query("q"), tracer.start_as_current_span("http") as http, ragwatch.retrieve() as step:
        assert step.parent_span_id == http.get_span_context().span_id
        with tracer.start_as_current_span("sql"):
            pass
    by_name = {span.name: span for span in watched.spans()}
    assert by_name["http"].parent_span_id == by_name["query"].span_id
    assert by_name["sql"].parent_span_id == by_name["retrieve"].span_id
    assert len({span.trace_id for span in by_name.values()}) == 1


def test_a_step_below_somebody_elses_span_belongs_to_its_trace(watched: Watched) -> None:
    with trace.get_tracer("web").start_as_current_span("GET /ask") as request, ragwatch.query("q"):
        pass
    assert watched.span("query").parent_span_id == request.get_span_context().span_id.to_bytes(8)
    assert ragwatch.metrics().query_count == 1


def test_parallel_with_blocks_of_one_option_set(watched: Watched) -> None:
    use = ragwatch.retrieve(source="kb")

    @use
    def search() -> list[str]:
        return ["a"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: search(), range(64)))
    assert len(watched.spans()) == 64
    assert ragwatch.metrics().steps["retrieve"]["count"] == 64
