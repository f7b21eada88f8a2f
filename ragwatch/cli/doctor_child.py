"""What ``ragwatch doctor`` runs in a process of its own: a query of the SDK, the demo, or the import of the user's app.

``python -m ragwatch.cli.doctor_child canary``, ``… demo [DIR]`` and ``… target pkg.mod:function`` print one JSON object
on the last line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SERVICE = "ragwatch-doctor"
"""The service of the doctor's own query, so that it can be told from an app's."""
FLUSH_S = 8.0


def canary() -> dict[str, Any]:
    """Send one query as an app would; what became of it."""
    from opentelemetry import trace

    import ragwatch
    from ragwatch.sdk.setup import running

    ragwatch.init(service=SERVICE, log_queries=False)
    with ragwatch.query("does telemetry flow?"):
        trace_id = ragwatch.trace_id()
        sampled = trace.get_current_span().get_span_context().trace_flags.sampled
        with ragwatch.retrieve(source="doctor") as step:
            step.documents([{"id": "doctor"}])
    on = running() is not None
    delivered = ragwatch.flush(FLUSH_S)
    return {
        "on": on,
        "trace_id": trace_id,
        "sampled": sampled,
        "delivered": delivered,
        "telemetry": ragwatch.telemetry(),
    }


def demo(cache_dir: str | None = None) -> dict[str, Any]:
    """Build the demo's app and ask it one of its own questions; what became of it."""
    import ragwatch
    from ragwatch.cli.target_options import open_demo
    from ragwatch.errors import RagwatchError
    from ragwatch.record import QueryRecord
    from ragwatch.sdk.setup import running
    from ragwatch.target.asking import ask

    ragwatch.init(service=SERVICE, log_queries=False)
    process = running()
    try:
        found = open_demo(Path(cache_dir) if cache_dir else None)
    except RagwatchError as error:
        return {"fails": str(error)}
    records: list[QueryRecord] = []
    if process is not None:
        process[0].on_record = records.append
    question = found.golden[0].question
    answer = ask(found, question, {})
    delivered = ragwatch.flush(FLUSH_S)
    found.close()
    return {
        "on": process is not None,
        "question": question,
        "error": None if answer.error is None else f"{type(answer.error).__name__}: {answer.error}",
        "seconds": answer.seconds,
        "steps": [step.step for step in records[-1].steps] if records else [],
        "documents": next((len(step.documents or ()) for step in reversed(records[-1].steps) if step.documents), 0)
        if records
        else 0,
        "trace_id": answer.trace_id,
        "delivered": delivered,
        "telemetry": ragwatch.telemetry(),
    }


def target(name: str) -> dict[str, Any]:
    """Import the user's app; who traces in it, and how."""
    from ragwatch.cli.target import load_function
    from ragwatch.errors import ConfigError

    try:
        load_function(name, "TARGET")
    except ConfigError as error:
        return {"fails": error.problem}
    from opentelemetry import trace

    from ragwatch.sdk.provider import Provider
    from ragwatch.sdk.setup import running

    provider = trace.get_tracer_provider()
    process = running()
    kind = type(provider)
    with provider.get_tracer("ragwatch-doctor").start_as_current_span("ragwatch-doctor probe") as span:
        records = span.is_recording()
    return {
        "running": process is not None,
        "service": None if process is None else str(process[0].resource.attributes.get("service.name")),
        "content": None if process is None else process[0].settings.content,
        "provider": f"{kind.__module__}.{kind.__qualname__}",
        "provider_is": "none" if kind.__name__ == "ProxyTracerProvider" else "own" if kind is Provider else "other",
        "can_add": hasattr(provider, "add_span_processor"),
        "records": records,
        "sampler": getattr(getattr(provider, "sampler", None), "get_description", lambda: None)(),
        "active": active(),
    }


def active() -> list[str]:
    """The instrumentors that are switched on in this process."""
    from importlib.metadata import entry_points

    found = []
    for entry in entry_points(group="opentelemetry_instrumentor"):
        module = sys.modules.get(entry.module)
        kind = getattr(module, entry.attr, None) if module is not None else None
        held = getattr(kind, "_instance", None)
        if held is not None and getattr(held, "is_instrumented_by_opentelemetry", False):
            found.append(entry.name)
    return sorted(found)


def main() -> int:
    """Do what the arguments say."""
    what, *given = sys.argv[1:]
    found = canary() if what == "canary" else demo(*given) if what == "demo" else target(*given)
    print(f"\n{json.dumps(found)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
