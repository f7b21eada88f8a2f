"""Service level objectives from a small file: what is promised, over which window, from how many events on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ragwatch.catalogue import DURATION_BUCKETS
from ragwatch.errors import ConfigError

NAMES = ("availability", "latency", "retrieval")
BUNDLED = {
    "slos": {
        "availability": {"target": 0.99, "min_events": 20},
        "latency": {"target": 0.95, "threshold_s": 5, "min_events": 20},
        "retrieval": {"target": 0.95, "min_events": 30},
    },
    "accuracy": {"target": 0.7, "min_judgements": 100},
}
"""What ``dashboards/slo.yaml`` holds; a test keeps the two alike."""


@dataclass(frozen=True, slots=True)
class Slo:
    """One objective: the share ``target`` of events must be good. ``service`` is one service, or all others."""

    name: str
    target: float
    min_events: int = 20
    threshold_s: float | None = None
    service: str | None = None

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return 1.0 - self.target


@dataclass(frozen=True, slots=True)
class Slos:
    """All objectives. ``special`` names the services that have targets of their own."""

    slos: tuple[Slo, ...]
    window_days: float = 30.0
    accuracy_target: float = 0.7
    min_judgements: int = 100
    special: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By objective: the services with their own."""

    def objective(self, name: str, service: str | None = None) -> Slo | None:
        """The objective of a service: its own, else the one of all others, else None.

        >>> slos_of(BUNDLED, "test").objective("availability", "bot").target
        0.99
        """
        held = {slo.service: slo for slo in self.slos if slo.name == name}
        return held.get(service, held.get(None))


def load_slos(path: Path) -> Slos:
    """The objectives of a file; ``ConfigError`` that names the key and what it should be."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError("slo", f"cannot be read: {error.strerror}", source=str(path)) from None
    except yaml.YAMLError as error:
        raise ConfigError("slo", f"is no YAML: {error}", source=str(path)) from None
    return slos_of(data, str(path))


def slos_of(data: Any, source: str) -> Slos:
    """The objectives that a mapping declares.

    >>> slos_of({"slos": {"availability": {"target": 0.99}}}, "test").slos[0].budget
    0.010000000000000009
    >>> slos_of({"slos": {"availabilty": {"target": 0.99}}}, "test")
    Traceback (most recent call last):
    ragwatch.errors.ConfigError: slos.availabilty (from test): is no objective; did you mean 'availability'?
    """
    held = _mapping(data, "slo", source)
    _known(held, ("window_days", "slos", "accuracy", "services"), "", source)
    general = {
        name: _slo(name, values, None, source) for name, values in _named(held.get("slos"), "slos", source).items()
    }
    special: dict[str, list[str]] = {}
    found = list(general.values())
    for service, objectives in _mapping(held.get("services") or {}, "services", source).items():
        for name, values in _named(objectives, f"services.{service}", source).items():
            base = general.get(name)
            found.append(_slo(name, values, base, source, str(service)))
            special.setdefault(name, []).append(str(service))
    accuracy = _mapping(held.get("accuracy") or {}, "accuracy", source)
    _known(accuracy, ("target", "min_judgements"), "accuracy.", source)
    return Slos(
        tuple(found),
        _number(held.get("window_days", 30), "window_days", source, low=1, high=90),
        _number(accuracy.get("target", 0.7), "accuracy.target", source, low=0, high=1),
        int(_number(accuracy.get("min_judgements", 100), "accuracy.min_judgements", source, low=1, high=1e9)),
        {name: tuple(services) for name, services in special.items()},
    )


def _slo(name: str, values: Any, base: Slo | None, source: str, service: str | None = None) -> Slo:
    path = f"services.{service}.{name}" if service else f"slos.{name}"
    held = _mapping(values, path, source)
    _known(held, ("target", "min_events", *(("threshold_s",) if name == "latency" else ())), f"{path}.", source)
    begun = replace(base, service=service) if base is not None else Slo(name, 0.99, service=service)
    if "target" not in held and base is None:
        raise ConfigError(f"{path}.target", "is missing: the share of events that must be good, as 0.99", source=source)
    target = _number(held.get("target", begun.target), f"{path}.target", source, low=0.5, high=0.99999)
    events = int(_number(held.get("min_events", begun.min_events), f"{path}.min_events", source, low=1, high=1e9))
    threshold = held.get("threshold_s", begun.threshold_s if base is not None else (5 if name == "latency" else None))
    if threshold is not None and float(threshold) not in DURATION_BUCKETS:
        edges = ", ".join(f"{edge:g}" for edge in DURATION_BUCKETS)
        raise ConfigError(f"{path}.threshold_s", f"{threshold!r} is no edge of the buckets: {edges}", source=source)
    return replace(begun, target=target, min_events=events, threshold_s=None if threshold is None else float(threshold))


def _named(data: Any, path: str, source: str) -> dict[str, Any]:
    held = _mapping(data or {}, path, source)
    for name in held:
        if name not in NAMES:
            near = get_close_matches(str(name), NAMES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(NAMES)}"
            raise ConfigError(f"{path}.{name}", f"is no objective{hint}", source=source)
    return dict(held)


def _known(held: Mapping[str, Any], names: tuple[str, ...], path: str, source: str) -> None:
    for key in held:
        if key not in names:
            near = get_close_matches(str(key), names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}"
            raise ConfigError(f"{path}{key}", f"is not known{hint}", source=source)


def _mapping(data: Any, path: str, source: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ConfigError(path, f"should be a mapping, not {data!r}", source=source)
    return data


def _number(value: Any, path: str, source: str, *, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(path, f"{value!r} is not a number from {low:g} to {high:g}", source=source)
    return float(value)
