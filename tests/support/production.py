"""``otel-collector.yaml`` as it ships, run by the real collector: only its environment is a test's own."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

import yaml
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.samples import Sample

from tests.support.collector import collector_binary
from tests.support.endpoints import Endpoints
from tests.support.paths import ROOT
from tests.support.procs import Process
from tests.support.sink import Sink

CONFIG = ROOT / "otel-collector.yaml"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def load_config() -> dict[str, dict[str, dict[str, object]]]:
    """The file as YAML, its variables unresolved."""
    loaded: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(CONFIG.read_text())
    return loaded


def variables() -> dict[str, str]:
    """Every environment variable of the file with its default."""
    return dict(re.findall(r"\$\{env:(\w+):-([^}]*)\}", CONFIG.read_text()))


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody has now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


class ProductionCollector(Endpoints):
    """The production pipeline, its Tempo and Loki a sink; a context manager that can be killed and started again.

    ``overlay`` is a second configuration file, as somebody would add one: mappings are merged, lists replaced.
    """

    def __init__(
        self, directory: Path, sink: Sink, *, overlay: Mapping[str, Any] | None = None, **environment: str
    ) -> None:
        self._binary = collector_binary()
        self._configs = [CONFIG]
        if overlay:
            self._configs.append(directory / "overlay.yaml")
            self._configs[-1].write_text(yaml.safe_dump(overlay))
        self.grpc_port, self.http_port, self.prometheus_port, self.telemetry_port, self._health, zpages = free_ports(6)
        self._env = {
            "COLLECTOR_GRPC_ENDPOINT": f"127.0.0.1:{self.grpc_port}",
            "COLLECTOR_HTTP_ENDPOINT": f"127.0.0.1:{self.http_port}",
            "COLLECTOR_PROMETHEUS_ENDPOINT": f"127.0.0.1:{self.prometheus_port}",
            "COLLECTOR_HEALTH_ENDPOINT": f"127.0.0.1:{self._health}",
            "COLLECTOR_ZPAGES_ENDPOINT": f"127.0.0.1:{zpages}",
            "COLLECTOR_TELEMETRY_PORT": str(self.telemetry_port),
            "COLLECTOR_QUEUE_DIRECTORY": str(directory / "queue"),
            "COLLECTOR_DECISION_WAIT_AFTER_ROOT": "1s",
            "TEMPO_ENDPOINT": sink.grpc_target,
            "LOKI_ENDPOINT": sink.http_url,
            **environment,
        }
        self.process: Process | None = None

    def start(self) -> None:
        """Start it (again)."""
        configs = [part for path in self._configs for part in ("--config", path)]
        self.process = Process([self._binary, *configs], env=self._env)
        try:
            self.process.wait_line("Everything is ready")
        except BaseException:
            self.process.close()
            raise

    def kill(self) -> None:
        """``kill -9``."""
        assert self.process is not None
        self.process.kill()
        self.process.close()

    def healthy(self) -> bool:
        """Whether its health check says yes."""
        with urlopen(f"http://127.0.0.1:{self._health}/", timeout=10) as answer:
            return bool(answer.status == 200)

    def send(self, signal: str, body: bytes) -> None:
        """Post a serialised request; anything but a full yes is an error."""
        request = Request(f"{self.http_url}/v1/{signal}", body, {"Content-Type": "application/x-protobuf"})
        with urlopen(request, timeout=20) as answer:
            assert answer.status == 200
            assert answer.read() in {b"", b"\n\x00"}, "part of it was rejected"  # Go writes an empty partial success

    def kpis(self) -> list[Sample]:
        """The samples of its Prometheus exporter, with exemplars."""
        text = _get(self.prometheus_port, OPENMETRICS)
        return [sample for family in openmetrics.text_string_to_metric_families(text) for sample in family.samples]

    def own(self, name: str, **labels: str) -> float:
        """The sum of one of its own metrics, ``otelcol_*``."""
        return sum(
            sample.value
            for family in parser.text_string_to_metric_families(_get(self.telemetry_port, "text/plain"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self.process is not None
        self.process.close()


def _get(port: int, accept: str) -> str:
    with urlopen(Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept}), timeout=10) as answer:
        text: str = answer.read().decode()
        return text
