"""The SDK's settings from the environment: read, or warned about by name, never raised."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwatch.config.otel_env import SIGNALS, read_settings

NAMES = (
    "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_LOG_LEVEL", "RAGWATCH_CONTENT", "RAGWATCH_LOG_QUERIES",
    "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_INSECURE",
    "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_METRIC_EXPORT_INTERVAL",
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30)))
def test_nothing_in_the_environment_raises(environ: dict[str, str]) -> None:
    settings = read_settings(environ)
    assert settings.content in {"off", "truncated", "full"}
    assert all(isinstance(warning, str) for warning in settings.warnings)


def test_empty_is_unset() -> None:
    assert read_settings(dict.fromkeys(NAMES, "")) == read_settings({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SDK_DISABLED", "maybe"),
        ("OTEL_LOG_LEVEL", "loud"),
        ("RAGWATCH_CONTENT", "yes"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no equals sign"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ],
)
def test_what_cannot_be_honoured_is_said_by_name(name: str, value: str) -> None:
    warnings = read_settings({name: value}).warnings
    stem = name.removeprefix("OTEL_EXPORTER_OTLP_").removeprefix("OTEL_")
    assert warnings
    assert all(stem in warning for warning in warnings)


@pytest.mark.parametrize(
    ("environ", "signal", "wanted"),
    [
        ({}, "traces", {"url": "http://localhost:4318/v1/traces", "protocol": "http/protobuf", "timeout_s": 10.0}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1/base/"}, "logs", {"url": "http://c:1/base/v1/logs"}),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:1/as-is"}, "traces", {"url": "http://c:1/as-is"}),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "metrics", {"url": "http://localhost:4317", "protocol": "grpc"}),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json"},
            "logs",
            {"protocol": "http/json"},
        ),
        (
            {"OTEL_EXPORTER_OTLP_HEADERS": "a=1,b=x%3Dy", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "only=this"},
            "traces",
            {"headers": (("only", "this"),)},
        ),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "A=1, b=x%3Dy"}, "logs", {"headers": (("a", "1"), ("b", "x=y"))}),
        ({"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "2.5"}, "metrics", {"timeout_s": 2.5}),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem"}, "traces", {"certificate": "/ca.pem"}),
        ({"OTEL_EXPORTER_OTLP_INSECURE": "true"}, "traces", {"insecure": True}),
    ],
)
def test_endpoints(environ: dict[str, str], signal: str, wanted: dict[str, Any]) -> None:
    endpoint = read_settings(environ).endpoints[signal]
    assert {name: getattr(endpoint, name) for name in wanted} == wanted


def test_a_signal_can_be_switched_off() -> None:
    for signal in SIGNALS:
        endpoints = read_settings({f"OTEL_{signal.upper()}_EXPORTER": "none"}).endpoints
        assert [name for name in SIGNALS if endpoints[name] is None] == [signal]
