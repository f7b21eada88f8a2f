"""Charts as SVG text, without a library or a resource from elsewhere: lines, bands and stacked areas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 520, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 44
COLOURS = ("#3b6fd4", "#d9822b", "#c23b54", "#2a8f6b", "#8457c9", "#6b7a89", "#b0902c")
FEW_DECADES = 2
Point = tuple[float, float]


class Line(NamedTuple):
    """A named line; ``band`` is (x, low, high) of what it may be instead. ``is_dotted`` lines have no marks."""

    name: str
    points: Sequence[Point]
    band: Sequence[tuple[float, float, float]] = ()
    is_dotted: bool = False
    marks_only: bool = False


def line_chart(
    lines: Sequence[Line],
    *,
    x: str,
    y: str,
    show_x: Callable[[float], str],
    show_y: Callable[[float], str],
    y_most: float | None = None,
    log_y: bool = False,
    rule: tuple[float, str] | None = None,
) -> str:
    """Lines over one x axis; ``rule`` is a marked x. An empty string where there is nothing to draw."""
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    edges = _Edges(points, [high for line in lines for _, _, high in line.band], y_most, log_y=log_y)
    parts = [edges.grid(x, y, show_x, show_y)]
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        if line.band:
            upper = [(at, high) for at, _, high in line.band]
            lower = [(at, low) for at, low, _ in reversed(line.band)]
            parts.append(f'<polygon points="{edges.path((*upper, *lower))}" fill="{colour}" opacity="0.15"/>')
        dash = ' stroke-dasharray="5 4"' if line.is_dotted else ""
        if not line.marks_only:
            parts.append(
                f'<polyline points="{edges.path(line.points)}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
            )
        if not line.is_dotted:
            for at, value in line.points:
                parts.append(
                    f'<circle cx="{edges.x(at):.1f}" cy="{edges.y(value):.1f}" r="3" fill="{colour}">'
                    f"<title>{escape(f'{line.name}: {show_y(value)} at {show_x(at)}')}</title></circle>"
                )
    if rule is not None and edges.first <= rule[0] <= edges.last:
        at = edges.x(rule[0])
        anchor, shift = ("end", -5) if at > WIDTH * 0.6 else ("start", 5)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="rule"/>'
            f'<text x="{at + shift:.1f}" y="{TOP + 11}" text-anchor="{anchor}">{escape(rule[1])}</text>'
        )
    return _svg(parts) + _legend([line.name for line in lines])


def area_chart(
    names: Sequence[str],
    xs: Sequence[float],
    rows: Sequence[Sequence[float]],
    *,
    x: str,
    y: str,
    show_x: Callable[[float], str],
    show_y: Callable[[float], str],
) -> str:
    """Stacked areas: ``rows`` holds the values of each name over ``xs``; bars where there is a single x."""
    if not xs or not names:
        return ""
    if len(xs) == 1:
        xs, rows = [xs[0] * 0.9, xs[0] * 1.1], [[row[0], row[0]] for row in rows]
    totals = [sum(row[place] for row in rows) for place in range(len(xs))]
    edges = _Edges(list(zip(xs, totals, strict=True)), [], None, log_y=False)
    parts = [edges.grid(x, y, show_x, show_y)]
    below = [0.0] * len(xs)
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        above = [low + value for low, value in zip(below, row, strict=True)]
        outline = [*zip(xs, above, strict=True), *reversed(list(zip(xs, below, strict=True)))]
        said = ", ".join(f"{show_y(value)} at {show_x(at)}" for at, value in zip(xs, row, strict=True))
        parts.append(
            f'<polygon points="{edges.path(outline)}" fill="{COLOURS[number % len(COLOURS)]}" opacity="0.75">'
            f"<title>{escape(f'{name}: {said}')}</title></polygon>"
        )
        below = above
    return _svg(parts) + _legend(names)


class _Edges:
    """From values to places in the picture."""

    def __init__(self, points: Sequence[Point], more: Sequence[float], most: float | None, *, log_y: bool) -> None:
        self.first, self.last = min(at for at, _ in points), max(at for at, _ in points)
        if self.first == self.last:
            self.first, self.last = self.first * 0.5, self.last * 1.5 or 1.0
        values = [value for _, value in points]
        self.log = log_y and min(values) > 0
        top = max((*values, *more))
        self.low = 10 ** floor(log10(min(values))) if self.log else 0.0
        self.high = most if most is not None else (10 ** ceil(log10(top) + 1e-9) if self.log else top * 1.08 or 1.0)

    def x(self, value: float) -> float:
        return LEFT + (value - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        if self.log:
            share = (log10(max(value, self.low)) - log10(self.low)) / (log10(self.high) - log10(self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)

    def path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in points)

    def grid(self, x: str, y: str, show_x: Callable[[float], str], show_y: Callable[[float], str]) -> str:
        parts = []
        for value in self._ticks_y():
            at = self.y(value)
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(show_y(value))}</text>')
        for value in ticks(self.first, self.last, 6):
            at = self.x(value)
            parts.append(
                f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(show_x(value))}</text>'
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle" class="axis">{escape(x)}</text>')
        parts.append(
            f'<text x="12" y="{(TOP + HEIGHT - BOTTOM) / 2:.0f}" text-anchor="middle" class="axis" '
            f'transform="rotate(-90 12 {(TOP + HEIGHT - BOTTOM) / 2:.0f})">{escape(y)}</text>'
        )
        return "".join(parts)

    def _ticks_y(self) -> list[float]:
        if not self.log:
            return ticks(self.low, self.high, 5)
        decades = round(log10(self.high / self.low))
        factors = (1, 2, 5) if decades <= FEW_DECADES else (1,)
        marks = [self.low * 10**power * factor for power in range(decades + 1) for factor in factors]
        return [mark for mark in marks if mark <= self.high * 1.001]


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from ``low`` to ``high``, some ``about`` of them.

    >>> ticks(0, 97, 5)
    [0, 20, 40, 60, 80]
    """
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, floor(high / step + 1e-9) + 1)]


def _svg(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _legend(names: Sequence[str]) -> str:
    entries = (
        f'<span><i style="background:{COLOURS[number % len(COLOURS)]}"></i>{escape(name)}</span>'
        for number, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(entries)}</p>'
