"""The SDK's settings from ``OTEL_*`` and ``RAGWATCH_*`` variables, by OpenTelemetry's rules.

Unset or empty means default; a value that cannot be read is warned about once and ignored, never raised. A privacy
value that cannot be read means the most private one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar
from urllib.parse import unquote

from ragwatch.config.reserved import misspelled_sdk_names
from ragwatch.config.urls import mask_url
from ragwatch.config.variables import Variables

Content = Literal["off", "truncated", "full"]
Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")
PROTOCOLS = ("grpc", "http/protobuf", "http/json")
_GRPC_ENDPOINT = "http://localhost:4317"
_HTTP_ENDPOINT = "http://localhost:4318"
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_LOG_LEVELS = {"trace": 10, "debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "fatal": 50, "none": 100}
_NOT_HONOURED = (
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    "OTEL_METRICS_EXEMPLAR_FILTER",
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one signal goes, and how."""

    url: str
    protocol: str
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 10.0
    gzip: bool = False
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class SdkSettings:
    """Everything that the SDK can be told; ``warnings`` says what could not be read."""

    disabled: bool = False
    service: str | None = None
    environment: str | None = None
    content: Content = "off"
    log_queries: bool = True
    log_level: int | None = None
    log_file: str | None = None
    endpoints: Mapping[str, Endpoint | None] = field(default_factory=dict)
    schedule_delay_s: float = 1.0
    max_queue_size: int = 8192
    max_export_batch_size: int = 2048
    export_timeout_s: float = 30.0
    metrics_interval_s: float = 10.0
    shutdown_timeout_s: float = 5.0
    attribute_count_limit: int = 128
    attribute_length_limit: int | None = None
    event_count_limit: int = 128
    link_count_limit: int = 128
    warnings: tuple[str, ...] = ()


def read_settings(environ: Mapping[str, str] | None = None) -> SdkSettings:
    """The settings that the environment holds, in all its layers (``config.variables``).

    >>> settings = read_settings({"RAGWATCH_CONTENT": "yes please", "OTEL_BSP_MAX_QUEUE_SIZE": "many"})
    >>> settings.content, settings.max_queue_size, len(settings.warnings)
    ('off', 8192, 2)
    >>> read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/x/"}).endpoints["logs"].url
    'http://c:4318/x/v1/logs'
    """
    env = _Reader(Variables(environ))
    for name, meant in misspelled_sdk_names(os.environ if environ is None else environ):
        env.warn(f"{name} is no setting; did you mean {meant!r}?")
    length = env.whole("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", env.whole("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", -1))
    for name in _NOT_HONOURED:
        if env.text(name):
            env.warn(f"{name} is not honoured by ragwatch: its metrics are cumulative with fixed buckets")
    for name in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "EXPORT_TIMEOUT"):
        if env.text(f"OTEL_BLRP_{name}"):
            env.warn(f"OTEL_BLRP_{name} is not honoured by ragwatch: its log records go as OTEL_BSP_{name} says")
    return SdkSettings(
        disabled=env.flag("OTEL_SDK_DISABLED", default=False),
        service=env.text("OTEL_SERVICE_NAME"),
        environment=env.text("RAGWATCH_ENVIRONMENT"),
        content=env.content("RAGWATCH_CONTENT"),
        log_level=env.log_level("OTEL_LOG_LEVEL"),
        log_queries=env.flag("RAGWATCH_LOG_QUERIES", default=True),
        log_file=env.text("RAGWATCH_LOG_FILE"),
        endpoints={signal: env.endpoint(signal) for signal in SIGNALS},
        schedule_delay_s=env.number("OTEL_BSP_SCHEDULE_DELAY", 1000.0) / 1000.0,
        max_queue_size=env.whole("OTEL_BSP_MAX_QUEUE_SIZE", 8192, least=1),
        max_export_batch_size=env.whole("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 2048, least=1),
        export_timeout_s=env.number("OTEL_BSP_EXPORT_TIMEOUT", 30000.0) / 1000.0,
        metrics_interval_s=env.number("OTEL_METRIC_EXPORT_INTERVAL", 10000.0) / 1000.0,
        shutdown_timeout_s=env.number("RAGWATCH_SHUTDOWN_TIMEOUT", 5.0),
        attribute_count_limit=env.whole(
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", env.whole("OTEL_ATTRIBUTE_COUNT_LIMIT", 128), least=0
        ),
        attribute_length_limit=None if length < 0 else length,
        event_count_limit=env.whole("OTEL_SPAN_EVENT_COUNT_LIMIT", 128, least=0),
        link_count_limit=env.whole("OTEL_SPAN_LINK_COUNT_LIMIT", 128, least=0),
        warnings=(*env.warnings, *map(str, env.variables.faults)),
    )


class _Reader:
    """Reads variables; collects what it cannot read."""

    def __init__(self, variables: Variables) -> None:
        self.variables = variables
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        if message not in self.warnings:  # what holds for every signal is read for each
            self.warnings.append(message)

    def text(self, name: str) -> str | None:
        value = self.variables.get(name)
        return (value.strip() or None) if value is not None else None

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.text(name)
        if value is None:
            return default
        lowered = value.lower()
        if lowered in _TRUE or lowered in _FALSE:
            return lowered in _TRUE
        return self._unreadable(name, value, "true or false", default)

    def number(self, name: str, default: float) -> float:
        value = self._parsed(name, float, "a number", default)
        if not 0 <= value < 1e15:
            return self._unreadable(name, str(value), "a number of at least 0", default)
        return value

    def whole(self, name: str, default: int, least: int | None = None) -> int:
        value = self._parsed(name, int, "a whole number", default)
        if least is not None and value < least:
            return self._unreadable(name, str(value), f"a whole number of at least {least}", default)
        return value

    def content(self, name: str) -> Content:
        value = (self.text(name) or "off").lower()
        known: dict[str, Content] = {"off": "off", "truncated": "truncated", "full": "full"}
        if value in known:
            return known[value]
        self.warn(f"{name}={value!r} is not off, truncated or full; off is used: no text leaves the process")
        return "off"

    def log_level(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in _LOG_LEVELS:
            return self._unreadable(name, value, "/".join(_LOG_LEVELS), None)
        return _LOG_LEVELS[value.lower()]

    def endpoint(self, signal: Signal) -> Endpoint | None:
        upper = signal.upper()
        exporter = (self.text(f"OTEL_{upper}_EXPORTER") or "otlp").lower()
        if exporter == "none":
            return None
        if exporter != "otlp":
            self.warn(f"OTEL_{upper}_EXPORTER={exporter} is not honoured by ragwatch; it sends otlp, or none")
        protocol = self._otlp(signal, "PROTOCOL") or "http/protobuf"
        if protocol not in PROTOCOLS:
            protocol = self._unreadable(
                f"OTEL_EXPORTER_OTLP_{upper}_PROTOCOL", protocol, "/".join(PROTOCOLS), "http/protobuf"
            )
        timeout = self.number(f"OTEL_EXPORTER_OTLP_{upper}_TIMEOUT", self.number("OTEL_EXPORTER_OTLP_TIMEOUT", 10.0))
        compression = self._otlp(signal, "COMPRESSION") or "none"
        if compression not in {"none", "gzip"}:
            compression = self._unreadable(
                f"OTEL_EXPORTER_OTLP_{upper}_COMPRESSION", compression, "none or gzip", "none"
            )
        return Endpoint(
            url=self._url(signal, protocol),
            protocol=protocol,
            headers=self._headers(signal),
            timeout_s=timeout,
            gzip=compression == "gzip",
            certificate=self._otlp(signal, "CERTIFICATE"),
            client_key=self._otlp(signal, "CLIENT_KEY"),
            client_certificate=self._otlp(signal, "CLIENT_CERTIFICATE"),
            insecure=self.flag("OTEL_EXPORTER_OTLP_INSECURE", default=False),
        )

    def _url(self, signal: Signal, protocol: str) -> str:
        own = self.text(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        base = self.text("OTEL_EXPORTER_OTLP_ENDPOINT")
        if protocol == "grpc":
            return own or base or _GRPC_ENDPOINT
        return own or f"{(base or _HTTP_ENDPOINT).rstrip('/')}/v1/{signal}"

    def _otlp(self, signal: Signal, name: str) -> str | None:
        return self.text(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}") or self.text(f"OTEL_EXPORTER_OTLP_{name}")

    def _headers(self, signal: Signal) -> tuple[tuple[str, str], ...]:
        own, common = f"OTEL_EXPORTER_OTLP_{signal.upper()}_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"
        name = own if self.text(own) else common
        found = []
        for part in filter(None, (piece.strip() for piece in (self.text(name) or "").split(","))):
            key, equals, value = part.partition("=")
            if not equals or not key.strip():
                self.warn(f"{name}: a part that is not key=value is ignored")
                continue
            found.append((unquote(key.strip()).lower(), unquote(value.strip())))
        return tuple(found)

    def _parsed(self, name: str, parse: Callable[[str], T], wanted: str, default: T) -> T:
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError:
            return self._unreadable(name, value, wanted, default)

    def _unreadable(self, name: str, value: str, wanted: str, default: T) -> T:
        self.warn(f"{name}={mask_url(value)!r} is not {wanted}; {default!r} is used")
        return default
