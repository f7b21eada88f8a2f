"""Of the traces an on-call gets every one that went wrong, was slow, found nothing or was tried again; a share else."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ragwatch import semconv
from tests.support.collector import BUILD_TIMEOUT_S
from tests.support.otlp_messages import span, traces
from tests.support.production import ProductionCollector
from tests.support.sink import Sink
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(BUILD_TIMEOUT_S)]
ASK_FOR = {
    "error": 200,
    "error below": 50,
    "error late": 50,
    "rejected": 20,
    "degraded": 20,
    "incomplete": 20,
    "slow": 20,
    "empty": 20,
    "empty elsewhere": 20,
    "retried": 20,
}
FINE = 2000


def trace(kind: str, number: int) -> list[bytes]:
    """The requests of one trace: a query with a step below it, sent apart, as batches do it."""
    trace_id = os.urandom(16)
    root = span({semconv.OUTCOME: "ok", "n": number}, name=kind, trace_id=trace_id)
    step = span({semconv.DOCUMENT_COUNT: 3, semconv.ATTEMPTS: 1}, name="step", trace_id=trace_id, parent=root.span_id)
    match kind:
        case "error":
            root.status.code = 2  # type: ignore[assignment]
        case "error below" | "error late":
            step.status.code = 2  # type: ignore[assignment]
        case "rejected" | "degraded" | "incomplete":
            root.attributes[0].value.string_value = kind
        case "slow":
            root.start_time_unix_nano = root.end_time_unix_nano - 5_100_000_000
        case "empty":
            step.attributes[0].value.int_value = 0
        case "empty elsewhere":
            step.attributes[0].key, step.attributes[0].value.string_value = semconv.DOCUMENTS, "[]"
        case "retried":
            step.attributes[1].value.int_value = 2
    parts = [traces(step), traces(root)]
    return parts[::-1] if kind == "error late" else parts


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ProductionCollector, Sink]]:
    """A collector that has decided, and what it let through."""
    with Sink() as sink, ProductionCollector(tmp_path_factory.mktemp("sampling"), sink) as collector:
        requests = [part for kind, count in ASK_FOR.items() for number in range(count) for part in trace(kind, number)]
        requests += [part for number in range(FINE) for part in trace("fine", number)]
        for first in range(0, len(requests), 200):  # serialised requests of one signal may be joined
            collector.send("traces", b"".join(requests[first : first + 200]))
        decided = FINE + sum(ASK_FOR.values())
        wait_until(
            lambda: collector.own("otelcol_processor_tail_sampling_global_count_traces_sampled_total") >= decided,
            40,
            what="every trace to be decided",
        )
        wait_until(lambda: collector.own("otelcol_exporter_queue_size") == 0, 20, what="the queue to be empty")
        yield collector, sink


def test_every_trace_that_an_on_call_asks_for_is_kept(sampled: tuple[ProductionCollector, Sink]) -> None:
    _, sink = sampled
    kept = [item.name for item in sink.spans() if not item.parent_span_id]
    assert {kind: kept.count(kind) for kind in ASK_FOR} == ASK_FOR


def test_traces_are_kept_whole(sampled: tuple[ProductionCollector, Sink]) -> None:
    _, sink = sampled
    roots = {item.trace_id for item in sink.spans() if not item.parent_span_id}
    steps = {item.trace_id for item in sink.spans() if item.parent_span_id}
    assert roots == steps


def test_of_the_rest_a_share_is_kept(sampled: tuple[ProductionCollector, Sink]) -> None:
    _, sink = sampled
    kept = sum(1 for item in sink.spans() if item.name == "fine")
    assert 0.05 * FINE < kept < 0.16 * FINE  # 10 %, six standard deviations or more on either side


def test_the_collector_says_what_it_took_and_what_it_let_go(sampled: tuple[ProductionCollector, Sink]) -> None:
    collector, sink = sampled
    count = "otelcol_processor_tail_sampling_global_count_traces_sampled_total"
    whole = FINE + sum(ASK_FOR.values())
    assert collector.own("otelcol_receiver_accepted_spans_total") == 2 * whole
    kept = collector.own(count, sampled="true")
    assert kept + collector.own(count, sampled="false") == whole
    assert 2 * kept == len(sink.spans()) == collector.own("otelcol_exporter_sent_spans_total")
    assert collector.own("otelcol_exporter_send_failed_spans_total") == 0
    assert collector.healthy()
