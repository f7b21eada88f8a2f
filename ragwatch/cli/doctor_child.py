"""What ``ragwatch doctor`` runs in a process of its own: a query of the SDK, or the user's app, imported or asked.

``python -m ragwatch.cli.doctor_child canary``, ``… target pkg.mod:function`` and ``… ask demo|pkg.mod:function
[QUESTION [DIR]]`` print one JSON object on the last line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import nullcontext
from dataclasses import replace
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


def watch_processors() -> list[str]:
    """The span processors that others add from now on, by the class of their exporter where they have one."""
    from opentelemetry.sdk import trace as sdk

    found: list[str] = []

    def noted(add: Any) -> Any:
        def added(self: Any, span_processor: Any) -> None:
            if not type(span_processor).__module__.startswith("ragwatch."):
                found.append(type(getattr(span_processor, "span_exporter", span_processor)).__name__)
            add(self, span_processor)

        return added

    for kind in (sdk.SynchronousMultiSpanProcessor, sdk.ConcurrentMultiSpanProcessor):
        kind.add_span_processor = noted(kind.add_span_processor)  # type: ignore[method-assign]
    return found


def asked(name: str, question: str = "", cache_dir: str = "") -> dict[str, Any]:
    """Ask the demo one of its own questions, or the user's function a given one; what became of it."""
    from opentelemetry import trace

    import ragwatch
    from ragwatch.cli.target import load_function
    from ragwatch.cli.target_options import open_demo
    from ragwatch.errors import ConfigError, RagwatchError
    from ragwatch.record import QueryRecord
    from ragwatch.sdk.setup import running
    from ragwatch.target.asking import ask, ask_async
    from ragwatch.target.target import function_target

    processors = watch_processors()
    try:
        if name == "demo":
            ragwatch.init(service=SERVICE, log_queries=False)
            found = open_demo(Path(cache_dir) if cache_dir else None)
            question = question or found.golden[0].question
        else:
            found = function_target(name, load_function(name, "TARGET"))
    except RagwatchError as error:
        return {"fails": error.problem if isinstance(error, ConfigError) else str(error)}
    process, records, spans = running(), list[QueryRecord](), list[trace.Span]()
    if process is not None:
        process[0].on_record = records.append
        process[1].quiet()

    def call(text: str) -> Any:
        spans.append(trace.get_current_span())
        return found.call(text)

    target = replace(found, call=call)
    # where ragwatch is off and an instrumentor is on, its spans need one above them whose trace is known
    own = trace.get_tracer(SERVICE).start_as_current_span(SERVICE) if process is None else nullcontext()
    with own:
        answer = asyncio.run(ask_async(target, question, {})) if found.is_async else ask(target, question, {})
    context = spans[0].get_span_context() if spans else trace.INVALID_SPAN_CONTEXT
    provider: Any = trace.get_tracer_provider()
    if process is not None:
        delivered = ragwatch.flush(FLUSH_S)
    else:
        delivered = bool(getattr(provider, "force_flush", lambda _: False)(int(FLUSH_S * 1000)))
    kind = type(provider)
    resource = process[0].resource if process is not None else getattr(provider, "resource", None)
    last = records[-1].steps if records else ()
    found.close()
    return {
        "on": context.is_valid,
        "unexported": f"{kind.__module__}.{kind.__qualname__}" if process is None and not processors else None,
        "service": str(resource.attributes.get("service.name")) if resource is not None else SERVICE,
        "question": question,
        "error": None if answer.error is None else f"{type(answer.error).__name__}: {answer.error}",
        "seconds": answer.seconds,
        "steps": [step.step for step in last],
        "documents": next((len(step.documents) for step in reversed(last) if step.documents), 0),
        "trace_id": f"{context.trace_id:032x}",
        "sampled": context.trace_flags.sampled,
        "delivered": delivered,
        "telemetry": ragwatch.telemetry() if process is not None else {"lost": {}},
    }


def target(name: str) -> dict[str, Any]:
    """Import the user's app; who traces in it, and how."""
    from ragwatch.cli.target import load_function
    from ragwatch.errors import ConfigError

    processors = watch_processors()
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
        "processors": processors,
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
    found = canary() if what == "canary" else asked(*given) if what == "ask" else target(*given)
    print(f"\n{json.dumps(found)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
