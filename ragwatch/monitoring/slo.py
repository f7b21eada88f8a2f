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
        "availability": {"target": 0.99, "min_events": 20, "min_bad": 5, "min_bad_short": 2, "page_above": 0.1},
        "latency": {"target": 0.95, "threshold_s": 5, "min_events": 20, "min_bad": 5, "min_bad_short": 2},
        "retrieval": {"target": 0.95, "min_events": 30, "min_bad": 5, "min_bad_short": 2, "page_above": 0.2},
    },
    "accuracy": {"target": 0.7, "min_judgements": 100},
}
"""What ``dashboards/slo.yaml`` holds; a test keeps the two alike."""
_PAGE_ABOVE = {"availability": 0.1, "retrieval": 0.2}
_MOST_ABOVE = 0.9


@dataclass(frozen=True, slots=True)
class Slo:
    """One objective: the share ``target`` of events must be good. ``service`` is one service, or all others."""

    name: str
    target: float
    min_events: int = 20
    threshold_s: float | None = None
    service: str | None = None
    min_bad: int = 5
    min_bad_short: int = 2
    at_once: float | None = None
    """``page_above`` of the file."""

    @property
    def page_above(self) -> float:
        """The share of bad events at which a symptom alert pages; where none is given, twice the budget at least.

        >>> Slo("availability", 0.99).page_above, Slo("availability", 0.75).page_above
        (0.1, 0.5)
        """
        if self.at_once is not None:
            return self.at_once
        return min(_MOST_ABOVE, max(_PAGE_ABOVE.get(self.name, 0.0), 2 * self.budget))

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
    own = "threshold_s" if name == "latency" else "page_above"
    _known(held, ("target", "min_events", "min_bad", "min_bad_short", own), f"{path}.", source)
    begun = replace(base, service=service) if base is not None else Slo(name, 0.99, service=service)
    if "target" not in held and base is None:
        raise ConfigError(f"{path}.target", "is missing: the share of events that must be good, as 0.99", source=source)
    target = _number(held.get("target", begun.target), f"{path}.target", source, low=0.5, high=0.99999)
    events, bad, bad_short = (
        int(_number(held.get(key, getattr(begun, key)), f"{path}.{key}", source, low=1, high=1e9))
        for key in ("min_events", "min_bad", "min_bad_short")
    )
    at_once = begun.at_once
    if held.get("page_above") is not None:
        at_once = _number(held["page_above"], f"{path}.page_above", source, low=0.001, high=_MOST_ABOVE)
    return replace(
        begun, target=target, min_events=events, min_bad=bad, min_bad_short=bad_short, at_once=at_once,
        threshold_s=_threshold(held.get("threshold_s", begun.threshold_s), f"{path}.threshold_s", source)
        if name == "latency" else None,
    )  # fmt: skip


def _threshold(value: Any, path: str, source: str) -> float:
    """What is slow: an edge of the duration's buckets, since only these are counted."""
    threshold_s = _number(5 if value is None else value, path, source, low=0, high=1e9)
    edges = ", ".join(f"{edge:g}" for edge in DURATION_BUCKETS)
    if threshold_s > DURATION_BUCKETS[-1]:
        longest = f"{DURATION_BUCKETS[-1]:g}"
        raise ConfigError(
            path, f"{value!r} is above the last edge of the buckets: what takes longer than {longest} s is not told "
            f"apart, so nothing could be seen to be slower; take one of {edges}", source=source,
        )  # fmt: skip
    if threshold_s not in DURATION_BUCKETS:
        raise ConfigError(path, f"{value!r} is no edge of the buckets: {edges}", source=source)
    return threshold_s


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
