"""The doctor's look at an app behind a URL: it is asked once, and the query has to come to the agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from secrets import randbits
from time import monotonic, sleep, time_ns
from typing import Any

from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from ragwatch.cli.doctor_app import Check
from ragwatch.cli.doctor_child import SERVICE
from ragwatch.cli.doctor_receiver import place_of
from ragwatch.cli.source import RunningAgent
from ragwatch.target.target import Target

QUESTION = "What do you know?"
ARRIVAL_S = 20.0
"""An instrumentor's batch waits five seconds, the agent six for its last spans."""


def url_checks(
    target: Target, agent: RunningAgent, arrival_s: float = ARRIVAL_S, question: str = QUESTION
) -> Iterator[Check]:
    """Ask under a trace of the doctor's own, and look for the query: by that trace, else any that began since."""
    trace_id = randbits(128) or 1
    context = SpanContext(trace_id, randbits(64) or 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    asked_ns = time_ns()
    try:
        with use_span(NonRecordingSpan(context)):
            for _ in target.call(question):
                pass
    except Exception as error:  # noqa: BLE001  (whatever the app, or the way to it, does)
        yield Check(
            "app", "wrong", f"{target.name}: {error}", "start it; how it is asked say --body, --answer, --header"
        )
        return
    until = monotonic() + arrival_s
    found: dict[str, Any] | None = None
    while found is None and monotonic() < until:
        sleep(0.2)
        found = _query(agent, f"/api/queries/{trace_id:032x}", 0)
    if found is not None:
        said = f"it answered, and its query is in the agent: service {found['service']}, trace {found['trace_id']}"
        yield Check("app", "ok", said)
        return
    found = _query(agent, "/api/queries?limit=100", asked_ns)
    if found is not None:
        said = f"it answered, and a query of {found['service']} came, in a trace of its own"
        yield Check("app", "note", said, "let its web framework's instrumentor take the trace from the request")
        return
    endpoint = place_of(agent).url("http/protobuf")
    yield Check(
        "app", "wrong", f"it answered, and no query of it came to the agent at {agent.name}",
        f"in its process: OTEL_EXPORTER_OTLP_ENDPOINT={endpoint} (the agent's), and ragwatch.init() or an instrumentor",
    )  # fmt: skip


def _query(agent: RunningAgent, path: str, since_ns: int) -> dict[str, Any] | None:
    """The newest query there that began since, the doctor's own left out."""
    status, _, body = agent.get(path)
    if status != 200:
        return None
    queries: list[dict[str, Any]] = json.loads(body)["queries"]
    return next((query for query in queries if query["start_ns"] >= since_ns and query["service"] != SERVICE), None)
