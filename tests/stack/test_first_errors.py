"""A burst of errors right after a start is in the error rate: counters begin at 0 before the first of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragwatch.monitoring.rules import alert_rules, to_yaml
from ragwatch.monitoring.slo import BUNDLED, slos_of
from tests.support.agent import Agent
from tests.support.procs import Process
from tests.support.prometheus import Prometheus
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
APP = """
import sys, time, ragwatch
ragwatch.init(service="fresh", environment="test", log_queries=False)
def ask(down):
    try:
        with ragwatch.query("q"), ragwatch.retrieve():
            if down:
                raise ConnectionError("away")
    except ConnectionError:
        pass
def burst(count, down):
    for _ in range(count):
        ask(down)
    ragwatch.flush()
burst(1, False)
print("up", flush=True)
sys.stdin.readline()
burst(60, True)
print("failed", flush=True)
sys.stdin.readline()
"""
RATE = 'sum by (step, error_class) (increase(rag_query_errors_total{service="fresh"}[20s]))'


@pytest.mark.timeout(120)
def test_the_first_errors_of_a_service_are_in_the_rate_and_fire_the_alert(tmp_path: Path) -> None:
    rules = {"alerts.yml": to_yaml(alert_rules(slos_of(BUNDLED, "test"), 0.05), "test")}
    (tmp_path / "agent").mkdir()
    with (
        Agent(tmp_path / "agent") as agent,
        Prometheus(tmp_path / "p", {"ragwatch": agent.web_url.removeprefix("http://")}, rules) as prometheus,
        Process.python("-c", APP, env={"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}) as app,
    ):
        app.wait_line("up")
        wait_until(lambda: prometheus.query('rag_query_errors_total{service="fresh"}'), 20, what="the zeros")
        shown = prometheus.query('sum(rag_query_errors_total{service="fresh"})')
        assert [float(item["value"][1]) for item in shown] == [0.0]
        assert prometheus.query('sum(rate(rag_query_duration_seconds_count{service="fresh"}[20s])) > 0') == []
        app.say("")
        app.wait_line("failed")
        agent.wait_metric("rag_query_errors_total", 60, service="fresh")
        grown = wait_until(lambda: prometheus.query(f"{RATE} > 0"), 20, what="the burst in the rate")
        assert grown is not None
        (series,) = grown
        assert series["metric"] == {"step": "retrieve", "error_class": "connection"}
        assert float(series["value"][1]) >= 60
        fired = wait_until(lambda: prometheus.firing().get("RagErrorRate"), 40, what="RagErrorRate")
        assert fired is not None
        assert fired[0]["labels"]["step"] == "retrieve"
        assert "retrieve (connection)" in fired[0]["annotations"]["summary"]


@pytest.mark.timeout(60)
def test_a_ratio_of_what_nobody_did_stays_absent(tmp_path: Path) -> None:
    """The zeros of a service that has answered nothing make no error rate of 0."""
    rules = {"alerts.yml": to_yaml(alert_rules(slos_of(BUNDLED, "test"), 0.05), "test")}
    with (
        Agent(tmp_path) as agent,
        Prometheus(tmp_path / "p", {"ragwatch": agent.web_url.removeprefix("http://")}, rules) as prometheus,
        Process.python("-c", IDLE, env={"OTEL_EXPORTER_OTLP_ENDPOINT": agent.http_url}) as app,
    ):
        app.wait_line("up")
        every = 'sum(rate(rag_query_duration_seconds_count{service="idle"}[5s]))'
        wait_until(lambda: prometheus.query(every), 20, what="zeros over a window")
        errors = 'sum(rate(rag_query_duration_seconds_count{service="idle",outcome="error"}[5s]))'
        assert prometheus.query(f"({errors} or 0 * {every}) / ({every} > 0)") == []
        assert set(prometheus.firing()) == {"Watchdog"}


IDLE = """
import sys, ragwatch
ragwatch.init(service="idle", log_queries=False)
with ragwatch.ingest("nightly"):
    pass
ragwatch.flush()
print("up", flush=True)
sys.stdin.readline()
"""
