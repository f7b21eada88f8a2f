"""The agent's settings as plain values, for its processes: checked already, and without pydantic's 14 MB in each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "RAGWATCH_AGENT_VALUES"
"""Settings travel between the agent's processes in this variable, where a process list does not show the token."""


@dataclass(frozen=True, slots=True)
class AgentValues:
    """What ``AgentSettings`` declares and describes; sizes in bytes, times in seconds."""

    directory: Path
    host: str = "127.0.0.1"
    grpc_port: int = 4317
    http_port: int = 4318
    web_port: int = 9464
    token: str | None = field(default=None, repr=False)
    insecure: bool = False
    max_inbox_bytes: int = 1 << 30
    max_pending_bytes: int = 64 << 20
    max_body_bytes: int = 64 << 20
    queries_kept: int = 500
    commit_interval_s: float = 0.5
    linger_s: float = 0.25
    foreign_linger_s: float = 6.0
    incomplete_after_s: float = 300.0
    max_pending_spans: int = 200_000
    max_waiting_bytes: int = 256 << 20
    stream_idle_s: float = 900.0
    prices: Path | None = None
    upstream: str | None = field(default=None, repr=False)
    upstream_headers: dict[str, str] = field(default_factory=dict, repr=False)
    upstream_timeout_s: float = 10.0
    upstream_gzip: bool = False
    metrics_interval_s: float = 15.0


_PATHS = ("directory", "prices")


def to_environment(values: AgentValues, sources: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is to have these settings, and where each came from."""
    plain = asdict(values) | {name: _text(getattr(values, name)) for name in _PATHS}
    return {**os.environ, VARIABLE: json.dumps({"values": plain, "sources": dict(sources)})}


def from_environment(environ: Mapping[str, str] | None = None) -> tuple[AgentValues, dict[str, str]]:
    """The settings that another process of the agent handed over."""
    held: dict[str, Any] = json.loads((os.environ if environ is None else environ)[VARIABLE])
    values = held["values"]
    paths = {name: Path(values[name]) for name in _PATHS if values[name] is not None}
    return AgentValues(**{**values, **paths}), held["sources"]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
