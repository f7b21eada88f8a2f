"""The dashboards' panels as pictures, for a README, a report, an incident: the same queries, drawn by matplotlib."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from ragwatch.errors import RagwatchError
from ragwatch.monitoring.boards import CHANGE, RUNNING
from ragwatch.monitoring.panels import Board, Panel

MAX_SERIES = 12
MAX_FLAT = 5
"""Of more lines than that those that are 0 all the time are left out."""
POINTS = 240
MAX_CHANGES = 4
"""So many changes are said in words; each has its line."""
_PURPLE = "#8e24aa"
_COLUMNS = 24
_UNITS = {
    "percentunit": "%", "s": "s", "reqps": "1/s", "cps": "1/s", "currencyUSD": "USD", "bytes": "bytes", "short": "",
}  # fmt: skip
_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_LARGE = {"bytes": ((2.0**20, "MiB"), (2.0**10, "KiB")), "s": ((86400.0, "days"), (3600.0, "hours"))}
"""Units for large values, the largest first."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name, seconds since the epoch, values."""

    name: str
    times: Sequence[float]
    values: Sequence[float]


class Source(Protocol):
    """What answers a panel's queries between ``start`` and ``end``, seconds since the epoch."""

    start: float
    end: float

    def series(self, expression: str, legend: str) -> list[Series]:
        """The series of one query; ``RagwatchError`` where it cannot be asked."""


def filled(expression: str, service: str, seconds: float, step_s: float) -> str:
    """An expression with values for the dashboards' variables; the window of a rate is four steps.

    >>> filled("rate(asked[$__rate_interval])", ".*", 60, 1)
    'rate(asked[4s])'
    """
    for name, value in (
        ("$__rate_interval", f"{max(4, math.ceil(step_s * 4))}s"), ("$__range", f"{max(1, round(seconds))}s"),
        ("$service", service), ("$environment", ".*"), ("$version", ".*"), ("$model", ".*"),
        ("$instance", ".*"),
    ):  # fmt: skip
        expression = expression.replace(name, value)
    return expression


class PrometheusSource:
    """A Prometheus."""

    def __init__(self, url: str, start: float, end: float, *, service: str = ".*", token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self.start, self.end = start, end
        self._step = max(1.0, (end - start) / POINTS)
        self._service = service
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def series(self, expression: str, legend: str) -> list[Series]:
        """The series of one query; ``RagwatchError`` where it cannot be asked."""
        expression = filled(expression, self._service, self.end - self.start, self._step)
        parameters = {"query": expression, "start": self.start, "end": self.end, "step": self._step}
        request = Request(f"{self._url}/api/v1/query_range?{urlencode(parameters)}", headers=self._headers)  # noqa: S310
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310  (the user's own address)
                found = json.load(answer)["data"]["result"]
        except HTTPError as error:
            raise RagwatchError(f"{self._url} refuses {expression}: {error.read().decode()[:300]}") from None
        except (URLError, OSError, ValueError, KeyError) as error:
            raise RagwatchError(f"no Prometheus answers at {self._url}: {error}") from None
        return [
            Series(
                named(legend, item["metric"]),
                [float(at) for at, _ in item["values"]],
                [float(value) for _, value in item["values"]],
            )
            for item in found
        ]


def draw_board(board: Board, source: Source, path: Path) -> list[str]:
    """Draw a dashboard into a PNG file; the titles of the panels that have no data."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        raise RagwatchError("pictures need matplotlib: pip install 'ragwatch[snapshot]'") from None
    rows = _lines(board)
    changed = changes(source)
    top = max(0.75, 0.5 + 0.15 * min(len(changed), MAX_CHANGES))  # inches
    height = top + 0.25 + sum(row[0].height for row in rows) * 0.45
    figure = plt.figure(figsize=(18, height))
    grid = figure.add_gridspec(
        len(rows), 1, height_ratios=[row[0].height for row in rows], left=0.05, right=0.985, top=1 - top / height,
        bottom=0.75 / height, hspace=0.42,
    )  # fmt: skip
    empty = []
    for place, row in enumerate(rows):
        widths = [panel.width for panel in row]
        rest = [_COLUMNS - sum(widths)] if sum(widths) < _COLUMNS else []
        line = grid[place].subgridspec(1, len(widths) + len(rest), width_ratios=widths + rest, wspace=0.16)
        for column, panel in enumerate(row):
            axes = figure.add_subplot(line[column])
            if not _draw(axes, panel, source):
                empty.append(panel.title)
            elif panel.kind != "stat":
                for at, _ in changed:
                    axes.axvline(at - source.start, color=_PURPLE, lw=1.6, ls="--")
    began, ended = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") for at in (source.start, source.end))
    figure.suptitle(
        f"{board.title}   {began} to {ended} UTC", fontsize=13, ha="left", va="top", x=0.01, y=1 - 0.12 / height
    )
    said = [f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}  {what}" for at, what in changed[-MAX_CHANGES:]]
    where: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": 8, "color": _PURPLE}
    if said:
        figure.text(0.985, 1 - 0.1 / height, "\n".join(("What changed?", *said)), **where)
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return empty


def changes(source: Source) -> list[tuple[float, str]]:
    """When an app began to run what it had not run before, and what that is: the dashboards' annotations."""
    found = []
    for line in source.series(RUNNING, f"{CHANGE[0]}, {CHANGE[1]}"):
        step = min((b - a for a, b in pairwise(line.times)), default=1.0)
        before = [source.start, *line.times]
        found += [(at, line.name) for ago, at in zip(before, line.times, strict=False) if at - ago > 1.5 * step]
    return sorted(found)


def _lines(board: Board) -> list[list[Panel]]:
    """The panels as lines of 24 columns."""
    found: list[list[Panel]] = []
    for _, panels in board.rows:
        line: list[Panel] = []
        width = 0
        for panel in panels:
            if width + panel.width > _COLUMNS:
                found.append(line)
                line, width = [], 0
            line.append(panel)
            width += panel.width
        if line:
            found.append(line)
    return found


def _draw(axes: Any, panel: Panel, source: Source) -> bool:
    series = [line for target in panel.targets for line in source.series(target.expr, target.legend)]
    series = [line for line in series if any(math.isfinite(value) for value in line.values)]
    axes.set_title(panel.title, fontsize=10, loc="left", fontweight="bold")
    if not series:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", color="gray", transform=axes.transAxes)
        axes.set_axis_off()
        return False
    if panel.kind == "stat":
        _stat(axes, panel, series)
        return True
    scale = 100.0 if panel.unit == "percentunit" else 1.0
    if panel.kind == "heatmap":
        _heatmap(axes, panel, series, source)
    elif panel.kind == "state" and len(panel.levels) == 1:
        _spans(axes, series, source)
    else:
        _curves(axes, panel, series, scale, source)
    axes.xaxis.set_major_formatter(lambda at, _: datetime.fromtimestamp(at + source.start, UTC).strftime("%H:%M:%S"))
    axes.set_xlim(0, source.end - source.start)
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, alpha=0.25)
    return True


def _curves(axes: Any, panel: Panel, series: list[Series], scale: float, source: Source) -> None:
    top = max((abs(v) for line in series for v in line.values if math.isfinite(v)), default=0.0)
    factor, unit = next(((size, name) for size, name in _LARGE.get(panel.unit, ()) if top >= 2 * size), (1.0, None))
    scale /= factor
    ranked = sorted(series, key=lambda line: -max((v for v in line.values if math.isfinite(v)), default=0.0))
    lines = _moving(ranked)[:MAX_SERIES]
    if panel.band:
        lines = [line for line in lines if not line.name.endswith((" low", " high"))]
        _bands(axes, series, [line.name for line in lines], scale, source)
    if panel.stacked:
        every = sorted({at for line in lines for at in line.times})
        held = [dict(zip(line.times, line.values, strict=True)) for line in lines]
        stacks = [[_finite(line.get(at, 0.0)) * scale for at in every] for line in held]
        axes.stackplot([at - source.start for at in every], *stacks, labels=[line.name for line in lines], alpha=0.75)
    else:
        for line in lines:
            values = [value * scale for value in line.values]
            style = "steps-post" if panel.kind == "state" else "default"
            axes.plot([at - source.start for at in line.times], values, label=line.name, lw=1.4, drawstyle=style)
    if panel.low is not None:
        highest = max((v for line in lines for v in line.values if math.isfinite(v)), default=0.0) * scale
        axes.set_ylim(bottom=panel.low * scale)
        if not panel.stacked and highest > 0:
            axes.set_ylim(top=max(axes.get_ylim()[1], 1.05 * highest))  # a flat line would lie on the frame
    if panel.kind == "state":
        axes.set_yticks([value for value, _ in panel.names], [name for _, name in panel.names])
        axes.set_ylim(-0.1, 2.2)
    if panel.kind != "state" and not any(v > 0 for line in lines for v in line.values if math.isfinite(v)):
        axes.set_ylim(top=(panel.high or 1) * scale)  # a flat line at 0 needs a scale that says so
    axes.set_ylabel(unit or _UNITS.get(panel.unit, panel.unit), fontsize=8)
    if panel.levels and panel.kind == "timeseries":
        _borders(axes, panel, scale)
    if not any(line.name for line in lines):
        return
    axes.legend(
        fontsize=7, loc="upper left", bbox_to_anchor=(-0.01, -0.09), ncols=max(2, panel.width // 4), frameon=False,
        borderpad=0.2, labelspacing=0.3, columnspacing=1.2,
    )  # fmt: skip


def _moving(lines: list[Series]) -> list[Series]:
    """Without the lines that are 0 all the time, where a few move and a legend of all says nothing.

    >>> [line.name for line in _moving([Series(str(n), [0], [n % 6 == 1]) for n in range(9)])]
    ['1', '7']
    """
    moving = [line for line in lines if any(line.values)]
    return moving or lines[:1] if len(lines) > MAX_FLAT else lines


def _borders(axes: Any, panel: Panel, scale: float) -> None:
    """The thresholds that are in view, as Grafana draws them."""
    low, high = axes.get_ylim()
    for border, name in panel.levels:
        if border is not None and low < border * scale <= high:
            axes.axhline(border * scale, color=name, lw=1, ls="--", alpha=0.7)


def _bands(axes: Any, series: list[Series], names: list[str], scale: float, source: Source) -> None:
    """Fill from ``name low`` to ``name high``, in the colour that the line of that name is about to have."""
    held = {line.name: dict(zip(line.times, line.values, strict=True)) for line in series}
    for place, name in enumerate(names):
        low, high = held.get(f"{name} low", {}), held.get(f"{name} high", {})
        every = sorted(low.keys() & high.keys())
        bounds = ([low[at] * scale for at in every], [high[at] * scale for at in every])
        axes.fill_between([at - source.start for at in every], *bounds, alpha=0.2, color=f"C{place}", lw=0)


def _heatmap(axes: Any, panel: Panel, series: list[Series], source: Source) -> None:
    """Buckets are cumulative: what is in one is what the one below it does not hold."""
    edges = sorted(series, key=lambda line: float(line.name.replace("+Inf", "inf")))
    every = sorted({at for line in edges for at in line.times})
    held = [dict(zip(line.times, line.values, strict=True)) for line in edges]
    table = []
    for place, line in enumerate(held):
        below = held[place - 1] if place else {}
        table.append([max(0.0, _finite(line.get(at, 0.0)) - _finite(below.get(at, 0.0))) for at in every])
    axes.pcolormesh([at - source.start for at in every], range(len(edges)), table, cmap="magma", shading="nearest")
    axes.set_yticks(range(len(edges)), [f"≤ {line.name} {_UNITS.get(panel.unit, '')}".strip() for line in edges])


def _spans(axes: Any, series: list[Series], source: Source) -> None:
    """A bar for each series, where it is there: what has no states but to be."""
    lines = sorted(series, key=lambda line: line.times[0])[-MAX_SERIES:]
    for place, line in enumerate(lines):
        step = min((b - a for a, b in pairwise(line.times)), default=1.0)
        starts = [
            at for before, at in zip([-math.inf, *line.times], line.times, strict=False) if at - before > 1.5 * step
        ]
        ends = [at for at, after in pairwise([*line.times, math.inf]) if after - at > 1.5 * step]
        bars = [(start - source.start, end - start + step) for start, end in zip(starts, ends, strict=True)]
        axes.broken_barh(bars, (place - 0.4, 0.8), color=f"C{place % 10}", alpha=0.6)
        axes.text(max(0.0, bars[0][0]), place, f" {line.name}", va="center", fontsize=7)
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(lines) - 0.4)


def _stat(axes: Any, panel: Panel, series: list[Series]) -> None:
    """The last value of each series as a large number, with its name below where there are several."""
    for place, line in enumerate(series):
        last = next(value for value in reversed(line.values) if math.isfinite(value))
        colour = "gray"
        for border, name in panel.levels:
            if border is None or last >= border:
                colour = {"green": "#2e7d32", "orange": "#ef6c00", "red": "#c62828", "blue": "#1565c0"}.get(name, name)
        x, size = (place + 0.5) / len(series), 20 if len(series) < 3 or panel.width > 6 else 13
        where: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(x, 0.55, _amount(last, panel.unit), fontsize=size, color=colour, **where)
        if len(series) > 1:
            axes.text(x, 0.25, line.name, fontsize=9, color="dimgray", **where)
    axes.set_axis_off()


def _amount(value: float, unit: str) -> str:
    """A number as a person reads it.

    >>> _amount(0.9312, "percentunit"), _amount(0.0235, "s"), _amount(1.5, "s"), _amount(12, "short")
    ('93.12 %', '23.5 ms', '1.5 s', '12')
    """
    if unit == "percentunit":
        return f"{value * 100:.{2 if abs(value) < 10 else 0}f} %"
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} {_UNITS.get(unit, '')}".strip()


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def named(legend: str, labels: dict[str, str]) -> str:
    """A legend with its labels filled in; without the parts whose labels are all empty.

    >>> named("{{service}} {{version}}, index {{index}}, prompt {{prompt}}", {"service": "bot", "prompt": "7"})
    'bot, prompt 7'
    """
    parts = [part for part in legend.split(", ") if not (asked := _LABEL.findall(part)) or any(map(labels.get, asked))]
    shown = [_LABEL.sub(lambda found: labels.get(found.group(1), ""), part).strip() for part in parts]
    return ", ".join(shown) or ", ".join(labels.values())
