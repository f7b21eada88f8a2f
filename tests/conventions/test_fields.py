"""Where fields stand in old and new names, and what is no field: fillers, redaction, malformed and huge values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ragwatch.conventions import shapes
from ragwatch.record import Step
from tests.support.foreign import CLIENT, Spun, chat, llm, made, oi, retriever, search, spun


def only(tree: Spun) -> Step:
    """The one step of a tree that is no query."""
    told = made(tree)
    assert told.queries == []
    (step,) = told.loose
    return step


def client(name: str, scope: str = "opentelemetry.instrumentation.openai", **more: Any) -> Spun:
    return spun(name, more.pop("attributes"), kind=CLIENT, scope=scope, **more)


def test_the_names_of_2024_are_read_like_todays() -> None:
    old = {
        "llm.request.type": "chat",
        "gen_ai.system": "OpenAI",
        "gen_ai.request.model": "gpt-4",
        "gen_ai.response.model": "gpt-4-0613",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.usage.prompt_tokens": 12,
        "gen_ai.usage.completion_tokens": 3,
        "gen_ai.usage.cache_read_input_tokens": 4,
        "llm.usage.total_tokens": 15,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "hi",
        "gen_ai.completion.0.content": "ho",
    }
    step = only(client("openai.chat", attributes=old))
    assert step.step == "generate"
    assert (step.model, step.response_model, step.response_id) == ("gpt-4", "gpt-4-0613", "chatcmpl-1")
    assert (step.input_tokens, step.output_tokens, step.cached_tokens) == (12, 3, 4)
    assert (step.provider or "").lower() == "openai"
    older = {"llm.request.type": "completion", "gen_ai.request.model": "m", "llm.usage.prompt_tokens": 5,
             "llm.usage.completion_tokens": 6}  # fmt: skip
    step = only(client("openai.completion", attributes=older))
    assert (step.step, step.input_tokens, step.output_tokens) == ("generate", 5, 6)


@pytest.mark.parametrize(
    ("kind", "step"), [("chat", "generate"), ("completion", "generate"), ("embedding", "embed"), ("rerank", "rerank")]
)
def test_request_types(kind: str, step: str) -> None:
    found = only(client(f"x.{kind}", attributes={"llm.request.type": kind, "gen_ai.request.model": "m"}))
    assert (found.step, found.model) == (step, "m")


@pytest.mark.parametrize(
    ("operation", "step"),
    [
        ("chat", "generate"), ("generate_content", "generate"), ("text_completion", "generate"),
        ("embeddings", "embed"), ("retrieval", "retrieve"), ("execute_tool", "tool"), ("rerank", "rerank"),
        ("search_memory", "retrieve"), ("CHAT", "generate"),
    ],
)  # fmt: skip
def test_operations(operation: str, step: str) -> None:
    assert only(client(operation, attributes={"gen_ai.operation.name": operation})).step == step


def test_a_model_call_without_an_operation_is_known_by_its_model() -> None:
    attributes = {"gen_ai.system": "anthropic", "gen_ai.request.model": "claude", "gen_ai.usage.input_tokens": 3}
    step = only(client("Message with 'claude'", scope="logfire.anthropic", attributes=attributes))
    assert (step.step, step.model, step.provider) == ("generate", "claude", "anthropic")
    embedded = {"gen_ai.system": "openai", "gen_ai.request.model": "text-embedding-3-small"}
    assert only(client("Embedding Creation", scope="logfire.openai", attributes=embedded)).step == "embed"


def test_kinds_in_any_case() -> None:
    assert only(oi("retriever", "r", output__value="[]")).step == "retrieve"
    assert only(oi("Embedding", "e")).step == "embed"


def test_a_fillers_first_chunk_is_none() -> None:
    filler = {"gen_ai.operation.name": "chat", "gen_ai.server.time_to_first_token": 0.5, "gen_ai.usage.cost": 0,
              "gen_ai.usage.input_tokens": 3, "telemetry.sdk.name": "openlit"}  # fmt: skip
    step = only(client("chat", scope="openlit.otel.tracing", attributes=filler))
    assert (step.first_chunk_s, step.cost_usd) == (None, None)
    step = only(client("chat", scope="openlit.otel.tracing", attributes={**filler, "gen_ai.request.stream": True}))
    assert step.first_chunk_s == 0.5
    said = {"gen_ai.operation.name": "chat", "gen_ai.response.time_to_first_chunk": 0.25}
    assert only(client("chat", attributes=said)).first_chunk_s == 0.25
    assert only(client("chat", attributes={**said, "gen_ai.request.stream": False})).first_chunk_s is None


@pytest.mark.parametrize(
    ("tree", "event"),
    [
        (llm(), "First Token Stream Event"),
        (chat(), "gen_ai.content.completion.chunk"),
        (chat(), "llm.content.completion.chunk"),
    ],
)
def test_first_chunks_that_are_events(tree: Spun, event: str) -> None:
    tree.own_ms = 50
    tree.events = [(event, 20, {}), (event, 30, {})]
    assert only(tree).first_chunk_s == pytest.approx(0.02)


def test_costs_that_are_given() -> None:
    assert only(llm(llm__cost__total=0.002)).cost_usd == 0.002
    assert only(chat(gen_ai__usage__cost=0.003)).cost_usd == 0.003
    assert only(chat(gen_ai__usage__cost="n/a")).cost_usd is None


def test_redacted_values_are_absent() -> None:
    tree = retriever(("__REDACTED__", "b"))
    tree.attributes["retrieval.documents.0.document.content"] = "__REDACTED__"
    step = only(tree)
    assert [document.id for document in step.documents or ()] == [None, "b"]
    told = made(oi("CHAIN", "rag", llm(), input__value="__REDACTED__", output__value="__REDACTED__"))
    assert told.queries[0].question_length is None
    assert told.queries[0].answer_length is None
    assert only(oi("LLM", "x", llm__model_name="__REDACTED__")).model is None


def test_malformed_json_is_the_fields_absence_and_is_counted() -> None:
    step = only(client("retrieval", attributes={"gen_ai.operation.name": "retrieval",
                                                "gen_ai.retrieval.documents": '[{"id": "a"'}))  # fmt: skip
    assert (step.step, step.documents, step.document_count) == ("retrieve", None, None)
    tree = client(
        "retrieval", attributes={"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id": "a"'}
    )
    assert made(tree).tallies == {("unreadable", "gen_ai.retrieval.documents"): 1}
    told = made(oi("CHAIN", "rag", llm(), metadata="{nonsense"))
    assert told.queries[0].user is None
    assert told.tallies["unreadable", "metadata"] >= 1


@pytest.mark.parametrize(
    "documents",
    [
        '[{"id": "a", "score": 0.5}, {"id": "b", "score": null}]',
        "[{'id': 'a', 'score': 0.5}, {'id': 'b', 'score': None}]",
        ({"id": "a", "score": 0.5}, {"id": "b", "score": None}),
        ['{"id": "a", "score": 0.5}', '{"id": "b"}'],
    ],
    ids=["json", "repr", "structured", "strings"],
)
def test_documents_in_every_shape(documents: Any) -> None:
    attributes = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": documents}
    found = only(client("retrieval", attributes=attributes)).documents or ()
    assert [(document.id, document.score, document.rank) for document in found] == [("a", 0.5, 1), ("b", None, 2)]


def test_an_id_is_looked_for_in_the_metadata_and_then_in_the_text() -> None:
    tree = oi(
        "RETRIEVER", "r",
        retrieval__documents__0__document__metadata='{"source": "kb/1.md"}',
        retrieval__documents__0__document__content="text",
        retrieval__documents__1__document__content="other text",
        output__value="...",
    )  # fmt: skip
    first, second = only(tree).documents or ()
    assert (first.id, first.id_from) == ("kb/1.md", "metadata")
    assert second.id_from == "content_hash"
    assert second.id == second.content_hash
    assert first.text is None, "the agent keeps no content"


def test_an_empty_retrieval_is_empty_and_a_failed_one_is_not() -> None:
    assert only(oi("RETRIEVER", "r", output__value="[]")).document_count == 0
    failed = only(oi("RETRIEVER", "r", error="ConnectionError: down"))
    assert (failed.document_count, failed.error_class) == (None, "connection")
    official = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": "[]"}
    assert only(client("retrieval", attributes=official)).document_count == 0
    silent = {"gen_ai.operation.name": "retrieval"}
    assert only(client("retrieval", attributes=silent)).document_count is None


def test_a_providers_name_on_a_retrieval_is_the_store() -> None:
    attributes = {"gen_ai.operation.name": "retrieval", "gen_ai.provider.name": "InMemoryVectorStore",
                  "gen_ai.request.top_k": 4}  # fmt: skip
    step = only(client("retrieval", attributes=attributes))
    assert (step.provider, step.data_source, step.top_k) == (None, "InMemoryVectorStore", 4)
    assert only(chat(gen_ai__request__top_k=40)).top_k is None, "on a model call it is about sampling"
    framework = only(chat(gen_ai__provider__name="langchain"))
    assert framework.provider is None


def test_rerankers() -> None:
    documents = {
        f"reranker.{side}_documents.{at}.document.id": identity
        for side, ids in (("input", "abc"), ("output", "cb"))
        for at, identity in enumerate(ids)
    }
    scores = {"reranker.output_documents.0.document.score": 0.9, "reranker.output_documents.1.document.score": 0.8}
    tree = oi("RERANKER", "CohereRerank", reranker__model_name="rerank-v3", reranker__top_k=2)
    tree.attributes |= documents | scores
    step = only(tree)
    assert (step.step, step.model, step.top_k, step.document_count) == ("rerank", "rerank-v3", 2, 2)
    assert [(document.id, document.score) for document in step.documents or ()] == [("c", 0.9), ("b", 0.8)]
    cohere = {"llm.request.type": "rerank", "gen_ai.system": "Cohere", "gen_ai.request.model": "rerank-v3"}
    assert only(client("cohere.rerank", attributes=cohere)).step == "rerank"


@pytest.mark.parametrize(
    ("system", "name", "operation", "step"),
    [
        ("Qdrant", "qdrant.query_points", None, "retrieve"),
        ("Qdrant", "qdrant.search_batch", None, "retrieve"),
        ("Qdrant", "qdrant.upload_points", None, "ingest"),
        ("Pinecone", "pinecone.query", None, "retrieve"),
        ("Pinecone", "pinecone.upsert", None, "ingest"),
        ("milvus", "milvus.search", "search", "retrieve"),
        ("milvus", "milvus.hybrid_search", "hybrid_search", "retrieve"),
        ("milvus", "milvus.insert", "insert", "ingest"),
        ("weaviate", "db.weaviate.query.get.do", None, "retrieve"),
        ("weaviate", "db.weaviate.collections.query.near_text", None, "retrieve"),
        ("weaviate", "db.weaviate.data.crud_data.create", None, "ingest"),
        ("weaviate", "db.weaviate.batch.add_data_object", None, "ingest"),
        ("weaviate", "db.weaviate.gql.get.do", "do", "retrieve"),
        ("weaviate", "db.weaviate.collections.query.get", "get", "retrieve"),
        ("weaviate", "db.weaviate.collections.data.insert", "insert", "ingest"),
        ("chroma", "chroma.query", "query", "retrieve"),
        ("chroma", "chroma.upsert", "upsert", "ingest"),
        ("lancedb", "lancedb.search", "search", "retrieve"),
        ("lancedb", "lancedb.add", "add", "ingest"),
        ("marqo", "marqo.search", "search", "retrieve"),
        ("marqo", "marqo.add_documents", "add_documents", "ingest"),
    ],
)
def test_vector_stores(system: str, name: str, operation: str | None, step: str) -> None:
    attributes = {"db.system": system, **({"db.operation": operation} if operation else {})}
    assert (
        only(client(name, scope=f"opentelemetry.instrumentation.{system.lower()}", attributes=attributes)).step == step
    )


@pytest.mark.parametrize(
    ("system", "name", "operation"),
    [
        ("weaviate", "db.weaviate.schema.create_class", "create_class"),
        ("weaviate", "db.weaviate.collections.create", "create"),
        ("weaviate", "db.weaviate.collections.delete", "delete"),
        ("weaviate", "db.weaviate.gql.aggregate.do", "do"),
        ("weaviate", "db.weaviate.gql.query.get", "get"),
        ("milvus", "milvus.create_collection", "create_collection"),
        ("qdrant", "delete_collection kb", "delete_collection"),
        ("chroma", "chroma.peek", "peek"),
        ("chroma", "chroma.get", "get"),
        ("qdrant", "qdrant.scroll", "scroll"),
    ],
)
def test_reads_and_care_of_a_store_are_no_steps(system: str, name: str, operation: str) -> None:
    attributes = {"db.system": system, "db.operation": operation}
    told = made(client(name, scope=f"opentelemetry.instrumentation.{system}", attributes=attributes))
    assert (told.queries, told.loose) == ([], [])


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"db.system": "postgresql", "db.statement": "SELECT * FROM users WHERE id = %s"}, "SELECT"),
        ({"db.system": "postgresql", "db.statement": "INSERT INTO chat_history VALUES (%s)"}, "INSERT"),
        ({"db.system": "redis", "db.statement": "GET ?"}, "GET"),
        ({"db.system": "redis", "db.statement": "SEARCH"}, "SEARCH"),
        ({"db.system": "elasticsearch", "db.operation": "search", "db.statement": '{"query": {"term": {}}}'}, "search"),
        ({"db.system.name": "mongodb", "db.operation.name": "find"}, "find kb"),
        ({"db.system": "sqlite", "db.statement": "select 1"}, "query"),
        ({"db.system": "mysql"}, "db.query"),
        ({"db.system": "mysql", "db.statement": "SELECT id FROM orders WHERE a <=> ? LIMIT 1"}, "SELECT"),
    ],
)
def test_databases_are_no_retrievals(attributes: dict[str, Any], name: str) -> None:
    told = made(client(name, scope="opentelemetry.instrumentation.db", attributes=attributes))
    assert (told.queries, told.loose) == ([], [])


@pytest.mark.parametrize(
    "attributes",
    [
        {"db.system": "postgresql", "db.statement": "SELECT id FROM chunks ORDER BY embedding <=> %s LIMIT 5"},
        {"db.system.name": "postgresql", "db.query.text": "select id from c order by e <-> $1 limit 3"},
        {
            "db.system": "postgresql",
            "db.statement": "select t, ? - (v <=> ?) as near from c order by near desc limit ?",
        },
        {"db.system": "postgresql", "db.statement": "SELECT t, 1 - (v::vector(3) <=> $1) AS s FROM c ORDER BY s DESC"},
        {"db.system": "redis", "db.statement": "FT.SEARCH idx *=>[KNN 3 @v $vec]"},
        {"db.system": "elasticsearch", "db.operation": "search", "db.statement": '{"knn": {"field": "vector"}}'},
        {"db.system": "opensearch", "db.operation": "search", "db.statement": '{"query": {"neural": {}}}'},
        {"db.system.name": "mongodb", "db.operation.name": "aggregate", "db.query.text": '[{"$vectorSearch": {}}]'},
    ],
)
def test_vector_searches_in_databases_are(attributes: dict[str, Any]) -> None:
    assert only(client("q", scope="opentelemetry.instrumentation.db", attributes=attributes)).step == "retrieve"


def test_hits_that_are_events_keep_scores_and_distances_apart() -> None:
    pinecone = search("pinecone")
    pinecone.events = [("db.query.result", 1, {"db.query.result.id": "a", "db.query.result.score": 0.7})]
    milvus = search("milvus", db__operation="search")
    milvus.events = [("db.search.result", 1, {"db.search.result.id": 7, "db.search.result.distance": 0.3})]
    (a,) = only(pinecone).documents or ()
    (b,) = only(milvus).documents or ()
    assert (a.id, a.score, a.distance) == ("a", 0.7, None)
    assert (b.id, b.score, b.distance) == ("7", None, 0.3)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("retrieve", "retrieve"), ("retrieve_documents", "retrieve"), ("vector_search", "retrieve"),
        ("DocumentRetriever", "retrieve"), ("retrieval", "retrieve"), ("rag.retrieve", "retrieve"),
        ("similarity_search", "retrieve"), ("vector search", "retrieve"), ("search_index", "retrieve"),
        ("embed_query", "embed"), ("embed", "embed"), ("rag.embed", "embed"), ("create_embedding", "embed"),
        ("rerank_documents", "rerank"), ("CrossEncoderReranker", "rerank"), ("rag.rerank", "rerank"),
        ("generate", "generate"), ("generate_answer", "generate"), ("llm_call", "generate"), ("llm.call", "generate"),
        ("call_llm", "generate"), ("ChatAnthropic", "generate"), ("OpenAIChatGenerator", "generate"),
        ("rag.generate", "generate"), ("answer_generation", "generate"),
        ("semantic_cache", "cache"), ("cache.lookup", "cache"), ("input_guardrail", "guardrail"),
        ("moderation", "guardrail"), ("TextSplitter", "ingest"), ("ingest_documents", "ingest"),
    ],
)  # fmt: skip
def test_hand_made_names(name: str, step: str) -> None:
    assert only(spun(name)).step == step


@pytest.mark.parametrize(
    "name",
    [
        "ChatPromptTemplate", "ChatMessageHistory", "chat_handler", "format_docs", "main", "process", "GET /x", "task",
        "validate", "parse_output", "store_answer", "ContextChatEngine", "RunnableSequence", "regenerate_session_id",
        "generate_id", "generate_report_pdf", "cached_property_x", "load_user", "research",
    ],
)  # fmt: skip
def test_names_that_say_nothing(name: str) -> None:
    told = made(spun(name))
    assert (told.queries, told.loose) == ([], [])


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ("openai.RateLimitError: Error code: 429", "rate_limited"),
        ("LMRateLimitError: x", "rate_limited"),
        ("google.api_core.exceptions.ResourceExhausted: 429", "rate_limited"),
        ("anthropic.APITimeoutError: x", "timeout"),
        ("asyncio.TimeoutError: ", "timeout"),
        ("httpx.ConnectError: refused", "connection"),
        ("ConnectionRefusedError: 111", "connection"),
        ("openai.AuthenticationError: key", "auth"),
        ("openai.InternalServerError: 500", "server_error"),
        ("APIStatusError: Error code: 503 - overloaded", "server_error"),
        ("openai.BadRequestError: maximum context length is 8192 tokens", "context_length"),
        ("openai.BadRequestError: The response was filtered: content_filter", "content_filter"),
        ("openai.BadRequestError: bad", "invalid_request"),
        ("KeyError: 'x'", "other"),
    ],
)
def test_error_classes(error: str, found: str) -> None:
    tree = chat()
    tree.error = error
    assert only(tree).error_class == found


def test_who_asked_what_with_which_prompt() -> None:
    in_metadata = json.dumps({"user_id": "ann", "session_id": "s1", "prompt_version": "v7", "tenant": "acme"})
    association = "traceloop.association.properties."
    for tree in (
        oi("CHAIN", "rag", llm(), metadata=in_metadata),
        oi("CHAIN", "rag", llm(metadata=in_metadata)),
        oi("CHAIN", "rag", llm(), session__id="s1", user__id="ann", llm__prompt_template__version="v7",
           tag__tags=("tenant:acme",)),
        spun(
            "rag.workflow",
            {"traceloop.span.kind": "workflow", "traceloop.entity.name": "rag", f"{association}session_id": "s1",
             f"{association}user_id": "ann", f"{association}tenant_id": "acme", "traceloop.prompt.version": "v7"},
            chat(),
        ),
        spun("rag.query", {"session.id": "s1", "enduser.id": "ann", "tenant.id": "acme",
                           "ragwatch.prompt.version": "v7"}, chat()),
    ):  # fmt: skip
        (record,) = made(tree).queries
        assert (record.session, record.tenant, record.prompt_version) == ("s1", "acme", "v7")
        assert record.user is not None
        assert "ann" not in record.to_json()


def test_texts_leave_only_their_lengths() -> None:
    told = made(oi("CHAIN", "rag", llm(), input__value="What is it?", output__value="A secret."))
    (record,) = told.queries
    assert (record.question_length, record.answer_length) == (11, 9)
    assert (record.question, record.answer) == (None, None)
    assert "secret" not in record.to_json()


def test_huge_attributes_cost_nothing_and_break_nothing() -> None:
    huge = "[" + "1," * 2_000_000 + "1]"
    tree = retriever(("a", "b"))
    tree.attributes |= {"output.value": huge, "input.value": huge, "metadata": "{" * 100_000}
    step = only(tree)
    assert step.document_count == 2
    many = oi("RETRIEVER", "r", output__value="x")
    many.attributes |= {f"retrieval.documents.{at}.document.id": str(at) for at in range(5000)}
    assert only(many).document_count == 5000
    assert len(only(many).documents or ()) <= shapes.MAX_DOCUMENTS


def test_a_replayed_answer_is_a_hit_of_a_cache_and_no_usage() -> None:
    first, second = chat(gen_ai__response__id="r-1"), chat(gen_ai__response__id="r-1")
    told = made(spun("rag.query", {}, search(), first), spun("rag.query", {}, search(), second))
    assert [record.steps[1].cache_result for record in told.queries] == [None, "hit"]
    assert (told.queries[1].steps[1].extra or {})["cache_suspected"] is True


def test_a_model_that_always_answers_at_once_is_no_cache() -> None:
    def ask(milliseconds: float, model: str) -> Spun:
        call = chat(model)
        call.own_ms = milliseconds
        return spun("rag.query", {}, search(), call)

    told = made(ask(0.5, "fake"), ask(0.5, "fake"))
    assert [record.steps[1].cache_result for record in told.queries] == [None, None]
    told = made(ask(4, "fake"), ask(0.5, "fake"))  # the first call of a process takes longer
    assert [record.steps[1].cache_result for record in told.queries] == [None, None]
    told = made(ask(300, "gpt-4o"), ask(0.5, "gpt-4o"), ask(0.5, "fake"))
    assert [record.steps[1].cache_result for record in told.queries] == [None, "hit", None]
