"""The SDK's settings as a table: which variables set each, what it means, where its value came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ragwatch.config.masking import shown
from ragwatch.config.otel_env import SIGNALS, SdkSettings, Signal, read_settings
from ragwatch.config.report import Row
from ragwatch.config.variables import Variables
from ragwatch.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SdkSetting:
    """A setting of the SDK: its name in ``SdkSettings``, and its variables, the strongest first."""

    name: str
    names: tuple[str, ...]
    meaning: str
    kind: str = "text"
    secret: bool = False


_PROCESS = (
    SdkSetting("disabled", ("OTEL_SDK_DISABLED",), "no telemetry at all", "flag"),
    SdkSetting("service", ("OTEL_SERVICE_NAME",), "the app's name"),
    SdkSetting("environment", ("RAGWATCH_ENVIRONMENT",), "deployment.environment.name"),
    SdkSetting("content", ("RAGWATCH_CONTENT",), "text that may leave the process", "off, truncated or full"),
    SdkSetting("log_queries", ("RAGWATCH_LOG_QUERIES",), "the JSON line a query", "flag"),
    SdkSetting("log_level", ("OTEL_LOG_LEVEL",), "level of ragwatch's own messages", "a level"),
    SdkSetting("log_file", ("RAGWATCH_LOG_FILE",), "where the lines go; standard error unless set", "path"),
    SdkSetting("schedule_delay_s", ("OTEL_BSP_SCHEDULE_DELAY",), "how often spans are sent", "milliseconds"),
    SdkSetting("max_queue_size", ("OTEL_BSP_MAX_QUEUE_SIZE",), "spans that wait", "number"),
    SdkSetting("max_export_batch_size", ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE",), "spans in a request", "number"),
    SdkSetting("export_timeout_s", ("OTEL_BSP_EXPORT_TIMEOUT",), "longest time of a request", "milliseconds"),
    SdkSetting("metrics_interval_s", ("OTEL_METRIC_EXPORT_INTERVAL",), "how often the KPIs are sent", "milliseconds"),
    SdkSetting("shutdown_timeout_s", ("RAGWATCH_SHUTDOWN_TIMEOUT",), "time to deliver at exit", "seconds"),
    SdkSetting(
        "attribute_count_limit",
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"),
        "attributes of a span",
        "number",
    ),
    SdkSetting(
        "attribute_length_limit",
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
        "characters of an attribute's text; no limit unless set",
        "number",
    ),
    SdkSetting("event_count_limit", ("OTEL_SPAN_EVENT_COUNT_LIMIT",), "events of a span", "number"),
    SdkSetting("link_count_limit", ("OTEL_SPAN_LINK_COUNT_LIMIT",), "links of a span", "number"),
)
_ENDPOINT = (
    ("url", "ENDPOINT", "where they go", "URL"),
    ("protocol", "PROTOCOL", "how they go", "http/protobuf, http/json or grpc"),
    ("headers", "HEADERS", "headers of each request", "key=value pairs"),
    ("timeout_s", "TIMEOUT", "longest time of a request", "seconds"),
    ("gzip", "COMPRESSION", "compress requests", "gzip or none"),
    ("certificate", "CERTIFICATE", "certificates to trust", "path"),
    ("client_key", "CLIENT_KEY", "the client's key", "path"),
    ("client_certificate", "CLIENT_CERTIFICATE", "the client's certificate", "path"),
)


def _endpoint(signal: Signal) -> tuple[SdkSetting, ...]:
    upper = signal.upper()
    settings = [SdkSetting(f"{signal}.exporter", (f"OTEL_{upper}_EXPORTER",), "whether they are sent", "otlp or none")]
    for name, word, meaning, kind in _ENDPOINT:
        names = (f"OTEL_EXPORTER_OTLP_{upper}_{word}", f"OTEL_EXPORTER_OTLP_{word}")
        settings.append(SdkSetting(f"{signal}.{name}", names, meaning, kind, secret=name == "headers"))
    insecure = ("OTEL_EXPORTER_OTLP_INSECURE",)
    settings.append(SdkSetting(f"{signal}.insecure", insecure, "gRPC without TLS where the URL has no scheme", "flag"))
    return tuple(settings)


SDK_SETTINGS = (*_PROCESS, *(setting for signal in SIGNALS for setting in _endpoint(signal)))


def sdk_rows(environ: Mapping[str, str] | None = None) -> tuple[list[Row], list[ConfigError]]:
    """Every setting of the SDK with its source, and what it would warn about."""
    variables = Variables(environ)
    settings, defaults = read_settings(environ), read_settings({})
    rows = []
    for setting in SDK_SETTINGS:
        texts = variables.texts_of(setting.names)
        used = [text for name, text in texts if not _refused(name, settings.warnings)]
        rows.append(
            Row(
                name=setting.name,
                value=shown(_value(settings, setting.name), secret=setting.secret),
                source=used[0].source if used else "default",
                overrode=tuple((text.source, shown(text.value, secret=setting.secret)) for text in used[1:]),
                default=shown(_value(defaults, setting.name), secret=False),
                names=setting.names,
                kind=setting.kind,
                meaning=setting.meaning,
                secret=setting.secret,
            )
        )
    return rows, [_fault(warning) for warning in settings.warnings]


def sdk_schema() -> dict[str, Any]:
    """JSON Schema of the SDK's variables: an object of their names."""
    properties = {
        name: {"type": "string", "description": f"{setting.name}: {setting.meaning} ({setting.kind})"}
        for setting in SDK_SETTINGS
        for name in setting.names
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Variables of the ragwatch SDK",
        "type": "object",
        "properties": properties,
    }


def _value(settings: SdkSettings, name: str) -> Any:
    signal, dot, member = name.partition(".")
    if not dot:
        return attrgetter(name)(settings)
    endpoint = settings.endpoints.get(signal)
    if member == "exporter":
        return "none" if endpoint is None else "otlp"
    value = None if endpoint is None else getattr(endpoint, member)
    return (
        ", ".join(f"{key}={held}" for key, held in value) or None
        if member == "headers" and value is not None
        else value
    )


def _refused(name: str, warnings: tuple[str, ...]) -> bool:
    return any(warning.startswith((f"{name}=", f"{name} ")) for warning in warnings)


def _fault(warning: str) -> ConfigError:
    name = warning.replace("=", " ").replace(":", " ").split(" ", 1)[0]
    return ConfigError(name, warning.removeprefix(name).lstrip("=: "), source=name)
