"""The KPIs of an incident's queries, window by window, as numbers and as a picture."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import cycle
from math import ceil
from typing import Any

MAX_WINDOWS = 120
COLOURS = {
    "ok": "#8fb58f", "error": "#c0392b", "rejected": "#e67e22", "degraded": "#f1c40f", "cancelled": "#95a5a6",
    "incomplete": "#8e44ad",
}  # fmt: skip
OTHER_COLOURS = ("#1f77b4", "#ff9f4a", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f")
WIDTHS_S = (10, 30, 60, 300, 900, 3600, 6 * 3600, 86400)


def windows(queries: Sequence[dict[str, Any]], since_s: float, until_s: float) -> list[dict[str, Any]]:
    """The queries of each stretch of time: outcomes, error classes, latency, empty retrievals, time by step.

    At most 120 stretches of one width from 10 s to a day; seconds throughout, quantiles by nearest rank.

    >>> one = {"start_ns": 0, "end_ns": 2 * 10**9, "outcome": "ok", "steps": [], "critical_path": [["generate", 2.0]]}
    >>> found = windows([one], 0.0, 20.0)
    >>> found[0]["count"], found[0]["p95_s"], found[0]["waited_s"], found[1]["count"], found[1]["p95_s"]
    (1, 2.0, {'generate': 2.0}, 0, None)
    """
    width = next((width for width in WIDTHS_S if (until_s - since_s) / width <= MAX_WINDOWS), WIDTHS_S[-1])
    first = int(since_s // width)
    held: list[list[dict[str, Any]]] = [[] for _ in range(min(MAX_WINDOWS + 1, max(1, ceil(until_s / width) - first)))]
    for query in queries:
        place = int(query["end_ns"] / 1e9 // width) - first
        if 0 <= place < len(held):
            held[place].append(query)
    return [_window(found, (first + place) * width, width) for place, found in enumerate(held)]


def _window(queries: list[dict[str, Any]], start_s: int, width: int) -> dict[str, Any]:
    took = sorted(max(0, query["end_ns"] - query["start_ns"]) / 1e9 for query in queries)
    waited: Counter[str] = Counter()
    for query in queries:
        for step, seconds in query.get("critical_path", ()):
            waited[step] += seconds
    retrieved = [step for query in queries for step in query["steps"] if step["step"] == "retrieve"]
    return {
        "start_s": start_s,
        "width_s": width,
        "count": len(queries),
        "outcomes": dict(Counter(query["outcome"] for query in queries)),
        "error_classes": dict(Counter(query["error_class"] for query in queries if query.get("error_class"))),
        "p50_s": _quantile(took, 0.5),
        "p95_s": _quantile(took, 0.95),
        "empty": sum(step.get("document_count") == 0 for step in retrieved),
        "retrievals": len(retrieved),
        "bad": sum(any(one["verdict"] == "bad" for one in query.get("judgements", ())) for query in queries),
        "waited_s": dict(waited),
    }


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def picture(found: list[dict[str, Any]], title: str) -> bytes | None:
    """The windows as a PNG of four panels; None where matplotlib is not installed (``ragwatch[snapshot]``)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(11, 8), layout="constrained")
    figure.suptitle(title)
    while len(found) > 1 and not found[0]["count"]:
        found = found[1:]
    at = [datetime.fromtimestamp(window["start_s"], UTC) for window in found]
    (queries, latency), (errors, waits) = figure.subplots(2, 2, sharex=True)
    _stacked(queries, at, [window["outcomes"] for window in found], "queries by outcome")
    for name in ("p50_s", "p95_s"):
        latency.plot(at, [window[name] for window in found], label=name.removesuffix("_s"), marker=".")
    latency.set_title("latency, seconds")
    latency.set_ylim(bottom=0)
    latency.legend(loc="upper left")
    _stacked(errors, at, [window["error_classes"] for window in found], "errors by class")
    _stacked(waits, at, [window["waited_s"] for window in found], "what queries waited for, seconds")
    for axes in (errors, waits):
        axes.tick_params(axis="x", rotation=30)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=90)
    return out.getvalue()


def _stacked(axes: Any, at: list[datetime], parts: list[dict[str, float]], title: str) -> None:
    names = list(dict.fromkeys(name for part in parts for name in part))
    others = cycle(OTHER_COLOURS)
    axes.set_title(title)
    if names:
        rows = [[part.get(name, 0) for part in parts] for name in names]
        axes.stackplot(
            at, rows, labels=names, step="post", colors=[COLOURS.get(name) or next(others) for name in names]
        )
        axes.legend(loc="upper left")
