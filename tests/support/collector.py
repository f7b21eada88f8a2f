"""A real OpenTelemetry Collector for tests: built once from Go modules, started on free ports, gone at the end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.endpoints import Endpoints
from tests.support.golang import BUILD_TIMEOUT_S as BUILD_TIMEOUT_S  # noqa: PLC0414  (for those who use a collector)
from tests.support.golang import built
from tests.support.procs import Process
from tests.support.sink import Received


def collector_binary() -> Path:
    """The collector, built where that is needed."""
    return built("otelcol")


class Collector(Endpoints):
    """A running collector that writes all it gets to a file and, given a URL, hands it on by OTLP/HTTP.

    ``config`` is laid over the standard one (mappings are merged, anything else replaces); ``received`` reads the file.
    """

    def __init__(
        self, directory: Path, *, forward_to: str | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        self._binary = collector_binary()
        self._file = directory / "otelcol.jsonl"
        self._config = directory / "otelcol.yaml"
        self._config.write_text(yaml.safe_dump(_merged(_standard(self._file, forward_to), config or {})))
        self._process: Process | None = None
        self.http_port = 0
        self.grpc_port = 0

    def messages(self) -> list[Any]:
        """The trace requests in its file so far, as ``opentelemetry.proto`` reads them."""
        if not self._file.exists():
            return []
        lines = self._file.read_bytes().split(b"\n")[:-1]  # the last may be half written
        found = [
            Received("traces", line, "application/json", "file", {}) for line in lines if b'"resourceSpans"' in line
        ]
        return [item.message for item in found]

    def spans(self) -> list[Any]:
        """Every span in its file so far."""
        messages: list[ExportTraceServiceRequest] = self.messages()
        return [
            span
            for message in messages
            for group in message.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def __enter__(self) -> Self:
        process = self._process = Process([self._binary, "--config", self._config])
        try:
            process.wait_line("Everything is ready")
            started = "\n".join(line for line in process.stderr if '"otlp"' in line)
            self.grpc_port, self.http_port = (
                int(_found(rf'Starting {name} server.*"endpoint":\s*"127\.0\.0\.1:(\d+)"', started))
                for name in ("GRPC", "HTTP")
            )
        except BaseException:
            process.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process is not None
        self._process.close()


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, f"{pattern!r} is not in:\n{text}"
    return match[1]


def _standard(file: Path, forward_to: str | None) -> dict[str, Any]:
    exporters: dict[str, Any] = {"file": {"path": str(file), "flush_interval": "20ms"}}
    if forward_to:
        exporters["otlp_http"] = {"endpoint": forward_to, "sending_queue": {"enabled": False}}
    pipeline = {"receivers": ["otlp"], "exporters": list(exporters)}
    loopback = {"endpoint": "127.0.0.1:0"}
    return {
        "receivers": {"otlp": {"protocols": {"http": loopback, "grpc": loopback}}},
        "exporters": exporters,
        "service": {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"encoding": "json"}},
            "pipelines": {signal: dict(pipeline) for signal in ("traces", "metrics", "logs")},
        },
    }


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One configuration laid over another.

    >>> _merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": [4]})
    {'a': {'b': 1, 'c': 3}, 'd': [4]}
    """
    merged = json.loads(json.dumps(below))
    for key, value in above.items():
        held = merged.get(key)
        merged[key] = _merged(held, value) if isinstance(held, dict) and isinstance(value, Mapping) else value
    return dict(merged)
