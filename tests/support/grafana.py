"""What Grafana makes of a provisioning file: ``pkg/services/provisioning/values`` of its source, in a few lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.paths import ROOT

SOURCES = ROOT / "dashboards" / "provisioning" / "datasources" / "ragwatch.yaml"


def interpolated(value: Any, environ: Mapping[str, str]) -> Any:
    """Strings with their variables; ``$$`` is a dollar. What is not set is empty: Go's os.ExpandEnv has no defaults."""
    if isinstance(value, dict):
        return {key: interpolated(held, environ) for key, held in value.items()}
    if isinstance(value, list):
        return [interpolated(held, environ) for held in value]
    if not isinstance(value, str):
        return value
    name = re.compile(r"\$(?:\{([^}]*)\}|(\w+))")
    return "$".join(name.sub(lambda found: environ.get(found[1] or found[2], ""), part) for part in value.split("$$"))


def sources(environ: Mapping[str, str]) -> dict[str, Any]:
    """The data sources by uid, as Grafana has them with this environment."""
    held = yaml.safe_load(SOURCES.read_text())["datasources"]
    return {item["uid"]: item for item in interpolated(held, environ)}


def exemplar_links(environ: Mapping[str, str], trace_id: str) -> list[tuple[str, str]]:
    """(label, URL or uid of a data source) of what an exemplar of that trace leads to."""
    return [
        (item["urlDisplayLabel"], item.get("url", "").replace("${__value.raw}", trace_id) or item["datasourceUid"])
        for item in sources(environ)["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
        if item["name"] == "trace_id"
    ]
