"""``ProductionRAGMonitor``: counted once, bounded, private, and silent towards the app's logging."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import ragwatch
from ragwatch import ProductionRAGMonitor, RAGMetrics

LONG = "how do I copy a directory tree without its hidden files? " * 5


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ragwatch is off, and no variable of the machine gets in."""
    for name in ("RAGWATCH_CONTENT", "RAGWATCH_LOG_QUERIES", "RAGWATCH_LOG_FILE", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield
    ragwatch.shutdown()


@pytest.fixture
def on(off: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """ragwatch is on and sends nowhere."""
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    ragwatch.init(service="bot", content="truncated")


def lines(capture: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capture.readouterr().err.splitlines() if line.startswith("{")]


def test_metrics_are_the_kpis(off: None) -> None:
    monitor = ProductionRAGMonitor(log_queries=False)
    assert isinstance(monitor.metrics, RAGMetrics)
    assert (monitor.metrics.query_count, monitor.metrics.error_rate, monitor.metrics.cache_hit_rate) == (0, None, None)
    for number in range(10):
        monitor.track_query("why?", 0.1 * number, number != 3, number < 4)
    found = monitor.metrics
    assert (found.query_count, found.error_rate, found.cache_hit_rate) == (10, 0.1, 0.4)
    assert found.avg_response_time == pytest.approx(0.45)
    assert found.retrieval_accuracy is None


def test_each_has_an_engine_of_its_own(off: None) -> None:
    one, other = ProductionRAGMonitor(log_queries=False), ProductionRAGMonitor(log_queries=False)
    one.track_query("why?", 1.0, True, False)
    assert (one.metrics.query_count, other.metrics.query_count) == (1, 0)


def test_memory_does_not_grow_with_the_queries(off: None) -> None:
    monitor = ProductionRAGMonitor(log_queries=False)
    sizes = []
    for _ in range(2):
        for number in range(3000):
            monitor.track_query(f"question {number}", number % 7 / 10, True, number % 2 == 0)
        sizes.append(sum(len(cells) for cells in monitor._engine.state.metrics.values()))
    assert sizes[0] == sizes[1]
    assert monitor.metrics.query_count == 6000


def test_threads_lose_nothing(off: None) -> None:
    monitor = ProductionRAGMonitor(log_queries=False)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(lambda: [monitor.track_query("q", 0.01, True, True) for _ in range(500)])
    assert monitor.metrics.query_count == 4000
    assert monitor.metrics.cache_hit_rate == 1.0


def test_the_log_line_holds_no_text_unless_content_is_allowed(off: None, capsys: pytest.CaptureFixture[str]) -> None:
    ProductionRAGMonitor(service="bot").track_query(LONG, 0.5, False, False)
    (line,) = lines(capsys)
    assert (line["service"], line["outcome"], line["duration_ms"], line["cache"]) == ("bot", "error", 500.0, "miss")
    assert (line["question_length"], line.get("question"), "trace_id" in line) == (len(LONG), None, False)


@pytest.mark.parametrize("content", ["truncated", "full"])
def test_allowed_text_is_cut_to_100_characters(
    off: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("RAGWATCH_CONTENT", content)
    ProductionRAGMonitor().track_query(LONG, 0.5, True, False)
    assert lines(capsys)[0]["question"] == LONG[:100]


def test_the_apps_logging_is_left_alone(off: None, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    ProductionRAGMonitor().track_query("why?", 0.5, True, False)
    assert (list(root.handlers), root.level) == before
    assert len(lines(capsys)) == 1


def test_after_init_it_is_a_query_of_the_process(on: None, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = ProductionRAGMonitor()
    monitor.track_query(LONG, 0.5, True, True)
    monitor.track_query("why?", 1.5, False, False)
    found = ragwatch.metrics()
    assert (found.query_count, found.error_rate, found.cache_hit_rate) == (2, 0.5, 0.5)
    assert found.avg_response_time == pytest.approx(1.0, abs=0.05)
    assert monitor.metrics.query_count == 2
    ragwatch.flush()
    first, second = lines(capsys)
    assert (first["question"], first["question_length"], first["cache"]) == (LONG[:100], len(LONG), "hit")
    assert (second["outcome"], second["error_step"]) == ("error", "query")
    assert first["trace_id"] != second["trace_id"]


def test_within_a_query_it_annotates_and_does_not_count_again(on: None, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = ProductionRAGMonitor()
    with ragwatch.query("why?"), ragwatch.generate():
        monitor.track_query("why?", 0.5, False, True)
    found = ragwatch.metrics()
    assert (found.query_count, found.error_rate, found.cache_hit_rate) == (1, 1.0, 1.0)
    assert monitor.metrics.query_count == 1
    ragwatch.flush()
    assert len(lines(capsys)) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "soon", None])
def test_a_time_that_is_no_number_is_said_and_never_raised(
    off: None, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = ProductionRAGMonitor(log_queries=False)
    monitor.track_query("why?", value, True, False)  # type: ignore[arg-type]
    assert monitor.metrics.query_count == 0
