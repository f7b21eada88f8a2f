"""The archive for a bug report: the doctor's checks, settings, versions, metrics, last queries; no secrets, no text."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from ragwatch import __version__
from ragwatch.cli.doctor_app import Check
from ragwatch.cli.scrub import Scrub, known_secrets, without_text
from ragwatch.cli.source import RunningAgent
from ragwatch.errors import ConfigError, RagwatchError

QUERIES = 50


def write(path: Path, checks: list[Check], agent: RunningAgent) -> list[str]:
    """Write the archive; the names of its files. ``ConfigError`` where it cannot be written."""
    scrub = Scrub({*known_secrets(), *agent.secrets})
    names = []
    try:
        with ZipFile(path, "w", ZIP_DEFLATED) as archive:
            for name, text in _parts(checks, agent):
                archive.writestr(name, scrub(text))
                names.append(name)
    except OSError as error:
        raise ConfigError("bundle", f"{path} cannot be written: {error.strerror}", source="--bundle") from None
    return names


def _parts(checks: list[Check], agent: RunningAgent) -> Iterator[tuple[str, str]]:
    yield "checks.json", _json([check._asdict() for check in checks])
    yield "versions.json", _json(_versions())
    yield "settings.json", _json(_settings())
    for name, get in (
        ("agent.json", lambda: _json(agent.about())),
        ("readyz.json", partial(_page, agent, "/readyz")),
        ("metrics.txt", partial(_page, agent, "/metrics")),
        ("queries.jsonl", partial(_queries, agent)),
    ):
        text = _or_why_not(get)
        yield name, text


def _or_why_not(get: Callable[[], str]) -> str:
    try:
        return get()
    except RagwatchError as error:
        return f"{error}\n"


def _page(agent: RunningAgent, path: str) -> str:
    return agent.get(path)[2].decode()


def _queries(agent: RunningAgent) -> str:
    found = agent.queries([("limit", str(QUERIES))])["queries"]
    return "".join(f"{json.dumps(without_text(query))}\n" for query in found)


def _versions() -> dict[str, Any]:
    from importlib.metadata import distributions

    installed = {str(held.metadata["Name"]): held.version for held in distributions()}
    return {
        "ragwatch": __version__, "python": platform.python_version(), "platform": platform.platform(),
        "installed": dict(sorted(installed.items())),
    }  # fmt: skip


def _settings() -> dict[str, Any]:
    """Every setting as it may be shown, and which variables of ragwatch and OpenTelemetry are set."""
    from ragwatch.config.agent import PREFIX, AgentSettings
    from ragwatch.config.loader import attempt
    from ragwatch.config.report import model_rows
    from ragwatch.config.sdk_settings import sdk_rows

    named = os.environ.get(f"{PREFIX}CONFIG")
    made, loaded = attempt(
        AgentSettings, {}, prefix=PREFIX, file=Path(named) if named else None, file_source=f"{PREFIX}CONFIG"
    )
    rows, faults = sdk_rows()
    return {
        "sdk": [row.to_json() for row in rows if row.source != "default"],
        "agent": [row.to_json() for row in model_rows(loaded, made) if row.source != "default"],
        "faults": [f"{fault.setting}: {fault.problem}" for fault in (*faults, *loaded.faults)],
        "variables": sorted(name for name in os.environ if name.startswith(("OTEL_", "RAGWATCH_"))),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
