"""Conventions that no recording covers, and turns of those that some do: written by hand, after their sources."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ragwatch.record import Step
from tests.support.captures import assembled
from tests.support.foreign import (
    CLIENT,
    SERVER,
    Spun,
    chat,
    dotted,
    kinds,
    llm,
    made,
    oi,
    retriever,
    search,
    spans_of,
    spun,
)  # fmt: skip

USAGE = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}


def vercel(operation: str, *below: Spun, error: str | None = None, **attributes: Any) -> Spun:
    held = {
        "operation.name": f"{operation} my-function",
        "ai.operationId": operation,
        "ai.model.id": "gpt-4o",
        "ai.model.provider": "openai.chat",
        "ai.telemetry.metadata.sessionId": "s-1",
        "ai.telemetry.metadata.userId": "u-1",
        **attributes,
    }
    return Spun(operation, held, below, scope="ai", error=error)


def do_generate(identity: str = "r-1", **more: Any) -> Spun:
    return vercel(
        "ai.generateText.doGenerate",
        **{"gen_ai.system": "openai.chat", "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024",
           "gen_ai.response.id": identity, "ai.usage.promptTokens": 10, "ai.usage.completionTokens": 5, **USAGE},
        **more,
    )  # fmt: skip


def test_vercels_sdk_below_a_request_is_one_query_of_embedding_search_and_stream() -> None:
    embedding = vercel("ai.embed", vercel("ai.embed.doEmbed", **{"ai.usage.tokens": 4}), **{"ai.usage.tokens": 4})
    stream = vercel(
        "ai.streamText",
        vercel(
            "ai.streamText.doStream",
            **{"ai.response.msToFirstChunk": 123.0, "ai.usage.cachedInputTokens": 3, "ai.usage.reasoningTokens": 2,
               **USAGE},
        ),
        **{"ai.usage.inputTokens": 10, "ai.usage.outputTokens": 5, "ai.prompt": json.dumps({"prompt": "Why?"}),
           "ai.response.text": "So."},
    )  # fmt: skip
    told = made(spun("POST /api/chat", {"http.method": "POST"}, embedding, search(), stream, kind=SERVER))
    (record,) = told.queries
    assert [step.step for step in record.steps] == ["embed", "retrieve", "generate"]
    embed, _, answer = record.steps
    assert embed.input_tokens == 4
    assert (answer.model, answer.provider, answer.input_tokens, answer.output_tokens) == ("gpt-4o", "openai", 10, 5)
    assert (answer.cached_tokens, answer.reasoning_tokens, answer.first_chunk_s) == (3, 2, 0.123)
    assert record.session == "s-1"
    assert record.user is not None
    assert told.loose == []


def test_each_round_of_vercels_tools_is_a_model_call() -> None:
    tool = Spun("ai.toolCall", {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "search"}, scope="ai")
    whole = vercel(
        "ai.generateText", do_generate(), tool, do_generate("r-2"),
        **{"ai.usage.promptTokens": 20, "ai.usage.completionTokens": 10, "ai.prompt": '{"prompt": "Why?"}',
           "ai.response.text": "So."},
    )  # fmt: skip
    (record,) = made(whole).queries
    assert [step.step for step in record.steps] == ["generate", "tool", "generate"]
    assert sum(step.input_tokens or 0 for step in record.steps) == 20
    assert record.steps[0].response_model == "gpt-4o-2024"
    assert (record.question_length, record.answer_length) == (4, 3)


def test_vercels_batch_of_embeddings_is_one_step() -> None:
    parts = [vercel("ai.embedMany.doEmbed", **{"ai.usage.tokens": tokens}) for tokens in (4, 5)]
    (step,) = made(vercel("ai.embedMany", *parts, **{"ai.usage.tokens": 9})).loose
    assert (step.step, step.input_tokens) == ("embed", 9)


def test_a_failure_in_javascript_has_the_class_that_its_words_say() -> None:
    failed = do_generate(error="AI_APICallError: Rate limit reached for requests")
    (record,) = made(vercel("ai.generateText", failed, error="AI_RetryError: Failed after 1 attempt")).queries
    assert (record.outcome, record.cause_step, record.error_class) == ("error", "generate", "rate_limited")


def spring(kind: str, name: str, *below: Spun, **attributes: Any) -> Spun:
    held = {"gen_ai.operation.name": "framework", "gen_ai.system": "spring_ai", "spring.ai.kind": kind, **attributes}
    return Spun(name, held, below, scope="org.springframework.boot")


def micrometer(operation: str, model: str, **attributes: str) -> Spun:
    """Micrometer's values are all texts."""
    held = {"gen_ai.operation.name": operation, "gen_ai.system": "openai", "gen_ai.request.model": model,
            "gen_ai.response.model": "none", "error": "none", **attributes}  # fmt: skip
    return Spun(f"{operation} {model}", held, scope="org.springframework.boot")


def spring_store(operation: str, system: str, *below: Spun, **attributes: str) -> Spun:
    held = {"db.operation.name": operation, "db.system": system, "spring.ai.kind": "vector_store", **attributes}
    return Spun(f"{system} {operation}", held, below, scope="org.springframework.boot")


def test_spring_ais_chat_client_with_an_advisor_that_retrieves_is_one_query() -> None:
    embedding = micrometer("embedding", "text-embedding-3-small", **{"gen_ai.usage.input_tokens": "4"})
    found = spring_store(
        "query", "pg_vector", embedding,
        **{"db.collection.name": "kb", "db.vector.query.top_k": "4", "db.vector.query.similarity_threshold": "0.5",
           "db.vector.query.response.documents": '["one text", "two texts"]'},
    )  # fmt: skip
    usage = {"gen_ai.usage.input_tokens": "42", "gen_ai.usage.output_tokens": "7"}
    advisor = spring("advisor", "question_answer", found, spring("advisor", "call", micrometer("chat", "m", **usage)))
    client = spring(
        "chat_client", "spring_ai chat_client", advisor,
        **{"spring.ai.chat.client.conversation.id": "default", "spring.ai.chat.client.user.text": "Why?"},
    )  # fmt: skip
    (record,) = made(spun("http get /ask", {"http.url": "/ask"}, client, kind=SERVER)).queries
    assert [step.step for step in record.steps] == ["retrieve", "embed", "generate"]
    retrieve, embed, answer = record.steps
    assert (retrieve.top_k, retrieve.score_threshold, retrieve.document_count) == (4, 0.5, 2)
    assert retrieve.data_source == "kb"
    assert [document.id_from for document in retrieve.documents or ()] == ["content_hash"] * 2
    assert embed.input_tokens == 4
    assert (answer.model, answer.response_model, answer.provider) == ("m", None, "openai")
    assert (answer.input_tokens, answer.output_tokens) == (42, 7)
    assert record.session is None  # "default" is nobody's conversation
    assert record.question_length == 4


def test_spring_ais_tools_are_tools_and_its_simple_store_is_one() -> None:
    tool = spring("tool_call", "tool_call weather", **{"spring.ai.tool.definition.name": "weather"})
    told = made(spring("chat_client", "spring_ai chat_client", micrometer("chat", "m"), tool, micrometer("chat", "m")))
    assert kinds(told) == [["generate", "tool", "generate"]]
    told = made(spun("load documents", {}, spring_store("add", "simple", micrometer("embedding", "e"))))
    assert sorted(step.step for step in told.loose) == ["embed", "ingest"]
    (found,) = [step for record in made(
        spun("rag.ask", {}, spring_store("query", "simple"), micrometer("chat", "m"))
    ).queries for step in record.steps if step.step == "retrieve"]  # fmt: skip
    assert found.outcome == "ok"


def test_langsmiths_retriever_is_one_though_its_operation_says_embeddings() -> None:
    documents = {"documents": [{"kwargs": {"id": "doc-1", "page_content": "text"}}, {"id": "doc-2"}]}
    retrieve = spun("Docs", {"langsmith.span.kind": "retriever", "gen_ai.operation.name": "embeddings",
                             "gen_ai.completion": json.dumps(documents)}, scope="langsmith")  # fmt: skip
    prompt = spun("Prompt", {"langsmith.span.kind": "prompt", "gen_ai.operation.name": "chat"}, scope="langsmith")
    model = spun(
        "ChatOpenAI",
        {"langsmith.span.kind": "llm", "gen_ai.operation.name": "chat", "gen_ai.system": "openai",
         "gen_ai.request.model": "m", "gen_ai.usage.input_token_details": '{"cache_read": 3}',
         "gen_ai.usage.output_token_details": '{"reasoning": 2}', **USAGE},
        scope="langsmith",
    )  # fmt: skip
    root = {"langsmith.span.kind": "chain", "gen_ai.operation.name": "chain", "langsmith.metadata.thread_id": "t-1"}
    (record,) = made(spun("RunnableSequence", root, retrieve, prompt, model, scope="langsmith")).queries
    assert [step.step for step in record.steps] == ["retrieve", "generate"]
    found, answer = record.steps
    assert [document.id for document in found.documents or ()] == ["doc-1", "doc-2"]
    assert (answer.cached_tokens, answer.reasoning_tokens) == (3, 2)
    assert record.session == "t-1"


def test_a_langsmith_run_with_an_exception_failed_whatever_its_status_says() -> None:
    said = {"exception.type": "Exception", "exception.message": "ConnectionError('store down')Traceback (most recent"}
    held = {"langsmith.span.kind": "retriever", "gen_ai.operation.name": "embeddings"}
    failed = Spun("Docs", held, scope="langsmith", events=[("exception", 2, said)])
    tree = spun("Chain", {"langsmith.span.kind": "chain"}, failed, llm(), scope="langsmith")
    (record,) = made(tree).queries
    assert (record.steps[0].outcome, record.steps[0].error_class) == ("error", "connection")


def only(tree: Spun) -> Step:
    (record,) = made(spun("rag.ask", {}, tree)).queries
    return next(step for step in record.steps if step.step == "generate")


def test_an_error_that_only_its_type_or_its_last_event_tells_is_one() -> None:
    assert only(chat(error__type="429")).error_class == "rate_limited"
    assert only(chat(error__type="none")).outcome == "ok"
    raised = {"exception.type": "openai.APITimeoutError", "exception.message": "Request timed out."}
    ended = chat()
    ended.events = [("exception", 10, raised)]
    assert (only(ended).outcome, only(ended).error_class) == ("error", "timeout")
    caught = chat()
    caught.events = [("exception", 2, raised)]
    assert only(caught).outcome == "ok"


def post(status: int, **more: Any) -> Spun:
    return spun("POST", {"http.request.method": "POST", "http.response.status_code": status}, kind=CLIENT, **more)


def test_requests_that_failed_before_the_last_one_are_attempts_of_one_call() -> None:
    assert only(chat("m", post(429), post(500), post(200))).attempts == 3
    assert only(chat("m", post(200))).attempts is None
    assert only(chat("m", post(200), post(200))).attempts is None
    failed = chat("m", post(429), post(429))
    failed.error = "RateLimitError: 429"
    assert only(failed).attempts == 2


def test_requests_that_nobody_would_try_again_are_no_attempts() -> None:
    assert only(chat("m", post(404), post(404), post(200))).attempts is None, "asked until it is there"
    assert only(chat("m", post(401), post(200))).attempts is None
    one, other = post(500), post(200)
    one.attributes["server.address"], other.attributes["server.address"] = "login", "models"
    assert only(chat("m", one, other)).attempts is None


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("gen_ai.retrieval.documents", json.dumps([{"id": "a", "score": 0.4}])),
        ("gen_ai.retrieval.documents", [json.dumps({"id": "a", "score": 0.4})]),
        ("gen_ai.retrieval.documents", ({"id": "a", "score": 0.4},)),
        ("retrieval.documents", json.dumps([{"document.id": "a", "document.score": 0.4}])),
        ("retrieval.documents", json.dumps([{"document": {"id": "a", "score": 0.4, "content": "text"}}])),
        ("retrieval.documents", [json.dumps({"document.id": "a", "document.score": 0.4})]),
    ],
)
def test_documents_as_one_value_of_any_shape(attribute: str, value: object) -> None:
    (record,) = made(oi("CHAIN", "ask", oi("RETRIEVER", "docs", **{attribute: value}), llm())).queries
    found = record.steps[0]
    assert found.document_count == 1
    assert [(document.id, document.score) for document in found.documents or ()] == [("a", 0.4)]


def test_what_lost_its_parent_within_the_one_run_of_its_trace_is_a_part_of_it() -> None:
    run = {"gen_ai.operation.name": "invoke_agent", "gen_ai.system": "strands-agents"}
    cycle = spun("Cycle", {}, chat(error__type="429"), scope="strands")
    tree = spun("invoke_agent bot", run, cycle, scope="strands", error="RateLimitError: 429")
    told = assembled([came for came in spans_of(tree) if came.raw.name != "Cycle"])
    (record,) = told.queries
    assert (record.outcome, record.cause_step, record.error_class) == ("error", "generate", "rate_limited")
    assert told.loose == []


def test_a_framework_is_no_provider() -> None:
    assert only(chat(gen_ai__provider__name="strands-agents")).provider is None
    assert only(chat(gen_ai__provider__name="openai")).provider == "openai"


def test_parallel_tools_of_an_agent_that_retrieve_are_steps_of_one_query() -> None:
    def tool(name: str) -> Spun:
        held = dotted({"gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": name})
        return spun(f"execute_tool {name}", held, search())

    agent = spun("invoke_agent bot", {"gen_ai.operation.name": "invoke_agent"}, chat(), tool("a"), tool("b"), chat())
    assert kinds(made(agent)) == [["generate", "tool", "retrieve", "tool", "retrieve", "generate"]]


def test_a_retriever_of_many_questions_is_one_retrieval() -> None:
    many = oi("RETRIEVER", "MultiQueryRetriever", oi("CHAIN", "LLMChain", llm()), retriever(), retriever(("c",)))
    assert kinds(made(oi("CHAIN", "RetrievalQA", many, llm()))) == [["retrieve", "generate", "generate"]]


@pytest.mark.parametrize(
    ("name", "attributes", "step"),
    [
        ("SearchClient.search", {"az.namespace": "Microsoft.Search"}, "retrieve"),
        ("SearchClient.upload_documents", {"az.namespace": "Microsoft.Search"}, "ingest"),
        ("Runtime.Retrieve", {"rpc.service": "Bedrock Agent Runtime", "rpc.method": "Retrieve"}, "retrieve"),
        ("kendra.Query", {"rpc.service": "kendra", "rpc.method": "Query"}, "retrieve"),
        ("/qdrant.Points/Search", {"rpc.service": "qdrant.Points", "rpc.method": "Search"}, "retrieve"),
        ("/VectorService/Upsert", {"rpc.service": "VectorService", "rpc.method": "Upsert"}, "ingest"),
        ("/weaviate.v1.Weaviate/Search", {"rpc.service": "weaviate.v1.Weaviate", "rpc.method": "Search"}, "retrieve"),
        ("x", {"rpc.service": "milvus.proto.milvus.MilvusService", "rpc.method": "HybridSearch"}, "retrieve"),
        ("x", {"rpc.service": "google.cloud.discoveryengine.v1.SearchService", "rpc.method": "Search"}, "retrieve"),
        ("S3.GetObject", {"rpc.service": "S3", "rpc.method": "GetObject"}, None),
        ("orders.Search", {"rpc.service": "shop.Orders", "rpc.method": "Search"}, None),
        ("KeyVault.get", {"az.namespace": "Microsoft.KeyVault"}, None),
    ],
)  # fmt: skip
def test_stores_that_are_called_from_afar(name: str, attributes: dict[str, Any], step: str | None) -> None:
    (record,) = made(spun("rag.ask", {}, spun(name, attributes, kind=CLIENT), chat())).queries
    assert [found.step for found in record.steps] == [*([step] if step else []), "generate"]


def test_a_service_of_the_apps_own_that_is_named_like_a_stores_is_no_retrieval() -> None:
    served = {"rpc.system": "grpc", "rpc.service": "shop.VectorService", "rpc.method": "Query"}
    told = made(spun("shop.VectorService/Query", served, search(), chat(), kind=SERVER))
    assert kinds(told) == [["retrieve", "generate"]]
    assert told.loose == []


def llama(name: str, *below: Spun, events: list[tuple[str, int, dict[str, Any]]] | None = None) -> Spun:
    return Spun(name, {}, below, scope="llamaindex.opentelemetry.tracer", events=events or [])


def test_llama_indexs_own_tracing_says_all_in_names_and_events() -> None:
    raw = {"id": "chatcmpl-1", "model": "gpt-4o-2024", "usage": {"prompt_tokens": 10, "completion_tokens": 5,
           "prompt_tokens_details": {"cached_tokens": 3}}}  # fmt: skip
    nodes = json.dumps([{"node": {"id_": "node-1", "text": "x"}, "score": 0.5}])
    model = llama(
        "OpenAI.achat", llama("OpenAI._achat"),
        events=[("LLMChatStartEvent", 1, {"model_dict.model": "gpt-4o"}),
                ("LLMChatEndEvent", 5, {"response.raw": json.dumps(raw)})],
    )  # fmt: skip
    found = llama(
        "VectorIndexRetriever.aretrieve",
        llama("VectorIndexRetriever._aretrieve", llama("OpenAIEmbedding.aget_query_embedding")),
        events=[("RetrievalEndEvent", 5, {"nodes": nodes})],
    )
    tree = llama(
        "RetrieverQueryEngine.aquery",
        llama("RetrieverQueryEngine._aquery", found, llama("LLMRerank.postprocess_nodes"),
              llama("CompactAndRefine.asynthesize", model)),
        events=[("QueryStartEvent", 1, {"query": "Why?"}), ("QueryEndEvent", 9, {"response.response": "So."})],
    )  # fmt: skip
    told = made(tree)
    assert kinds(told) == [["retrieve", "embed", "rerank", "generate"]]
    (record,) = told.queries
    answer = record.steps[-1]
    assert (answer.model, answer.response_model, answer.response_id) == ("gpt-4o", "gpt-4o-2024", "chatcmpl-1")
    assert (answer.input_tokens, answer.output_tokens, answer.cached_tokens) == (10, 5, 3)
    assert [(document.id, document.score) for document in record.steps[0].documents or ()] == [("node-1", 0.5)]
    assert (record.question_length, record.answer_length) == (4, 3)
    engine = llama("ContextChatEngine.chat", llama("ContextChatEngine._run_c3", found, model))
    assert kinds(made(engine)) == [["retrieve", "embed", "generate"]]
