"""Where something on the loopback takes OTLP."""

from __future__ import annotations


class Endpoints:
    """What has an OTLP port for gRPC and one for HTTP."""

    http_port: int
    grpc_port: int

    @property
    def http_url(self) -> str:
        """For ``OTEL_EXPORTER_OTLP_ENDPOINT`` with HTTP."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc_target(self) -> str:
        """For a gRPC channel."""
        return f"127.0.0.1:{self.grpc_port}"
