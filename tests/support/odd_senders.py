"""What goes wrong in the field, sent to an agent: no OTLP, unreadable, twice, late, without a root, ids in a label."""

from __future__ import annotations

import json
import os
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.support.agent import Agent
from tests.support.wait import wait_until


def post(agent: Agent, body: bytes, content_type: str = "application/json") -> int:
    try:
        with urlopen(Request(f"{agent.http_url}/v1/traces", body, {"Content-Type": content_type}), timeout=10) as done:
            return int(done.status)
    except HTTPError as error:
        return error.code


def span(trace: int, number: int, parent: int, step: str, **attributes: str) -> dict[str, Any]:
    now = time.time_ns()
    return {
        "traceId": f"{trace:032x}", "spanId": f"{number:016x}", "parentSpanId": f"{parent:016x}" if parent else "",
        "name": step, "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 1000),
        "attributes": [
            {"key": key, "value": {"stringValue": value}} for key, value in {"rag.step": step, **attributes}.items()
        ],
    }  # fmt: skip


def request(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "t"}, "spans": list(spans)}]}]}).encode()


def garbage() -> bytes:
    """No OTLP, and new each time: what comes twice byte for byte is taken once."""
    return b"\xff\xff\xff" + os.urandom(8)


def odd_senders(agent: Agent) -> None:
    """What goes wrong in the field: no OTLP, unreadable, twice, late, without a root, ids in a label."""
    now = time.time_ns() % 10**12
    assert post(agent, b"<html>", "text/html") == 415
    assert post(agent, garbage(), "application/x-protobuf") == 200
    once = request(span(now, 1, 0, "query"), span(now, 2, 1, "retrieve"))
    assert [post(agent, once), post(agent, once)] == [200, 200]
    sources = [span(now + 9, n, 0, "retrieve", **{"gen_ai.data_source.id": f"s-{n}"}) for n in range(10, 80)]
    assert post(agent, request(*sources)) == 200
    assert post(agent, request(span(now + 1, 3, 7, "retrieve"))) == 200
    broken = span(now + 2, 5, 0, "", **{"openinference.span.kind": "RETRIEVER", "output.value": '{"documents": ['})
    assert post(agent, request(broken)) == 200
    wait_until(lambda: agent.metric("rag_query_duration_seconds_count", outcome="incomplete") > 0, 20)
    assert post(agent, request(span(now, 4, 1, "embed"))) == 200
