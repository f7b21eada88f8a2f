"""The alerts on the collector read metrics that the real one has, and fire when it is full, refuses, or is away."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from ragwatch.monitoring.collector_alerts import COLLECTOR_ALERTS, SIGNALS
from ragwatch.monitoring.rules import collector_rules, to_yaml
from tests.support.collector import BUILD_TIMEOUT_S
from tests.support.otlp_messages import logs
from tests.support.production import ProductionCollector
from tests.support.prometheus import Prometheus
from tests.support.sink import BAD_REQUEST, OK, UNAVAILABLE, Sink
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(BUILD_TIMEOUT_S)]


def shown(collector: ProductionCollector) -> set[str]:
    """The names of the metrics that it shows of itself."""
    with urlopen(f"http://127.0.0.1:{collector.telemetry_port}/metrics", timeout=10) as answer:
        return set(re.findall(r"^(otelcol_\w+)", answer.read().decode(), flags=re.MULTILINE))


def flood(collector: ProductionCollector, size: int, seconds: float = 15.0) -> None:
    """Send lines until some are refused."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            collector.send("logs", logs(*(["a line " * size] * 50)))
        except HTTPError:
            return
    raise AssertionError("nothing was refused")


def test_a_full_a_refusing_and_a_missing_collector_fire(tmp_path: Path) -> None:
    rules = {"collector.yml": to_yaml(collector_rules(0.01), "test")}
    seen: set[str] = set()
    names: set[str] = set()
    with Sink() as sink, ProductionCollector(tmp_path, sink, COLLECTOR_QUEUE_ITEMS="1000") as collector:
        targets = {"collector": f"127.0.0.1:{collector.telemetry_port}"}
        with Prometheus(tmp_path / "p", targets, rules) as prometheus:

            def fired(*wanted: str) -> bool:
                seen.update(prometheus.firing())
                names.update(shown(collector) if collector.process else ())
                return seen.issuperset(wanted)

            collector.send("logs", logs("a line"))
            wait_until(lambda: prometheus.query("otelcol_exporter_queue_capacity"), 20)
            assert not fired("RagCollectorDown")
            assert seen == set()
            sink.answer(UNAVAILABLE)
            flood(collector, 1)
            full = ("RagCollectorQueueFilling", "RagCollectorQueueFull", "RagCollectorRefuses")
            wait_until(lambda: fired(*full), 40, what=f"{full}; seen {seen}")
            sink.answer(BAD_REQUEST)
            wait_until(lambda: fired("RagCollectorExportFails"), 40, what="a failure for good")
            sink.answer(OK)
            assert "RagCollectorMemory" not in seen
            collector.kill()
            wait_until(lambda: "RagCollectorDown" in prometheus.firing(), 40, what="RagCollectorDown")
    unknown = used() - names - {f"{prefix}_{signal}" for prefix in COUNTED_WHEN_IT_HAPPENS for signal in SIGNALS}
    assert unknown == set()
    assert {f"{prefix}_log_records" for prefix in COUNTED_WHEN_IT_HAPPENS[:2]} <= names


COUNTED_WHEN_IT_HAPPENS = (
    "otelcol_exporter_send_failed",
    "otelcol_exporter_enqueue_failed",
    "otelcol_receiver_refused",
    "otelcol_processor_memory_limiter_refused",
)


def used() -> set[str]:
    return {name for alert in COLLECTOR_ALERTS for name in re.findall(r"otelcol_\w+", alert.expr + alert.first)}


def test_a_collector_without_memory_fires(tmp_path: Path) -> None:
    rules = {"collector.yml": to_yaml(collector_rules(0.01), "test")}
    memory = {"COLLECTOR_MEMORY_LIMIT_MIB": "40", "COLLECTOR_MEMORY_SPIKE_MIB": "25"}
    with Sink() as sink, ProductionCollector(tmp_path, sink, **memory) as collector:
        targets = {"collector": f"127.0.0.1:{collector.telemetry_port}"}
        with Prometheus(tmp_path / "p", targets, rules) as prometheus:

            def fired() -> bool:
                with suppress(AssertionError):
                    flood(collector, 20_000, 3)
                return "RagCollectorMemory" in prometheus.firing()

            wait_until(fired, 60, what="RagCollectorMemory")
            assert "otelcol_processor_memory_limiter_refused_log_records" in shown(collector)
