"""One process that runs workload W under one system and prints what it cost; ``benchmarks.sdk`` compares several.

python -m benchmarks.sdk_cost raw|ragwatch|ragwatch-log QUERIES ENDPOINT
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from time import process_time, thread_time

from benchmarks.workload import STEPS, attributes

WARM_UP = 200


def raw() -> tuple[Callable[[int], None], Callable[[], object]]:
    """The opentelemetry-sdk with its batch processor and OTLP/HTTP exporter."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=1 << 20))
    tracer = provider.get_tracer("bench")

    def query(number: int) -> None:
        given = attributes(number)
        with tracer.start_as_current_span("rag.query", attributes=given):
            for step in STEPS:
                with tracer.start_as_current_span(step) as span:
                    for key, value in given.items():
                        span.set_attribute(key, value)

    return query, provider.force_flush


def ragwatch(*, log: bool) -> tuple[Callable[[int], None], Callable[[], object]]:
    """ragwatch: the same spans, and with them the KPIs, their export, and with ``log`` a JSON line a query as well."""
    os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(1 << 20)
    os.environ["RAGWATCH_LOG_QUERIES"] = "true" if log else "false"
    import ragwatch as rw

    rw.init(service="bench")
    kinds = [getattr(rw, step) for step in STEPS]

    def query(number: int) -> None:
        given = attributes(number)
        with rw.query("what is it?", attributes=given):
            for kind in kinds:
                with kind() as step:
                    for key, value in given.items():
                        step.set(key, value)

    def flush() -> object:
        if not rw.flush(60):
            raise SystemExit("not everything was delivered")
        return None

    return query, flush


def main() -> None:
    system, queries, endpoint = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    query, flush = raw() if system == "raw" else ragwatch(log=system == "ragwatch-log")
    for number in range(WARM_UP):
        query(number)
    flush()
    hot, total = thread_time(), process_time()
    for number in range(queries):
        query(number)
    hot = thread_time() - hot
    flush()
    total = process_time() - total
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"hot_us": hot / queries * 1e6, "total_us": total / queries * 1e6, "rss_mb": rss}))


if __name__ == "__main__":
    main()
