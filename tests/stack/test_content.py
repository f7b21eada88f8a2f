"""What people asked, what documents say and what models answered ends at the collector, whoever sent it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ragwatch import semconv
from ragwatch.semconv import CONTENT_KEYS, CONTENT_PREFIXES, CONTENT_SUFFIXES
from tests.support.collector import BUILD_TIMEOUT_S
from tests.support.otlp_messages import logs, span, traces
from tests.support.production import ProductionCollector
from tests.support.sink import Sink
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT_S)
SECRET = "what the patient said"
CONTENT = sorted(
    {
        *CONTENT_KEYS,
        *(f"{prefix}0.x" for prefix in CONTENT_PREFIXES),
        *(prefix for prefix in CONTENT_PREFIXES if not prefix.endswith(".")),
        *(f"retrieval.documents.3{suffix}" for suffix in CONTENT_SUFFIXES),
        semconv.EXCEPTION_STACKTRACE,
        "acme.note",
    }
)
ATTRIBUTE_NAMES = sorted(
    value
    for name, value in vars(semconv).items()
    if name.isupper() and isinstance(value, str) and "." in value and not name.startswith("EVENT_")
)
KEPT = [key for key in ATTRIBUTE_NAMES if key not in CONTENT and key != semconv.DOCUMENTS]
NEAR_MISSES = [
    "rag.question.length",
    "rag.questions",
    "input.values",
    "llm.model_name",
    "gen_ai.promptly",
    "messages.x",
]
OWN_DOCUMENTS = [
    "[]",
    '[{"id":"a","score":0.5},{"id":"b","score":null}]',
    '[{"id":"qu\\"ote","score":-1.5e-3,"distance":0.2,"id_from":"hash","content_hash":"9f","date":"2026-01-01"}]',
    '[{"id": "spaced", "score": 1}, {"id": null, "score": NaN}]',
]
WITH_TEXT = json.dumps(
    [{"id": "a", "score": 0.5, "text": f'{SECRET} "said" so'}, {"id": "b", "score": 0.1, "text": SECRET}]
)
FOREIGN_DOCUMENTS: list[Any] = [
    json.dumps([{"id": "a", "score": 0.5, "metadata": {"title": SECRET}}]),
    json.dumps([{"text": SECRET}]),
    json.dumps({"id": SECRET}),
    SECRET,
    [{"id": "a", "content": SECRET}],
]
STATUSES = {
    f"TimeoutError: {SECRET}": "TimeoutError",
    f"openai.RateLimitError: {SECRET}\nTraceback …": "openai.RateLimitError",
    "UNAVAILABLE": "UNAVAILABLE",
    f"503: {SECRET}": "503",
    SECRET: "",
    f"TimeoutError({SECRET!r})": "",
}
LINE = {"trace_id": "0af7", "outcome": "error", "question_length": 9, "error_class": "timeout", "level": "error"}
LEAKING = {**LINE, "question": f'{SECRET}\n"quoted" \\', "answer": SECRET, "error_message": SECRET}


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    """What came out, after everything above had gone in."""
    everything = {**dict.fromkeys(CONTENT, SECRET), **dict.fromkeys([*KEPT, *NEAR_MISSES], "kept")}
    with (
        Sink() as sink,
        ProductionCollector(
            tmp_path_factory.mktemp("content"),
            sink,
            COLLECTOR_SAMPLE_PERCENT="100",
            COLLECTOR_CONTENT_KEYS="^acme[.](note|draft)$",
        ) as collector,
    ):
        spans = [
            span(everything, name="everything", events={"exception": everything}),
            span({key: [SECRET, SECRET] for key in CONTENT}, name="structured"),
            *(span({semconv.DOCUMENTS: held}, name=f"own {at}") for at, held in enumerate(OWN_DOCUMENTS)),
            span({semconv.DOCUMENTS: WITH_TEXT}, name="with text"),
            *(span({semconv.DOCUMENTS: held}, name=f"foreign {at}") for at, held in enumerate(FOREIGN_DOCUMENTS)),
            *(span(name=f"status {at}", error=said) for at, said in enumerate(STATUSES)),
        ]
        collector.send("traces", traces(*spans, scope="anybody", resource={"gen_ai.prompt": SECRET}))
        compact = [json.dumps(line, separators=(",", ":"), ensure_ascii=False) for line in (LINE, LEAKING)]
        collector.send("logs", logs(*compact))
        collector.send("logs", logs(json.dumps({"question": SECRET}, separators=(",", ":"))))
        collector.send("logs", logs(SECRET, {"content": SECRET}, scope="x", event_name="gen_ai.user.message"))
        collector.send("logs", logs(SECRET, scope="y", attributes={"event.name": "gen_ai.choice"}))
        collector.send("logs", logs("the app's own line", scope="app", attributes=everything))
        wait_until(lambda: len(sink.spans()) == len(spans) and len(sink.log_records()) == 7, 30)
        yield sink


def held(item: Any) -> dict[str, Any]:
    return {entry.key: entry.value for entry in item.attributes}


def named(sink: Sink, name: str) -> Any:
    (found,) = [item for item in sink.spans() if item.name == name]
    return found


def test_content_is_gone_from_spans_events_logs_and_resources(arrived: Sink) -> None:
    everything = named(arrived, "everything")
    (line,) = [item for item in arrived.log_records() if item.body.string_value == "the app's own line"]
    for item in (everything, everything.events[0], line, named(arrived, "structured")):
        assert not held(item).keys() & set(CONTENT)
    for message in arrived.messages("traces"):
        assert all(held(group.resource).keys() == {"service.name"} for group in message.resource_spans)


def test_nothing_else_is_taken(arrived: Sink) -> None:
    everything = named(arrived, "everything")
    for item in (everything, everything.events[0]):
        assert held(item).keys() == {*KEPT, *NEAR_MISSES}
        assert {entry.string_value for entry in held(item).values()} == {"kept"}


def test_documents_keep_their_ids_and_scores_and_lose_their_text(arrived: Sink) -> None:
    for at, documents in enumerate(OWN_DOCUMENTS):
        assert held(named(arrived, f"own {at}"))[semconv.DOCUMENTS].string_value == documents
    kept = json.loads(held(named(arrived, "with text"))[semconv.DOCUMENTS].string_value)
    assert kept == [{"id": "a", "score": 0.5}, {"id": "b", "score": 0.1}]
    for at, _ in enumerate(FOREIGN_DOCUMENTS):
        assert semconv.DOCUMENTS not in held(named(arrived, f"foreign {at}"))


def test_a_status_keeps_the_type_of_the_error(arrived: Sink) -> None:
    for at, expected in enumerate(STATUSES.values()):
        assert (named(arrived, f"status {at}").status.code, named(arrived, f"status {at}").status.message) == (
            2,
            expected,
        )


def test_lines_of_queries_lose_their_text_and_nothing_else(arrived: Sink) -> None:
    bodies = [item.body.string_value for item in arrived.log_records()]
    lines = [json.loads(body) for body in bodies if body.startswith("{")]
    assert lines == [LINE, LINE]
    assert sorted(bodies)[:4] == ["", "", "", ""], "a line that cannot be cut, and GenAI events, have no body"


def test_no_word_of_it_is_in_what_tempo_and_loki_get(arrived: Sink) -> None:
    assert {received.signal for received in arrived.received} == {"traces", "logs"}
    for received in arrived.received:
        assert SECRET not in str(received.message)


def test_the_conventions_lists_are_what_this_test_knows() -> None:
    """A key that semconv gains is tested by itself; this holds that the lists are not empty by some rename."""
    assert len(CONTENT_KEYS) > 30
    assert len(CONTENT_PREFIXES) > 10
    assert semconv.QUESTION_LENGTH in KEPT
