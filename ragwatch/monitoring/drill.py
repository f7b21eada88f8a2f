"""The drill: which alert fires in which act of the demo's outage, what it names, and how long it took when measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ragwatch.monitoring.alert import SHORTEST_S
from ragwatch.monitoring.alerts import ALERTS
from ragwatch.monitoring.slo_rules import WINDOWS

SCALE: Final = 0.001
ACT_S: Final = 20
QUERIES: Final = 1500
CONCURRENCY: Final = 6
ACTS: Final = ("all is well", "retriever down", "slow model", "index incomplete", "cache poisoned")
OBJECTIVES: Final = Path("dashboards/drill-slo.yaml")
MEASURED: Final = Path("docs/drill.json")
EXPORT_S, SCRAPE_S, EVALUATION_S = 10.0, 15.0, 30.0
"""What does not shrink with the windows: the SDK's export, Prometheus' scrape, and its look at the rules."""
DRILL_S: Final = 3.0
"""The same three in the drill, a second each."""


@dataclass(frozen=True, slots=True)
class Expected:
    """In ``act`` the ``alert`` fires, and ``names`` stands in its summary."""

    act: str
    alert: str
    names: str


EXPECTED: Final = (
    Expected("retriever down", "RagBreakerOpen", "the step that suffers is retrieve"),
    Expected("slow model", "RagSlow", "most of it in generate"),
    Expected("index incomplete", "RagRetrievalFell", "the step is retrieve"),
    Expected("cache poisoned", "RagCacheAnswersWorse", "the step is cache"),
)
ALLOWED: Final = {
    "retriever down": {"RagErrorRate", "RagRetryStorm", "RagAvailabilityBurnRate"},
    "slow model": {"RagLatencyBurnRate"},
    "index incomplete": {"RagLatencyBurnRate"},  # its longest windows go back to the slow model
    "cache poisoned": set[str](),
}
"""What else may fire in an act, since it is true there as well."""


def window_s(alert: str) -> tuple[float, float]:
    """(window, ``for``) of an alert at the real scale, in seconds; of a burn rate the shortest that pages.

    >>> window_s("RagSlow"), window_s("RagAvailabilityBurnRate")
    ((600, 120), (3600.0, 0.0))
    """
    found = next((item for item in ALERTS if item.name == alert), None)
    return (found.window_s, found.for_s) if found else (WINDOWS[0][0], 0.0)


def real_s(alert: str, measured_s: float) -> float:
    """What a time of the drill means at the real scale, at most: the same share of the window, and the fixed times.

    >>> real_s("RagBreakerOpen", 2.0)
    55.0
    """
    window, wait = window_s(alert)
    share = min(1.0, max(0.0, measured_s - DRILL_S) / max(SHORTEST_S, window * SCALE))
    return share * window + wait + EXPORT_S + SCRAPE_S + EVALUATION_S


def read_measured(root: Path) -> dict[str, float]:
    """The seconds from fault to alert, by alert, as they were measured last; empty where nothing was."""
    if not (root / MEASURED).is_file():
        return {}
    found: dict[str, float] = json.loads((root / MEASURED).read_text(encoding="utf-8"))["seconds"]
    return found
