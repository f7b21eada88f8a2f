"""What the collector has accepted for a backend that is down survives a ``kill -9``."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.error import HTTPError

import pytest

from ragwatch import semconv
from tests.support.collector import BUILD_TIMEOUT_S
from tests.support.otlp_messages import logs, span, traces
from tests.support.production import ProductionCollector
from tests.support.sink import OK, UNAVAILABLE, Sink
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(BUILD_TIMEOUT_S)]
BATCHES, A_BATCH = 20, 50


def test_the_queues_survive_a_kill(tmp_path: Path) -> None:
    """Delivery is at least once: each line and each trace is there, some may be there twice."""
    whole = {f"{batch}/{number}" for batch in range(BATCHES) for number in range(A_BATCH)}
    with Sink() as sink, ProductionCollector(tmp_path, sink) as collector:
        sink.answer(UNAVAILABLE)
        for batch in range(BATCHES):
            names = [f"{batch}/{number}" for number in range(A_BATCH)]
            collector.send("logs", logs(*(json.dumps({"n": name}) for name in names)))
            collector.send("traces", traces(*(span({semconv.OUTCOME: "error"}, name=name) for name in names)))
        waiting = BATCHES * A_BATCH
        wait_until(
            lambda: (
                collector.own("otelcol_exporter_queue_size", exporter="otlp_http/loki") == waiting
                and collector.own("otelcol_exporter_queue_size", exporter="otlp_grpc/tempo") == waiting
            ),
            30,
            what="everything to wait in the queues",
        )
        wait_until(lambda: min(sink.counts()[signal]["attempts"] for signal in ("traces", "logs")) > 0, 20)
        collector.kill()
        assert not sink.received
        sink.answer(OK)
        collector.start()
        wait_until(lambda: {item.name for item in sink.spans()} == whole, 30, what="every trace")
        wait_until(
            lambda: {json.loads(item.body.string_value)["n"] for item in sink.log_records()} == whole,
            30,
            what="every line",
        )


def test_an_agents_requests_are_refused_when_the_queue_is_full_and_none_is_lost(tmp_path: Path) -> None:
    with Sink() as sink, ProductionCollector(tmp_path, sink, COLLECTOR_QUEUE_ITEMS="1000") as collector:
        sink.answer(UNAVAILABLE)
        accepted, refused = 0, None
        while refused is None:
            try:
                collector.send("logs", logs(*(["a line"] * 50)))
                accepted += 50
            except HTTPError as error:
                refused = error.code
        assert refused == 503, "an agent tries 503 again"
        assert accepted >= 950
        sink.answer(OK)
        wait_until(lambda: len(sink.log_records()) == accepted, 40, what=f"all {accepted} lines")
