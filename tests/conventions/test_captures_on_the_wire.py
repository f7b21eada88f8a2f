"""Captures over real gRPC and HTTP into a real agent: the same records as in one process."""

from __future__ import annotations

from pathlib import Path
from urllib.request import Request, urlopen

import grpc
import pytest

from ragwatch.conventions.decode_json import json_to_protobuf
from ragwatch.record import QueryRecord
from tests.support.agent import Agent
from tests.support.captures import GIVEN, Came, assembled, joined, requests_of, shuffled_batches, spans_in
from tests.support.wait import wait_until

NAMES = (
    "double-openinference-langchain-plus-openai",
    "openllmetry-llama-index",
    "openlit-openai-chroma",
    "haystack-native",
    "otel-genai-langchain",
)
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.mark.timeout(60)
def test_many_small_requests_in_any_order_by_both_transports_give_the_same_records(tmp_path: Path) -> None:
    requests = [request for name in NAMES for request in requests_of(GIVEN / f"{name}.otlp.jsonl")]
    spans: list[Came] = [came for request in requests for came in spans_in(joined([request]))]
    whole = assembled(spans)
    batches = shuffled_batches(requests, seed=3, largest=30)
    with Agent(tmp_path, "--foreign-linger-s", "3", "--incomplete-after-s", "5") as agent:
        with grpc.insecure_channel(agent.grpc_target) as channel:
            export = channel.unary_unary(EXPORT)
            for number, batch in enumerate(batches):
                body = joined(batch)
                if number % 3 == 0:
                    export(json_to_protobuf("traces", body), timeout=10)
                    continue
                as_json = number % 3 == 1
                data = body if as_json else json_to_protobuf("traces", body)
                kind = "application/json" if as_json else "application/x-protobuf"
                with urlopen(
                    Request(agent.http_url + "/v1/traces", data, {"Content-Type": kind}), timeout=10
                ) as answer:
                    assert answer.status == 200
        shown = lambda: agent.json("/api/queries?limit=500")["queries"]  # noqa: E731
        wait_until(lambda: len(shown()) == len(whole.queries), 20, what="every query to be whole")
        found = [QueryRecord.from_dict(record) for record in shown()]
        expected = [QueryRecord.from_json(record.to_json()) for record in whole.queries]
        assert sorted(found, key=str) == sorted(expected, key=str)
        steps = sum(len(record.steps) for record in whole.queries) + len(whole.loose)
        agent.wait_metric("rag_step_calls_total", steps)
        assert agent.metric("rag_query_duration_seconds_count") == len(whole.queries)
