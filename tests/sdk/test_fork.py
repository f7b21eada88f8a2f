"""A forked child is a process of its own: new instance id, own numbers, nothing of its parent's sent again."""

from __future__ import annotations

import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.otlp_values import attributes_of
from tests.support.procs import Process
from tests.support.sink import OK, UNAVAILABLE, Sink
from tests.support.wait import wait_until

FORK = """
import os
import ragwatch
ragwatch.init(service="forking")

def ask(name, times):
    for _ in range(times):
        with ragwatch.query(name), ragwatch.retrieve():
            pass

breaker = ragwatch.CircuitBreaker("b")
breaker.call(int)
ask("parent", 3)
children = []
for number in range(3):
    pid = os.fork()
    if not pid:
        assert ragwatch.metrics().query_count == 0, "the child begins at zero"
        ask("child", 5)
        breaker.call(int)
        assert ragwatch.flush(20)
        assert ragwatch.metrics().breaker_calls["b"]["ok"] == 1
        os._exit(0)
    children.append(pid)
ask("parent", 4)
for pid in children:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert ragwatch.metrics().query_count == 7
assert ragwatch.flush(20)
"""


def instances(sink: Sink) -> dict[str, int]:
    """Queries in the last metrics of each process."""
    found: dict[str, int] = {}
    for message in sink.messages("metrics"):
        for group in message.resource_metrics:
            instance = attributes_of(group.resource.attributes)["service.instance.id"]
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "rag.query.duration":
                        found[instance] = sum(point.count for point in metric.histogram.data_points)
    return found


def test_fork() -> None:
    with Sink(grpc=False) as sink:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.http_url, "RAGWATCH_RAISE": "1"}
        with Process.python("-c", FORK, env=env) as process:
            assert process.wait(60) == 0, process.output
        assert sorted(instances(sink).values()) == [5, 5, 5, 7]
        spans = sink.spans()
        assert len(spans) == len({span.span_id for span in spans}) == 2 * (7 + 15)
        assert sink.counts()["logs"]["items"] == 7 + 15


WITHIN = """
import os
import ragwatch
from opentelemetry import trace
ragwatch.init(service="forking", attributes={"service.instance.id": "pod-1"})
with ragwatch.query("the parent's") as query, trace.get_tracer("lib").start_as_current_span("library"):
    pid = os.fork()
    if not pid:
        with ragwatch.retrieve("the child's"):
            pass
        query.end()
        assert ragwatch.metrics().query_count == 0, "the query is the parent's"
        assert ragwatch.metrics().steps["retrieve"]["count"] == 1
        assert ragwatch.flush(20)
        os._exit(0)
    with ragwatch.retrieve("the parent's"):
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert ragwatch.metrics().query_count == 1
"""


def test_fork_within_a_query() -> None:
    with Sink(grpc=False) as sink:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.http_url, "RAGWATCH_RAISE": "1"}
        with Process.python("-c", WITHIN, env=env) as process:
            assert process.wait(60) == 0, process.output
        spans = {span.name: span for span in sink.spans()}
        assert len(spans) == len(sink.spans()) == 4
        assert {span.trace_id for span in spans.values()} == {spans["query"].trace_id}
        assert spans["the child's"].parent_span_id == spans["library"].span_id
        assert spans["library"].parent_span_id == spans["query"].span_id
        groups = [group for message in sink.messages("traces") for group in message.resource_spans]
        by_instance = {
            attributes_of(group.resource.attributes)["service.instance.id"]: {span.name for span in scope.spans}
            for group in groups
            for scope in group.scope_spans
            if scope.scope.name == "ragwatch"
        }
        assert by_instance.pop("pod-1") == {"query", "the parent's"}
        ((instance, names),) = by_instance.items()
        assert (instance.startswith("pod-1-"), names) == (True, {"the child's"})


WHILE_DOWN = """
import os, sys
import ragwatch
ragwatch.init(service="forking")
for _ in range(7):
    with ragwatch.query("parent"):
        pass
assert not ragwatch.flush(0.2)
print("waiting", flush=True)
sys.stdin.readline()
pid = os.fork()
if not pid:
    with ragwatch.query("child"):
        pass
    assert ragwatch.flush(20)
    assert ragwatch.telemetry()["sent"]["traces"] == 1
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert ragwatch.flush(20)
assert ragwatch.telemetry()["sent"]["traces"] == 7
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_the_parent_could_not_deliver_is_delivered_by_the_parent(protocol: str) -> None:
    with Sink() as sink:
        sink.answer(UNAVAILABLE)
        endpoint = sink.http_url if protocol == "http/protobuf" else f"http://{sink.grpc_target}"
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "RAGWATCH_RAISE": "1"}
        with Process.python("-c", WHILE_DOWN, env=env) as process:
            process.wait_line("waiting")
            sink.answer(OK)
            process.say("go")
            assert process.wait(60) == 0, process.output
        spans = sink.spans()
        assert len({span.span_id for span in spans}) == len(spans) == 8
        assert sink.counts()["logs"]["items"] == 8


POOL = """
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
import ragwatch

def ask(number):
    with ragwatch.query("child"):
        return number

def begin_and_ask():
    ragwatch.init(service="pooled")
    ask(1)

if __name__ == "__main__":
    method = sys.argv[1]
    context = multiprocessing.get_context(method)
    if method == "fork":
        ragwatch.init(service="pooled")
        with ProcessPoolExecutor(2, context) as pool:
            assert list(pool.map(ask, range(10))) == list(range(10))
    child = context.Process(target=begin_and_ask)
    child.start()
    child.join()
    assert child.exitcode == 0
"""


@pytest.mark.parametrize(("method", "queries"), [("fork", 11), ("spawn", 1), ("forkserver", 1)])
def test_children_of_multiprocessing_deliver_at_their_end(method: str, queries: int, tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    with Sink(grpc=False) as sink:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.http_url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
        with Process.python("pool.py", method, env=env, cwd=tmp_path) as process:
            assert process.wait(60) == 0, process.output
        assert len({span.span_id for span in sink.spans()}) == len(sink.spans()) == queries
        assert sum(instances(sink).values()) == queries


WEB = """
import ragwatch
ragwatch.init(service="web")
with ragwatch.query("warm-up in the parent"):
    pass

@ragwatch.query
def answer(question):
    with ragwatch.retrieve() as step:
        step.documents(["a"])
    return "because"

def app(environ, start_response):
    body = answer(environ["QUERY_STRING"]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_gunicorn_with_preload(tmp_path: Path) -> None:
    (tmp_path / "web.py").write_text(WEB)
    port = free_port()
    with Sink(grpc=False) as sink:
        command = ["-m", "gunicorn", "--preload", "--workers", "2", "--threads", "2", "--bind", f"127.0.0.1:{port}"]
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.http_url, "RAGWATCH_RAISE": "1", "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with Process.python(*command, "web:app", env=env, cwd=tmp_path) as server:
            wait_until(lambda: _answers(port), 30)
            with ThreadPoolExecutor(4) as pool:
                assert all(pool.map(lambda _: _answers(port), range(200)))
            server.terminate()
        asked = sum(instances(sink).values())
        spans = sink.spans()
        assert asked >= 202  # the warm-up, those that waited for the start, and the 200
        assert len({span.span_id for span in spans}) == len(spans) == 2 * (asked - 1) + 1
        assert len(instances(sink)) == 3


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?why", timeout=5) as response:
            return bool(response.read() == b"because")
    except OSError:
        return False
