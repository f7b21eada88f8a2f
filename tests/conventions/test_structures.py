"""How runs are shaped in other frameworks and programs: which spans are queries, and which of their steps are one."""

from __future__ import annotations

import pytest

from tests.support.captures import assembled, counted
from tests.support.foreign import (
    CLIENT,
    CONSUMER,
    LOCAL,
    PRODUCER,
    REMOTE,
    SERVER,
    Spun,
    chat,
    kinds,
    llm,
    made,
    oi,
    retriever,
    search,
    spans_of,
    spun,
)  # fmt: skip

GONE = b"\x07" * 8


def test_a_graph_with_a_tool_loop_is_one_query_with_every_model_call() -> None:
    loop = (
        oi("CHAIN", "agent", oi("CHAIN", "call_model", llm())),
        oi("CHAIN", "tools", oi("TOOL", "search_docs", retriever())),
    )
    told = made(oi("CHAIN", "LangGraph", *loop, oi("CHAIN", "should_continue"), *loop, oi("CHAIN", "agent", llm())))
    assert kinds(told) == [["generate", "tool", "retrieve", "generate", "tool", "retrieve", "generate"]]
    assert sum(step.input_tokens or 0 for step in told.queries[0].steps) == 360


def test_nested_agents_are_one_query_and_their_sums_of_tokens_are_no_calls() -> None:
    inner = oi("AGENT", "researcher", llm(), llm(), llm__token_count__prompt=240)
    told = made(oi("AGENT", "manager", llm(), oi("TOOL", "ask_researcher", inner), llm(), llm__token_count__prompt=480))
    assert kinds(told) == [["generate", "tool", "generate", "generate", "generate"]]
    found = counted(told.queries, told.loose)["tokens"]["generate"]
    assert found["input"] == 480


def test_crews_of_tasks_and_agents_are_one_query() -> None:
    task = oi("AGENT", "Task._execute_core", llm(), oi("TOOL", "ToolUsage._use"), llm())
    assert kinds(made(oi("CHAIN", "Crew.kickoff", task, task))) == [["generate", "tool", "generate"] * 2]


def test_genai_agents_and_workflows_are_one_query() -> None:
    agent = spun(
        "invoke_agent docs",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 999},
        chat(),
        spun("execute_tool search", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}),
        chat(),
    )
    told = made(spun("invoke_workflow w", {"gen_ai.operation.name": "invoke_workflow"}, agent, agent))
    assert kinds(told) == [["generate", "tool", "generate"] * 2]
    assert counted(told.queries, told.loose)["tokens"]["generate"]["input"] == 480


@pytest.mark.parametrize(
    "run",
    [
        oi("CHAIN", "RunnableSequence", retriever(), llm()),
        spun("rag.answer", {}, search(), chat()),
        spun("qa.workflow", {"traceloop.span.kind": "workflow", "traceloop.entity.name": "qa"}, search(), chat()),
    ],
    ids=["chain", "hand-made", "workflow"],
)
def test_a_web_framework_in_front_makes_no_second_query(run: object) -> None:
    told = made(spun("GET /ask", {"http.request.method": "GET"}, run, spun("http send", {}), kind=SERVER))
    assert kinds(told) == [["retrieve", "generate"]]


def test_a_request_without_a_span_of_the_app_is_the_query() -> None:
    told = made(spun("POST /chat", {"http.route": "/chat"}, search(), chat(), kind=SERVER))
    assert kinds(told) == [["retrieve", "generate"]]
    assert told.queries[0].name == "POST /chat"


def test_requests_that_ask_nothing_are_nothing() -> None:
    told = made(
        spun("GET /healthz", {}, spun("SELECT 1", {"db.system": "postgresql"}, kind=CLIENT), kind=SERVER),
        spun("GET /docs", {}, spun("GET", {"http.method": "GET"}, kind=CLIENT), kind=SERVER),
    )
    assert (told.queries, told.loose) == ([], [])


def test_a_request_that_asks_twice_is_one_query() -> None:
    rewrite = oi("CHAIN", "rewrite", llm())
    answer = oi("CHAIN", "answer", retriever(), llm())
    assert kinds(made(spun("POST /ask", {}, rewrite, answer, kind=SERVER))) == [["generate", "retrieve", "generate"]]


def test_a_job_around_many_questions_is_many_queries() -> None:
    by_hand = [spun("ask", {"q": at}, search(), chat()) for at in range(3)]
    assert kinds(made(spun("evaluate", {}, *by_hand))) == [["retrieve", "generate"]] * 3
    chains = [oi("CHAIN", "rag_chain", retriever(), llm()) for _ in range(3)]
    assert kinds(made(spun("nightly", {}, spun("loop", {}, *chains)))) == [["retrieve", "generate"]] * 3
    batch = spun("POST /batch", {}, *by_hand, kind=SERVER)
    assert kinds(made(batch)) == [["retrieve", "generate"]] * 3


def test_the_parts_of_one_answer_are_one_query() -> None:
    mapped = [spun("summarise_chunk", {}, chat()) for _ in range(3)]
    told = made(spun("answer_question", {}, spun("find", {}, search()), *mapped, spun("combine", {}, chat())))
    assert kinds(told) == [["retrieve", "generate", "generate", "generate", "generate"]]
    parts = [oi("CHAIN", "RunnableSequence", retriever(), llm()) for _ in range(2)]
    assert kinds(made(spun("rag.query", {}, *parts))) == [["retrieve", "generate"] * 2]


def test_several_queries_in_one_trace_are_several() -> None:
    trees = [oi("CHAIN", "rag_chain", retriever(), llm()) for _ in range(3)]
    assert kinds(made(*trees, trace=77)) == [["retrieve", "generate"]] * 3


def test_one_query_over_two_services_is_one() -> None:
    search_service = spun("POST /search", {}, search(), kind=SERVER, flags=REMOTE, service="search")
    call = spun("POST", {"http.request.method": "POST"}, search_service, kind=CLIENT)
    told = made(spun("POST /ask", {}, call, chat(), kind=SERVER))
    assert kinds(told) == [["retrieve", "generate"]]
    assert told.queries[0].service == "bot"


@pytest.mark.parametrize("flags", [REMOTE, 0], ids=["flags", "no flags"])
def test_a_service_whose_caller_reports_elsewhere_has_queries_of_its_own(flags: int) -> None:
    told = made(spun("POST /ask", {}, search(), chat(), kind=SERVER, flags=flags, parent_id=GONE))
    assert kinds(told) == [["retrieve", "generate"]]
    assert told.queries[0].outcome == "ok"


def test_a_message_that_is_worked_on_elsewhere_is_a_query_there() -> None:
    consumer = spun("questions process", {"messaging.system": "kafka"}, search(), chat(), kind=CONSUMER)
    producer = spun("questions send", {"messaging.system": "kafka"}, kind=PRODUCER)
    assert kinds(made(producer, consumer)) == [["retrieve", "generate"]]


def test_a_run_that_never_came_is_incomplete_once() -> None:
    pieces = [
        oi("CHAIN", "RunnableParallel", retriever()),
        llm(),
    ]
    for piece in pieces:
        piece.parent_id = GONE
    told = made(*pieces, trace=5)
    assert [record.outcome for record in told.queries] == ["incomplete"]
    assert kinds(told) == [["retrieve", "generate"]]
    assert told.tallies["incomplete", "no_root"] == 1
    steps = [oi("CHAIN", f"Step {at}", llm(), oi("TOOL", "t")) for at in (1, 2, 3)]
    for step in steps:
        step.parent_id = GONE
    told = made(*steps, trace=6)
    assert [record.outcome for record in told.queries] == ["incomplete"]


def test_runs_below_a_leaked_context_are_queries_of_their_own() -> None:
    runs = [
        spun("q.workflow", {"traceloop.span.kind": "workflow", "traceloop.entity.name": "q"}, search(), chat())
        for _ in range(3)
    ]
    for run in runs:
        run.parent_id, run.flags = GONE, LOCAL
    told = made(*runs, trace=8)
    assert [record.outcome for record in told.queries] == ["ok"] * 3


def test_a_run_that_fails_before_it_retrieves_is_a_failed_query() -> None:
    told = made(
        spun(
            "invoke_agent docs", {"gen_ai.operation.name": "invoke_agent", "error.type": "ConnectionError"},
            error="ConnectionError: refused",
        ),
        spun("rag.query", {}, spun("embeddings m", {"gen_ai.operation.name": "embeddings"}, error="Timeout: slow"),
             error="Timeout: slow"),
        spun("import.job", {}, spun("embeddings m", {"gen_ai.operation.name": "embeddings"}, error="Timeout: slow"),
             error="Timeout: slow"),
    )  # fmt: skip
    assert [(record.outcome, record.error_class) for record in told.queries] == [
        ("error", "connection"),
        ("error", "timeout"),
    ]


def test_an_ingestion_is_one_step_however_much_it_embeds_and_writes() -> None:
    write = spun("qdrant.upsert", {"db.system": "qdrant", "db.operation": "upsert"}, kind=CLIENT)
    embed = spun("embeddings m", {"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 7})
    told = made(
        spun("nightly.index", {}, embed, write, embed, write),
        spun("POST /documents", {}, embed, write, kind=SERVER),
        spun("ingest_with_summaries", {}, chat(), embed, write),
    )
    assert told.queries == []
    assert sum(step.step == "ingest" for step in told.loose) == 3


def test_a_framework_and_its_store_are_one_retrieval() -> None:
    found = spun("x", {}, kind=CLIENT)
    found = search(
        "chroma",
        db__chroma__query__n_results=2,
    )
    found.events = [
        ("db.query.result", 1, {"db.query.result.id": "a", "db.query.result.distance": 0.1}),
        ("db.query.result", 1, {"db.query.result.id": "b", "db.query.result.distance": 0.4}),
    ]
    outer = retriever(("a", "b"), name="VectorStoreRetriever")
    embed = spun("openai.embeddings", {"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 7})
    outer.below = (embed, found)
    told = made(oi("CHAIN", "rag", outer, llm()))
    assert kinds(told) == [["retrieve", "embed", "generate"]]
    retrieve = told.queries[0].steps[0]
    assert [(document.id, document.score, document.distance) for document in retrieve.documents or ()] == [
        ("a", None, 0.1),
        ("b", None, 0.4),
    ]
    assert retrieve.top_k == 3


def test_a_client_that_tries_again_is_one_call_with_its_attempts() -> None:
    failed = chat(error__type="RateLimitError")
    failed.error = "RateLimitError: 429"
    outer = llm(tokens=None)
    outer.below = (failed, chat())
    told = made(oi("CHAIN", "rag", retriever(), outer))
    assert kinds(told) == [["retrieve", "generate"]]
    call = told.queries[0].steps[1]
    assert (call.outcome, call.attempts, call.input_tokens) == ("ok", 2, 120)


def test_a_model_inside_a_tool_or_a_guardrail_is_a_call_of_its_own() -> None:
    told = made(oi("AGENT", "a", oi("GUARDRAIL", "g", llm()), llm(), oi("TOOL", "t", llm()), llm()))
    assert kinds(told) == [["guardrail", "generate", "generate", "tool", "generate", "generate"]]


def test_a_tool_over_mcp_is_one_step_in_two_processes() -> None:
    server = spun(
        "tools/call search", {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool"}, search(),
        kind=SERVER, flags=REMOTE, service="tools",
    )  # fmt: skip
    client = spun(
        "tools/call search",
        {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool"},
        server,
        kind=CLIENT,
    )
    told = made(oi("AGENT", "a", llm(), client, llm()))
    assert kinds(told) == [["generate", "tool", "retrieve", "generate"]]


def test_a_tool_or_a_model_alone_is_no_query() -> None:
    told = made(oi("TOOL", "search_docs", retriever()), llm(), chat(), retriever())
    assert told.queries == []
    assert sorted(step.step for step in told.loose) == ["generate", "generate", "retrieve", "retrieve", "tool"]


def test_a_judge_of_answers_asks_nothing() -> None:
    told = made(oi("EVALUATOR", "hallucination", llm()), spun("eval.run", {}, oi("EVALUATOR", "relevance", llm())))
    assert told.queries == []
    assert [step.step for step in told.loose] == ["generate", "generate"]


def test_a_workflow_that_the_app_named_is_a_query_and_a_component_called_by_itself_is_none() -> None:
    def workflow(name: str, *below: Spun) -> Spun:
        return spun(f"{name}.workflow", {"traceloop.span.kind": "workflow", "traceloop.entity.name": name}, *below)

    told = made(
        workflow("semantic_search", search("chroma")),
        workflow("VectorIndexRetriever", search("chroma")),
        workflow("OpenAIEmbedding"),
    )
    assert [record.name for record in told.queries] == ["semantic_search.workflow"]
    assert [step.step for step in told.loose] == ["retrieve", "embed"]


def test_dspy_modules_are_one_query() -> None:
    predict = oi(
        "CHAIN", "ChainOfThought.forward", oi("CHAIN", "ChatAdapter.__call__", llm("LM.__call__", tokens=None))
    )
    told = made(oi("CHAIN", "RAG.forward", retriever(name="Retrieve.forward"), predict))
    assert kinds(told) == [["retrieve", "generate"]]
    assert told.queries[0].steps[1].input_tokens is None


def test_haystack_pipelines_sync_and_async_inside_a_request() -> None:
    def component(kind: str, output: str = "{}", **more: object) -> object:
        held = {"haystack.component.type": kind, "haystack.component.output": output}
        return spun("haystack.component.run", held, scope="haystack", **more)

    for name in ("haystack.pipeline.run", "haystack.async_pipeline.run"):
        run = spun(
            name, {},
            component("InMemoryBM25Retriever", '{"documents": [{"id": "a", "score": 1.5}]}'),
            component("PromptBuilder"),
            component("OpenAIChatGenerator", '{"replies": [{"meta": {"model": "m", "usage": {"prompt_tokens": 3}}}]}'),
            scope="haystack",
        )  # fmt: skip
        told = made(spun("POST /query", {}, run, kind=SERVER))
        assert kinds(told) == [["retrieve", "generate"]]
        retrieve, generate = told.queries[0].steps
        assert [document.id for document in retrieve.documents or ()] == ["a"]
        assert (generate.input_tokens, generate.response_model) == (3, "m")


def test_the_deepest_failing_step_is_the_cause() -> None:
    told = made(
        oi("AGENT", "a", llm(), oi("TOOL", "t", oi("RETRIEVER", "r", error="ConnectionError: down"),
                                   error="ToolError: down"), error="RuntimeError: tool failed")
    )  # fmt: skip
    record = told.queries[0]
    assert (record.outcome, record.cause_step, record.error_class) == ("error", "retrieve", "connection")


def test_a_long_trace_with_a_remote_part_waits_for_its_root() -> None:
    """The service that was called ends long before its caller does."""
    from collections import Counter

    from ragwatch.assembly.assembler import Assembler, Events

    inner = spun("POST /search", {}, search(), kind=SERVER, flags=REMOTE, service="search")
    spans = spans_of(spun("POST /ask", {}, spun("POST", {}, inner, kind=CLIENT), chat(), kind=SERVER))
    queries: list[object] = []
    tallies: Counter[str] = Counter()
    events = Events(queries.append, lambda *_: None, lambda metric, _: tallies.update([metric]))
    assembler = Assembler(events, linger_s=1, foreign_linger_s=6, incomplete_after_s=300, max_spans=1000)
    of_search = [came for came in spans if came.origin.service == "search"]
    rest = [came for came in spans if came.origin.service != "search"]
    for came in of_search:
        assembler.add(came.raw, came.origin, 1, 0.0, came.scope)
    assembler.release(20.0)
    assert queries == []
    for came in rest:
        assembler.add(came.raw, came.origin, 2, 25.0, came.scope)
    assembler.release(40.0)
    assert len(queries) == 1
    assert not tallies


def test_a_service_whose_callers_never_report_soon_waits_no_longer() -> None:
    from ragwatch.assembly.assembler import Assembler, Events

    queries: list[object] = []
    events = Events(queries.append, lambda *_: None, lambda *_: None)
    assembler = Assembler(events, linger_s=1, foreign_linger_s=6, incomplete_after_s=100, max_spans=1000)

    def one(now: float) -> None:
        for came in spans_of(spun("POST /ask", {}, search(), chat(), kind=SERVER, flags=REMOTE, parent_id=GONE)):
            assembler.add(came.raw, came.origin, 1, now, came.scope)

    one(0.0)
    assembler.release(50.0)
    assert queries == []
    assembler.release(101.0)
    assert len(queries) == 1
    one(200.0)
    assembler.release(207.0)
    assert len(queries) == 2


def test_unknown_and_transport_spans_alone_are_nothing() -> None:
    told = assembled(spans_of(spun("work", {}, spun("GET", {"http.method": "GET"}, kind=CLIENT)), spun("tick")))
    assert (told.queries, told.loose) == ([], [])
    assert not told.tallies


def run(name: str, *below: Spun, error: str | None = None) -> Spun:
    """A run by OpenLLMetry."""
    return Spun(f"{name}.workflow", {"traceloop.span.kind": "workflow"}, below, scope="llmetry", error=error)


def test_a_run_that_begins_after_the_run_around_it_ended_is_a_query_of_its_own() -> None:
    spans = spans_of(run("chain", retriever(), llm(), run("chain", retriever(), llm())))
    outer = spans[0].raw
    late = next(came.raw for came in spans[1:] if came.raw.name == outer.name)
    spans[0] = spans[0]._replace(raw=outer._replace(end_ns=late.start_ns))
    assert kinds(assembled(spans)) == [["retrieve", "generate"]] * 2


def test_a_run_within_a_run_is_a_part_of_it() -> None:
    assert kinds(made(run("outer", run("inner", retriever(), llm()), llm()))) == [["retrieve", "generate", "generate"]]
    assert kinds(made(run("chain", run("chain", retriever(), llm()), llm()))) == [["retrieve", "generate", "generate"]]


def test_a_run_whose_last_run_failed_has_failed_unless_somebody_answered() -> None:
    failing = run("agent", llm(error="RateLimitError: slow"), error="RateLimitError: slow")
    (record,) = made(run("whole", failing)).queries
    assert (record.outcome, record.error_class) == ("error", "rate_limited")
    (record,) = made(run("whole", failing, llm())).queries
    assert record.outcome == "ok"
