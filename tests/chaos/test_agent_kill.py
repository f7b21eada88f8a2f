"""``kill -9`` of each process under load: every acked span is in the KPIs exactly once, and no counter ever falls."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from urllib.error import URLError

import grpc
import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.workload import Requests
from ragwatch.kpi.engine import Engine
from ragwatch.kpi.otlp import to_request
from tests.support.agent import Agent
from tests.support.records import query
from tests.support.wait import wait_until

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
SPANS = 30


class Client:
    """Sends requests of unique spans and resends, byte for byte, what was not acked."""

    def __init__(self, target: str, numbers: Iterator[int], *, counted: bool) -> None:
        self._requests = Requests(SPANS, counted=counted, service="marked" if counted else "foreign")
        self._numbers = numbers
        self._target = target
        self._stop = threading.Event()
        self.acked = 0
        self.resent = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
        with grpc.insecure_channel(self._target, options=options) as channel:
            export = channel.unary_unary(TRACES, lambda body: body, lambda reply: reply)
            while not self._stop.is_set():
                body = self._requests.make(next(self._numbers))
                while True:
                    try:
                        export(body, timeout=10)
                    except grpc.RpcError:
                        self.resent += 1
                        self._stop.wait(0.02)
                        continue
                    break
                self.acked += 1

    def finish(self) -> int:
        self._stop.set()
        self._thread.join()
        return self.acked


class Scraper:
    """Polls ``/metrics`` and notes each counter that falls."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._stop = threading.Event()
        self.falls: list[str] = []
        self.scrapes = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        while not self._stop.wait(0.03):
            with suppress(URLError, ConnectionError, TimeoutError):
                text = self._agent.get("/metrics")[2]
                now = {
                    (sample.name, tuple(sorted(sample.labels.items()))): sample.value
                    for family in text_string_to_metric_families(text)
                    if family.type in {"counter", "histogram"}
                    for sample in family.samples
                }
                self.falls += [
                    f"{key}: {value} → {now.get(key)}" for key, value in before.items() if now.get(key, -1) < value
                ]
                before = now
                self.scrapes += 1

    def finish(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.timeout(180)
def test_every_acked_span_is_counted_once_whatever_is_killed(tmp_path: Path) -> None:
    with Agent(tmp_path) as agent:
        numbers = count()
        clients = [Client(agent.grpc_target, numbers, counted=False) for _ in range(2)]
        clients.append(Client(agent.grpc_target, numbers, counted=True))
        scraper = Scraper(agent)
        app = App(agent.grpc_target)
        for role in ("pipeline", "receiver", "pipeline", "supervisor", "receiver", "pipeline"):
            seen = sum(client.acked for client in clients)
            wait_until(lambda seen=seen: sum(client.acked for client in clients) > seen + 30, 30)  # type: ignore[misc]
            pid = agent.state["pids"][role]
            agent.kill(role)
            if role == "supervisor":
                agent.process.wait(10)
                agent.start()
            else:
                wait_until(lambda role=role, pid=pid: agent.state["pids"][role] != pid, 20)  # type: ignore[misc]
        foreign = [client.finish() for client in clients[:2]]
        marked = clients[2].finish()
        app.finish()
        per_request = clients[0]._requests.whole_queries
        agent.wait_metric("ragwatch_agent_received_total", (sum(foreign) + marked) * SPANS, 30, signal="traces")
        agent.wait_metric("rag_query_duration_seconds_count", sum(foreign) * per_request, 15, service="foreign")
        agent.wait_metric("rag_query_duration_seconds_count", app.queries, 15, service="app")
        assert agent.metric("rag_query_duration_seconds_count", service="marked") == 0
        assert agent.metric("rag_step_calls_total", service="foreign", step="embed") == sum(foreign) * per_request
        scraper.finish()
        assert scraper.falls == []
        assert scraper.scrapes > 20
        assert sum(client.resent for client in clients) > 0, "no request was ever cut off: the kill tested nothing"


class App:
    """An app that counts its own queries and sends cumulative KPIs over and over."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._engine = Engine()
        self._stop = threading.Event()
        self.queries = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        resource = Resource({"service.name": "app", "service.instance.id": "app-1"})
        with grpc.insecure_channel(self._target, options=[("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            export = channel.unary_unary(METRICS, lambda body: body, lambda reply: reply)
            last = False
            while not last:
                last = self._stop.wait(0.02)
                self._engine.observe(query(service="app"))
                self.queries += 1
                body = to_request(self._engine.state, resource, start_ns=1, now_ns=time.time_ns())
                while True:
                    try:
                        export(body, timeout=10)
                    except grpc.RpcError:
                        self._stop.wait(0.02)
                        continue
                    break

    def finish(self) -> None:
        self._stop.set()
        self._thread.join()


def test_sigterm_ends_everything_in_time_and_nothing_is_lost(tmp_path: Path) -> None:
    requests = Requests(SPANS, service="foreign")
    with Agent(tmp_path) as agent:
        with grpc.insecure_channel(agent.grpc_target) as channel:
            export = channel.unary_unary(TRACES, lambda body: body, lambda reply: reply)
            for number in range(200):
                export(requests.make(number), timeout=10)
        pids = agent.state["pids"]
        began = time.monotonic()
        assert agent.terminate() == 0
        assert time.monotonic() - began < 5
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())
        agent.start()
        agent.wait_metric("rag_query_duration_seconds_count", 200 * requests.whole_queries, service="foreign")


def test_children_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    with Agent(tmp_path) as agent:
        pids = agent.state["pids"]
        agent.kill("supervisor")
        wait_until(lambda: not any(_runs(pid) for pid in pids.values()), 5, what="the children to end")
        agent.start()
        assert agent.get("/readyz")[0] == 200


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
