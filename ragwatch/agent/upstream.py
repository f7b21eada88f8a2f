"""One request to the upstream, over HTTP or gRPC, and what its answer means."""

from __future__ import annotations

import gzip
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import urllib3

from ragwatch import __version__
from ragwatch.config.agent_values import AgentValues
from ragwatch.config.urls import mask_url

RETRYABLE_HTTP = frozenset({429, 502, 503, 504})
RETRYABLE_GRPC = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
_SERVICES = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}


class Answer(NamedTuple):
    """Delivered, to be tried again (after some seconds), or refused for good."""

    delivered: bool
    again: bool = False
    after_s: float | None = None
    problem: str = ""


class Upstream(Protocol):
    """Where everything goes."""

    name: str

    def send(self, signal: str, body: bytes) -> Answer:
        """Send a serialised request; never raises for what the network does."""


def upstream(settings: AgentValues) -> Upstream:
    """The upstream of the settings."""
    url = settings.upstream or ""
    return GrpcUpstream(settings) if url.startswith("grpc") else HttpUpstream(settings)


class HttpUpstream:
    """OTLP over HTTP with protobuf bodies."""

    def __init__(self, settings: AgentValues) -> None:
        self._url = (settings.upstream or "").rstrip("/")
        self.name = urlsplit(self._url).netloc.rpartition("@")[2]
        self._gzip = settings.upstream_gzip
        self._headers = {
            **settings.upstream_headers,
            "Content-Type": "application/x-protobuf",
            "User-Agent": f"ragwatch-agent/{__version__}",
        }
        if self._gzip:
            self._headers["Content-Encoding"] = "gzip"
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(total=settings.upstream_timeout_s), retries=False)

    def send(self, signal: str, body: bytes) -> Answer:
        """Post it to ``/v1/<signal>``."""
        data = gzip.compress(body, compresslevel=5) if self._gzip else body
        url = f"{self._url}/v1/{signal}"
        try:
            response = self._pool.request("POST", url, body=data, headers=self._headers, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Answer(False, again=True, problem=f"{type(error).__name__} at {mask_url(url)}")
        if response.status < 300:
            if response.headers.get("Content-Type", "").startswith("text/html"):  # somebody's page: no receiver
                return Answer(
                    False, again=True, problem=f"{mask_url(url)} answers with a page, not as an OTLP receiver"
                )
            return Answer(True)
        after = response.headers.get("Retry-After", "")
        return Answer(
            False,
            again=response.status in RETRYABLE_HTTP,
            after_s=float(after) if after.isdigit() else None,
            problem=f"HTTP {response.status} from {mask_url(url)}",
        )


class GrpcUpstream:
    """OTLP over gRPC with bodies that are serialised already."""

    def __init__(self, settings: AgentValues) -> None:
        import grpc

        self._grpc = grpc
        split = urlsplit(settings.upstream or "")
        self.name = split.netloc.rpartition("@")[2]
        self._timeout_s = settings.upstream_timeout_s
        self._metadata = [(key, held) for key, held in settings.upstream_headers.items()]
        compression = grpc.Compression.Gzip if settings.upstream_gzip else grpc.Compression.NoCompression
        if split.scheme == "grpcs":
            channel = grpc.secure_channel(split.netloc, grpc.ssl_channel_credentials(), compression=compression)
        else:
            channel = grpc.insecure_channel(split.netloc, compression=compression)
        self._calls: dict[str, Any] = {
            signal: channel.unary_unary(path, lambda body: body, lambda reply: reply)
            for signal, path in _SERVICES.items()
        }

    def send(self, signal: str, body: bytes) -> Answer:
        """Call Export."""
        try:
            self._calls[signal](body, timeout=self._timeout_s, metadata=self._metadata or None)
        except self._grpc.RpcError as error:
            code = error.code().name
            return Answer(False, again=code in RETRYABLE_GRPC, problem=f"gRPC {code} from {self.name}")
        return Answer(True)
