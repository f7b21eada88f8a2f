"""Sent = received + lost, whatever the receiver says; and the app never notices."""

from __future__ import annotations

import logging
import time

import pytest

import ragwatch
from ragwatch.sdk import guard
from tests.sdk.conftest import Watched
from tests.support.procs import Process
from tests.support.sink import BAD_REQUEST, OK, Answer, Sink
from tests.support.wait import wait_until


def some(queries: int = 5) -> None:
    for number in range(queries):
        with ragwatch.query(f"q{number}"), ragwatch.retrieve():
            pass


def lost(signal: str) -> dict[str, int]:
    found = ragwatch.telemetry()["lost"]
    return {key.partition("/")[2]: count for key, count in found.items() if key.startswith(signal)}


def test_everything_arrives_once(watched: Watched) -> None:
    some(500)
    assert len(watched.spans()) == 1000
    assert len({span.span_id for span in watched.spans()}) == 1000
    assert watched.sink.counts()["logs"]["items"] == 500
    metrics = watched.sink.metrics()
    points = metrics["rag.query.duration"].histogram.data_points
    assert sum(point.count for point in points) == 500
    assert ragwatch.telemetry()["sent"]["traces"] == 1000


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_receiver_that_is_busy_gets_it_later(watched: Watched, status: int) -> None:
    watched.sink.answer(Answer(status, retry_after_s=0.01), times=3)
    some()
    assert len(watched.spans()) == 10
    assert lost("traces") == {}


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500])
def test_what_is_refused_for_good_is_counted_and_not_sent_again(watched: Watched, status: int) -> None:
    watched.sink.answer(Answer(status))
    some()
    ragwatch.flush(5)
    watched.sink.answer(OK)
    assert watched.sink.counts()["traces"]["attempts"] == 1
    assert lost("traces") == {"refused": 10}


def test_a_partial_success_counts_what_was_rejected(watched: Watched) -> None:
    watched.sink.answer(Answer(rejected=3, message="three are bad"))
    some()
    assert len(watched.spans()) == 10
    assert lost("traces") == {"rejected": 3}
    assert ragwatch.telemetry()["sent"]["traces"] == 7


def test_a_warning_without_rejections_is_a_success(watched: Watched) -> None:
    watched.sink.answer(Answer(rejected=0, message="please upgrade"))
    some()
    watched.spans()
    assert lost("traces") == {}
    assert ragwatch.telemetry()["sent"]["traces"] == 10


@pytest.mark.parametrize("watched", [{"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}], indirect=True)
def test_gzip(watched: Watched) -> None:
    some()
    assert len(watched.spans()) == 10
    assert {item.headers.get("content-encoding") for item in watched.sink.received} == {"gzip"}


@pytest.mark.parametrize("watched", [{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}], indirect=True)
def test_json(watched: Watched) -> None:
    some()
    assert len(watched.spans()) == 10
    assert {item.content_type for item in watched.sink.received} == {"application/json"}
    assert watched.sink.metrics()["rag.query.duration"]


def test_grpc(settings: pytest.MonkeyPatch) -> None:
    with Sink() as sink:
        settings.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{sink.grpc_target}")
        settings.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        settings.setenv("RAGWATCH_LOG_FILE", "/dev/null")
        ragwatch.init(service="grpc")
        sink.answer(Answer(503, retry_after_s=0.01), times=1)
        some()
        assert ragwatch.flush(20)
        assert len(sink.spans()) == 10
        assert sink.counts()["logs"]["items"] == 5
        assert sink.metrics()["rag.query.duration"]
        ragwatch.shutdown()


def test_headers_and_an_endpoint_of_a_signal(settings: pytest.MonkeyPatch) -> None:
    with Sink(grpc=False) as traces, Sink(grpc=False) as rest:
        settings.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", rest.http_url)
        settings.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{traces.http_url}/v1/traces")
        settings.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
        settings.setenv("RAGWATCH_LOG_FILE", "/dev/null")
        ragwatch.init(service="split")
        some()
        assert ragwatch.flush(20)
        ragwatch.shutdown()
        assert (traces.counts()["traces"]["items"], rest.counts()["traces"]["items"]) == (10, 0)
        assert (traces.counts()["logs"]["items"], rest.counts()["logs"]["items"]) == (0, 5)
        assert {item.headers["authorization"] for item in traces.received} == {"Bearer abc"}


@pytest.mark.parametrize("watched", [{"OTEL_BSP_MAX_QUEUE_SIZE": "10"}], indirect=True)
def test_a_full_queue_drops_spans_and_counts_them_but_no_query(watched: Watched) -> None:
    some(400)
    spans = len(watched.spans())
    assert spans + lost("traces").get("queue_full", 0) == 800
    assert ragwatch.metrics().query_count == 400


def test_it_is_said_once_and_said_again_when_it_is_over(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ragwatch")
    watched.sink.answer(Answer(drop=True))
    for _ in range(3):
        some()
        ragwatch.flush(0.05)
    wait_until(lambda: "cannot be delivered" in caplog.text, 10)
    watched.sink.answer(OK)
    assert len(watched.spans()) == 30
    said = [record.message for record in caplog.records]
    assert sum("cannot be delivered" in line for line in said) == 1
    assert sum("delivered again" in line for line in said) == 1
    assert lost("traces") == {}


def test_flush_says_whether_it_was_delivered(watched: Watched) -> None:
    watched.sink.answer(Answer(503))
    some()
    assert ragwatch.flush(0.2) is False
    watched.sink.answer(OK)
    assert ragwatch.flush(20) is True


def test_the_app_does_not_wait_for_a_slow_receiver(watched: Watched) -> None:
    watched.sink.answer(Answer(delay_s=2.0))
    started = time.perf_counter()
    some(200)
    assert time.perf_counter() - started < 1.0
    watched.sink.answer(OK)


APP = """
import ragwatch
ragwatch.init(service="short")
with ragwatch.query("q"):
    pass
"""


def test_at_exit_everything_is_delivered() -> None:
    with Sink(grpc=False) as sink:
        with Process.python("-c", APP, env={"OTEL_EXPORTER_OTLP_ENDPOINT": sink.http_url}) as process:
            assert process.wait(30) == 0
        assert [sink.counts()[signal]["items"] > 0 for signal in ("traces", "metrics", "logs")] == [True] * 3


def test_at_exit_a_receiver_that_hangs_is_waited_for_within_the_bound() -> None:
    with Sink(grpc=False) as sink:
        sink.answer(Answer(delay_s=60))
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.http_url, "RAGWATCH_SHUTDOWN_TIMEOUT": "0.3"}
        started = time.monotonic()
        with Process.python("-c", APP, env=env) as process:
            assert process.wait(30) == 0
        assert time.monotonic() - started < 10


def test_bad_data_is_said(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.sink.answer(BAD_REQUEST, times=1)
    some()
    ragwatch.flush(5)
    assert "HTTP 400" in caplog.text


@pytest.mark.parametrize("endpoint", ["localhost:4318", "http://[::1", "ftp://collector"])
def test_an_endpoint_that_is_none_is_said_once_and_the_app_goes_on(
    settings: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, endpoint: str
) -> None:
    settings.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    settings.setenv("RAGWATCH_LOG_QUERIES", "false")
    ragwatch.init(service="s")
    with ragwatch.query("q"):
        pass
    assert not ragwatch.flush(1.0)
    ragwatch.shutdown(0.1)
    said = [line for line in caplog.messages if "cannot be delivered" in line]
    assert len(said) == 1
    assert f"{endpoint}/v1/" in said[0]
    assert guard.faults == {}


def test_metrics_are_not_held_up_while_other_requests_keep_coming() -> None:
    """A receiver takes 20 ms a request, logs come every 10 ms, metrics every 50: each signal goes on all the time."""
    from ragwatch.config.otel_env import read_settings
    from ragwatch.sdk.sender import Batch, Senders

    with Sink() as sink:
        sink.answer(Answer(200, delay_s=0.02), times=10_000)
        endpoints = read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": sink.http_url}).endpoints
        senders = Senders({signal: found for signal, found in endpoints.items() if found}, lambda *_: None)
        began = time.monotonic()
        for number in range(150):
            senders.put(Batch("logs", b"", 1))
            if number % 5 == 0:
                senders.put(Batch("metrics", b"", 1))
            time.sleep(0.01)
        taken = [item.signal for item in sink.received]
        assert time.monotonic() - began < 10
        assert taken.count("metrics") >= 3
        assert taken.count("logs") > 2 * taken.count("metrics")
        senders.stop(0.1)
