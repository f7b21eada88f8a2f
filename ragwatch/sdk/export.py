"""How one request of OTLP reaches a receiver, and what its answer means. One class a protocol, loaded when needed.

Bodies are serialised ``Export*ServiceRequest``s for every protocol, so that queue, retry and the count of what was lost
are the same code: an answer is delivered, to be tried again, or refused for good (the OTLP specification's tables).
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from ragwatch import __version__
from ragwatch.config.otel_env import Endpoint, Signal
from ragwatch.config.urls import mask_url

USER_AGENT = f"ragwatch/{__version__}"
_RETRYABLE_HTTP = frozenset({429, 502, 503, 504})
_RETRYABLE_GRPC = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
_SERVICES = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}


class Answer(NamedTuple):
    """What a receiver said: delivered (less ``rejected`` items), or not; and if not, whether to try again, and when."""

    delivered: bool
    again: bool = False
    after_s: float | None = None
    rejected: int = 0
    problem: str = ""
    reached: bool = True
    """Whether there was a receiver at all: one that is busy is worth waiting for, one that is not there is not."""


class Transport(Protocol):
    """Sends one serialised request. Never raises."""

    def send(self, body: bytes) -> Answer:
        """Send it and wait for the answer."""

    def close(self) -> None:
        """Let go of the connection."""


def transport(signal: Signal, endpoint: Endpoint) -> Transport:
    """The transport that an endpoint's protocol asks for."""
    if endpoint.protocol == "grpc":
        return GrpcTransport(signal, endpoint)
    return HttpTransport(signal, endpoint) if is_http(endpoint.url) else Nowhere(endpoint.url)


def load(protocol: str) -> None:
    """Import what a transport of that protocol needs, on the calling thread.

    A process that forks while another thread imports leaves half of a module to its child, where it stays half: then
    a child could never send anything ("unknown encoding: idna").
    """
    "".encode("idna")
    if protocol == "grpc":
        import grpc  # noqa: F401
        from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # noqa: F401
    else:
        import urllib.request  # noqa: F401

        import urllib3  # noqa: F401
    if protocol == "http/json":
        from google.protobuf import json_format  # noqa: F401


def is_http(url: str) -> bool:
    """Whether a request can go to that URL at all.

    >>> [is_http(url) for url in ("https://c:4318/v1/logs", "c:4318/v1/logs", "http://[::1/v1/logs", "http://c:99999")]
    [True, False, False, False]
    """
    try:
        split = urlsplit(url)
        return split.scheme in {"http", "https"} and bool(split.hostname) and split.port != 0
    except ValueError:
        return False


class Nowhere:
    """An endpoint that is none: everything waits, and what is wrong is said."""

    def __init__(self, url: str) -> None:
        self._problem = f"{mask_url(url)!r} is no URL with http:// or https://"

    def send(self, body: bytes) -> Answer:  # noqa: ARG002  (a transport's signature)
        """There is nowhere to send it."""
        return Answer(False, again=True, problem=self._problem, reached=False)

    def close(self) -> None:
        """There is nothing to close."""


class HttpTransport:
    """OTLP over HTTP/1.1, protobuf or JSON, on a kept connection; proxies as the environment says.

    urllib3 itself: a request through ``requests``, which builds on it, costs 0.65 ms of CPU instead of 0.37.
    """

    def __init__(self, signal: Signal, endpoint: Endpoint) -> None:
        from urllib.request import getproxies, proxy_bypass

        import urllib3

        self._signal = signal
        self._endpoint = endpoint
        self._json = endpoint.protocol == "http/json"
        self._failed = urllib3.exceptions.HTTPError
        self._headers = {
            **dict(endpoint.headers),
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json" if self._json else "application/x-protobuf",
        }
        if endpoint.gzip:
            self._headers["Content-Encoding"] = "gzip"
        options: dict[str, Any] = {"timeout": urllib3.Timeout(total=endpoint.timeout_s), "retries": False}
        if endpoint.certificate:
            options["ca_certs"] = endpoint.certificate
        if endpoint.client_certificate:
            options["cert_file"], options["key_file"] = endpoint.client_certificate, endpoint.client_key
        split = urlsplit(endpoint.url)
        proxy = getproxies().get(split.scheme)
        if proxy and not proxy_bypass(split.hostname or ""):
            self._pool: urllib3.PoolManager = urllib3.ProxyManager(proxy, **options)
        else:
            self._pool = urllib3.PoolManager(**options)

    def send(self, body: bytes) -> Answer:
        """Post it; connection faults and the four retryable statuses are to be tried again."""
        data = to_json(self._signal, body) if self._json else body
        if self._endpoint.gzip:
            data = gzip.compress(data, compresslevel=5)
        try:
            response = self._pool.request("POST", self._endpoint.url, body=data, headers=self._headers, redirect=False)
        except (self._failed, OSError) as error:
            problem = f"{type(error).__name__} at {mask_url(self._endpoint.url)}"
            return Answer(False, again=True, problem=problem, reached=False)
        if response.status < 300:
            return Answer(True, **partial_success(self._signal, response.data, self._json))
        problem = f"HTTP {response.status} from {mask_url(self._endpoint.url)}"
        again = response.status in _RETRYABLE_HTTP
        return Answer(False, again, _seconds(response.headers.get("Retry-After")), problem=problem)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


class GrpcTransport:
    """OTLP over gRPC with bodies that are serialised already."""

    def __init__(self, signal: Signal, endpoint: Endpoint) -> None:
        import grpc

        self._signal = signal
        self._endpoint = endpoint
        self._grpc = grpc
        target, secure = _grpc_target(endpoint)
        compression = grpc.Compression.Gzip if endpoint.gzip else grpc.Compression.NoCompression
        options = [("grpc.primary_user_agent", USER_AGENT)]
        if secure:
            credentials = grpc.ssl_channel_credentials(
                _read(endpoint.certificate), _read(endpoint.client_key), _read(endpoint.client_certificate)
            )
            self._channel = grpc.secure_channel(target, credentials, options=options, compression=compression)
        else:
            self._channel = grpc.insecure_channel(target, options=options, compression=compression)
        self._call: Any = self._channel.unary_unary(_SERVICES[signal], _same, _same)

    def send(self, body: bytes) -> Answer:
        """Call Export; the specification's retryable codes are to be tried again."""
        try:
            reply = self._call(body, timeout=self._endpoint.timeout_s, metadata=self._endpoint.headers or None)
        except self._grpc.RpcError as error:
            code = error.code().name
            after = _retry_info(error)
            again = code in _RETRYABLE_GRPC or (code == "RESOURCE_EXHAUSTED" and after is not None)
            details = (error.details() or "").lower()
            reached = code != "UNAVAILABLE" or not ("connect" in details or "dns" in details)
            problem = f"gRPC {code} from {mask_url(self._endpoint.url)}"
            return Answer(False, again, after, problem=problem, reached=reached)
        return Answer(True, **partial_success(self._signal, reply, False))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _grpc_target(endpoint: Endpoint) -> tuple[str, bool]:
    """Where to connect, and whether by TLS: the scheme says, else ``insecure`` does."""
    if endpoint.url.startswith("unix:"):
        return endpoint.url, False
    if "://" not in endpoint.url:
        return endpoint.url, not endpoint.insecure
    split = urlsplit(endpoint.url)
    return split.netloc, split.scheme == "https"


def partial_success(signal: Signal, reply: bytes, is_json: bool) -> dict[str, Any]:
    """How many items a receiver rejected, and what it says; they are not to be sent again. Empty: full success."""
    if not reply or reply == b"{}":
        return {}
    try:
        if is_json:
            held = json.loads(reply).get("partialSuccess") or {}
        else:
            message = _messages(signal)[1].FromString(reply).partial_success
            held = {field.name: value for field, value in message.ListFields()}
        rejected = sum(max(0, int(value)) for key, value in held.items() if key.startswith("rejected"))
        return {"rejected": rejected, "problem": str(held.get("errorMessage", held.get("error_message", "")))[:200]}
    except (ValueError, AttributeError, TypeError):
        return {}
    except Exception as error:  # (protobuf's DecodeError has no common public base)
        if type(error).__name__ != "DecodeError":
            raise
        return {}


def to_json(signal: Signal, body: bytes) -> bytes:
    """A serialised request as OTLP/JSON: protobuf's JSON, with ids in hex and enums as numbers."""
    from google.protobuf import json_format

    data = json_format.MessageToDict(_messages(signal)[0].FromString(body), use_integers_for_enums=True)
    _hex_ids(data)
    return json.dumps(data, separators=(",", ":")).encode()


def _hex_ids(data: Any) -> None:
    if isinstance(data, dict):
        for key, value in data.items():
            if key in {"traceId", "spanId", "parentSpanId"} and isinstance(value, str):
                data[key] = binascii.hexlify(base64.b64decode(value)).decode()
            else:
                _hex_ids(value)
    elif isinstance(data, list):
        for item in data:
            _hex_ids(item)


def _messages(signal: Signal) -> tuple[Any, Any]:
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

        return trace.ExportTraceServiceRequest, trace.ExportTraceServiceResponse
    if signal == "metrics":
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics

        return metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs

    return logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse


def _retry_info(error: Any) -> float | None:
    """The delay of ``google.rpc.RetryInfo`` in a gRPC status, in seconds."""
    from google.rpc import error_details_pb2, status_pb2

    packed = next((value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin"), None)
    if packed is None:
        return None
    info = error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(packed).details:
        if detail.Unpack(info):
            return float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / 1e9
    return None


def _seconds(header: str | None) -> float | None:
    """A ``Retry-After`` header in seconds; its HTTP-date form too."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _read(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:  # noqa: PTH123  (pathlib is not loaded for this)
        return file.read()


def _same(data: bytes) -> bytes:
    return data
