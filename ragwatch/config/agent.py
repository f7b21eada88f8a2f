"""The agent's settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ragwatch.config.agent_values import AgentValues
from ragwatch.config.masked_repr import masked
from ragwatch.config.prices import read_prices

PREFIX = "RAGWATCH_AGENT_"
MIB = 1 << 20


def default_directory() -> Path:
    """Where the agent keeps its files: ``$XDG_STATE_HOME/ragwatch``, else ``~/.local/state/ragwatch``."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "ragwatch"


class AgentSettings(BaseSettings):
    """Every setting of the agent; sizes in bytes, times in seconds. Port 0 picks a free one."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on; off loopback a token is needed")
    grpc_port: int = Field(4317, ge=0, le=65535, description="OTLP over gRPC")
    http_port: int = Field(4318, ge=0, le=65535, description="OTLP over HTTP")
    web_port: int = Field(9464, ge=0, le=65535, description="/metrics, /api and the page")
    directory: Path = Field(default_factory=default_directory, description="where everything is kept")
    token: SecretStr | None = Field(None, description="bearer token that senders and readers must show")
    insecure: bool = Field(False, description="listen off loopback without a token")
    max_inbox_bytes: int = Field(1024 * MIB, ge=MIB, description="disk for requests that wait; then senders wait")
    max_pending_bytes: int = Field(64 * MIB, ge=MIB, description="memory for requests that are being written")
    max_body_bytes: int = Field(64 * MIB, ge=1024, description="largest request, before and after decompression")
    queries_kept: int = Field(500, ge=0, le=1_000_000, description="queries that can be looked up, some 3 kB each")
    commit_interval_s: float = Field(0.5, gt=0, le=60, description="how often results become visible")
    linger_s: float = Field(0.25, ge=0, le=60, description="wait for steps still on their way after a query's root")
    foreign_linger_s: float = Field(6.0, ge=0, le=600, description="the same for others' instrumentors")
    incomplete_after_s: float = Field(300.0, gt=0, description="wait for a root that does not come")
    max_pending_spans: int = Field(200_000, ge=1000, description="steps that wait for their query's root")
    max_waiting_bytes: int = Field(256 * MIB, ge=MIB, description="the same, by what they took on the wire")
    stream_idle_s: float = Field(900.0, gt=0, description="silence after which an app's process counts as ended")
    prices: Path | None = Field(
        None, description="price table: YAML or JSON, model: {input, output, cached} in USD/1M tokens"
    )
    upstream: str | None = Field(None, description="where everything is forwarded: http://host:4318, grpc://host:4317")
    upstream_headers: dict[str, SecretStr] = Field(default_factory=dict, description="headers for the upstream")
    upstream_timeout_s: float = Field(10.0, gt=0, description="time-out of one request to the upstream")
    upstream_gzip: bool = Field(False, description="compress requests to the upstream")
    metrics_interval_s: float = Field(15.0, gt=0, description="how often the KPIs go upstream")

    def values(self) -> AgentValues:
        """The settings as the agent's processes take them."""
        plain = {name: getattr(self, name) for name in type(self).model_fields}
        plain["token"] = self.token.get_secret_value() if self.token else None
        plain["upstream_headers"] = {key: held.get_secret_value() for key, held in self.upstream_headers.items()}
        return AgentValues(**plain)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """``config.loader`` merges the sources itself, since it must say where each value came from."""
        return (init_settings,)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield from masked(self)

    @field_validator("prices")
    @classmethod
    def _is_a_table(cls, value: Path | None) -> Path | None:
        if value is not None:
            value = value.expanduser().absolute()
            read_prices(value)
        return value

    @field_validator("upstream")
    @classmethod
    def _has_a_scheme(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://", "grpc://", "grpcs://")):
            raise ValueError("should begin with http://, https://, grpc:// or grpcs://")
        return value or None

    @field_validator("upstream_headers", mode="before")
    @classmethod
    def _headers(cls, value: Any) -> Any:
        if isinstance(value, str):
            pairs = [part.partition("=") for part in value.split(",") if part.strip()]
            if any(not equals for _, equals, _ in pairs):
                raise ValueError("should be key=value pairs, separated by commas")
            return {key.strip().lower(): held.strip() for key, _, held in pairs}
        return value
