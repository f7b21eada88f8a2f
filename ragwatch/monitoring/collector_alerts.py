"""Alerts on an OpenTelemetry Collector that runs ``otel-collector.yaml``, by what it says of itself.

Its metrics are not ragwatch's, so the catalogue does not have them: ``SIGNALS`` and the names here are those of collector
0.155.0, and ``tests/stack/test_collector_alerts.py`` reads them from the real one. A counter of failures is not there
before the first failure, so one that is new counts as grown where the collector was scraped a window ago.
"""

from __future__ import annotations

from typing import Final

from ragwatch.monitoring.alert import Alert, Least, begun_anew, looks, unanswered

SIGNALS: Final = ("spans", "metric_points", "log_records")

_HERE: Final = 'up{job="collector"}'
_UP: Final = f"{_HERE} offset {{w}} == 1"
_ITEMS = Least(10, "spans, points or records")


def _grew(prefix: str, by: str) -> str:
    """By how much the counters of a kind grew over the window, of all signals."""
    names = [f"{prefix}_{signal}" for signal in SIGNALS]
    parts = [
        f"sum by (instance, {by}) (increase({name}[{{w}}])) >= {{least}} or "
        f"sum by (instance, {by}) ({begun_anew(name, _UP)}) >= {{least}}"
        for name in names
    ]
    return " or ".join(f'label_replace({part}, "signal", "{signal}", "", "")' for part, signal in zip(
        parts, SIGNALS, strict=True))  # fmt: skip


COLLECTOR_ALERTS: Final = (
    Alert(
        "RagCollectorDown", "page",
        f"({unanswered(_HERE)}) or 0 * ({_HERE} offset {{3600s}} == 1 unless on (job) {_HERE})", 300, 60, Least(3, "scrapes"),
        "The collector {{ $labels.instance }} answered {{ $value }} scrape(s) in the last {w} and none now: agents keep what they "
        "have on disk",
        "Prometheus cannot scrape the collector. Traces, logs and (in profile `full`) KPIs do not arrive; agents wait and keep "
        "everything on their own disks.",
        'up{job="collector"}',
        "Start it; `otelcol-contrib validate --config otel-collector.yaml` says what a configuration lacks.",
    ),
    Alert(
        "RagCollectorQueueFilling", "page",
        "max by (instance, exporter, data_type) (otelcol_exporter_queue_size / (otelcol_exporter_queue_capacity > 0)) > 0.5", 300, 300, looks(300),
        "The collector's queue of {{ $labels.data_type }} for {{ $labels.exporter }} is {{ $value | humanizePercentage }} full",
        "A backend takes less than comes in, or nothing. Nothing is lost while the queue holds; when it is full the agents are "
        "refused and keep what they have.",
        "otelcol_exporter_queue_size / otelcol_exporter_queue_capacity",
        "Bring the backend (Tempo, Loki) back or make it faster; COLLECTOR_QUEUE_ITEMS for a longer outage.",
    ),
    Alert(
        "RagCollectorExportFails", "page", _grew("otelcol_exporter_send_failed", "exporter"), 900, 0, _ITEMS,
        "The collector gave up {{ $value | humanize }} {{ $labels.signal }} for {{ $labels.exporter }}: they are lost",
        "An exporter failed for good: the backend refused what it was sent, or retries ended (COLLECTOR_RETRY_FOR).",
        "sum by (exporter) (increase(otelcol_exporter_send_failed_spans[15m]))",
        "The collector's own log has the backend's answer: too large, too old, no tenant, no right.",
    ),
    Alert(
        "RagCollectorQueueFull", "page", _grew("otelcol_exporter_enqueue_failed", "exporter"), 900, 0, _ITEMS,
        "The collector's queue for {{ $labels.exporter }} had no room for {{ $value | humanize }} {{ $labels.signal }}",
        "The queue is full: what came was refused. Agents try again; an SDK that sends here directly loses it.",
        "otelcol_exporter_queue_size / otelcol_exporter_queue_capacity",
        "See RagCollectorQueueFilling; put agents before the collector, they wait on disk.",
    ),
    Alert(
        "RagCollectorRefuses", "ticket", _grew("otelcol_receiver_refused", "transport"), 900, 0, _ITEMS,
        "The collector {{ $labels.instance }} turned {{ $value | humanize }} {{ $labels.signal }} away",
        "What was sent was not taken: memory, a full queue, or text that could not be removed (a processor's error refuses the request).",
        "sum by (receiver, transport) (increase(otelcol_receiver_refused_spans[15m]))",
        "RagCollectorMemory or RagCollectorQueueFull beside it says why; alone: the collector's log names the processor.",
    ),
    Alert(
        "RagCollectorMemory", "page", _grew("otelcol_processor_memory_limiter_refused", "processor"), 900, 0, _ITEMS,
        "The collector {{ $labels.instance }} is out of memory and refused {{ $value | humanize }} {{ $labels.signal }}",
        "The memory limiter refuses until memory is free again; agents wait.",
        "otelcol_process_memory_rss",
        "More memory (COLLECTOR_MEMORY_LIMIT_MIB), a shorter wait for traces (COLLECTOR_DECISION_WAIT), or a second collector.",
    ),
)  # fmt: skip
