"""The report as one HTML page: nothing in it comes from elsewhere, so it can be mailed, kept, and opened offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ragwatch.bench.chart import Line, area_chart, line_chart
from ragwatch.bench.saturation import WAITING, called
from ragwatch.bench.shown import change, estimate, figure, interval, judged_of, rate, tick, time

_CSS = """
:root{color-scheme:light dark;--ink:#1c2430;--dim:#5d6b7a;--line:#d9dfe6;--paper:#fff;--soft:#f5f7fa;--bad:#b3263e;--good:#1d7a55}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ef;--dim:#98a5b3;--line:#33404e;--paper:#131a22;--soft:#1b2530;--bad:#ff7b8f;--good:#5fd3a5}}
*{box-sizing:border-box}body{margin:0;padding:28px;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:auto}h1{font-size:22px;margin:0}h2{font-size:16px;margin:0 0 6px}p{margin:4px 0}.dim{color:var(--dim)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:10px;margin:18px 0}
.tile{background:var(--soft);border-radius:8px;padding:10px 14px}.tile b{display:block;font-size:20px;font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:22px;margin:18px 0}
section{border:1px solid var(--line);border-radius:8px;padding:14px}svg{width:100%;height:auto;display:block}
svg text{font:11px system-ui,sans-serif;fill:var(--dim)}svg .axis{font-size:12px}svg .grid{stroke:var(--line)}
svg .rule{stroke:var(--ink);stroke-dasharray:3 3}.legend{display:flex;flex-wrap:wrap;gap:4px 14px;font-size:12px;color:var(--dim)}
.legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:13px}.wide{overflow-x:auto;margin:18px 0}
th,td{text-align:right;padding:4px 10px;border-bottom:1px solid var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left}
.bad{color:var(--bad)}.good{color:var(--good)}.note{border-left:3px solid #d9822b;padding:6px 12px;background:var(--soft);margin:10px 0}
@media(max-width:520px){body{padding:14px}.charts{grid-template-columns:1fr}}
"""


def page(found: Mapping[str, Any]) -> str:
    """The page of a report."""
    rows = _rows(found)
    knee = found.get("knee")
    parts = [
        f"<h1>{escape(found['target'])} under load</h1>",
        f'<p class="dim">{escape(_subtitle(found))}</p>',
        _tiles(found),
        *(f'<p class="note">{escape(note)}</p>' for note in found["client"]["notes"]),
        _knee(knee) if knee else "",
        _comparison(found["comparison"]) if found.get("comparison") else "",
        '<div class="charts">',
        *(
            f"<section><h2>{escape(title)}</h2>{drawn or _nothing(why)}</section>"
            for title, drawn, why in (
                ("Latency", _latency(rows, knee), "no question was answered"),
                ("Throughput and latency", _throughput(rows, knee), "no question was answered"),
                ("Accuracy under load", _accuracy(rows), "unknown: no question has labels, or no documents were seen"),
                ("Where a query's time goes", _steps(rows), "unknown: the app's steps are not seen in this process"),
                *((("Universal Scalability Law", _law(knee), "not enough points"),) if knee else ()),
            )
        ),
        "</div>",
        _load_table(rows),
        _steps_table(found),
        _errors(found),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(found["target"])} under load</title>'
    return f'<!doctype html><html lang="en"><head>{head}<style>{_CSS}</style></head><body><main>{"".join(parts)}</main></body></html>\n'


def _rows(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parts of the load, in order of it."""
    knee = found.get("knee")
    rows = knee["trials"] if knee else found["phases"]
    answered = sorted((row for row in rows if row["latency_s"]["n"]), key=_load_of)
    return list({_load_of(row): row for row in answered}.values())  # of a rate that was tried twice the second trial


def _load_of(row: Mapping[str, Any]) -> float:
    return float(row["first"] + row["last"]) / 2


def _unit(rows: Sequence[Mapping[str, Any]]) -> str:
    return "questions a second" if not rows or rows[0]["is_open"] else "users"


def _subtitle(found: Mapping[str, Any]) -> str:
    load = found["load"]
    kind = f"open loop, {load['arrivals']} arrivals" if load["is_open"] else "closed loop"
    early = ", ended early" if found["interrupted"] else ""
    return f"{found['started']} · {kind}{early} · ragwatch {found['ragwatch']}"


def _tiles(found: Mapping[str, Any]) -> str:
    knee, recall = found.get("knee") or {}, found["recall_at_5"]
    tiles = [
        ("answered a second", rate(found["throughput"])),
        ("p50", time(found["latency_s"]["p50"])),
        ("p95", time(found["latency_s"]["p95"])),
        ("p99", time(found["latency_s"]["p99"])),
        ("errors", f"{found['errors']} of {found['latency_s']['n']}"),
    ]
    if knee:
        tiles.insert(0, ("knee", f"{knee['rate']:.4g}/s" if knee.get("rate") else "none"))
    if recall:
        name = f"recall@5 [{recall['low']:.2f}–{recall['high']:.2f}] on {judged_of(found)}"
        tiles.append((name, f"{recall['value']:.2f}"))
    if found["cache_hit_rate"] is not None:
        tiles.append(("cache hits", f"{found['cache_hit_rate']:.0%}"))
    if found["cost_usd"] is not None:
        tiles.append(("cost", f"${found['cost_usd']:.4f}"))
    if found["tokens"]["known"]:
        tiles.append(("tokens in / out", f"{_short(found['tokens']['input'])} / {_short(found['tokens']['output'])}"))
    boxes = (
        f'<div class="tile"><b>{escape(value)}</b><span class="dim">{escape(name)}</span></div>'
        for name, value in tiles
    )
    return f'<div class="tiles">{"".join(boxes)}</div>'


def _latency(rows: Sequence[Mapping[str, Any]], knee: Mapping[str, Any] | None) -> str:
    if len(rows) == 1:
        return _percentiles(rows[0])
    lines = [
        Line(name, [(_load_of(row), row["latency_s"][name]) for row in rows]) for name in ("p50", "p90", "p95", "p99")
    ]
    return line_chart(
        lines, x=_unit(rows), y="latency", show_x=_number, show_y=tick, log_y=_is_wide(lines), rule=_rule(knee)
    )


def _percentiles(row: Mapping[str, Any]) -> str:
    """Of one load: latency over the percentile, on the scale of nines."""
    places = (("p50", 0.3), ("p90", 1.0), ("p95", 1.3), ("p99", 2.0), ("p999", 3.0))
    points = [(place, row["latency_s"][name]) for name, place in places]
    names = {0.0: "0", 1.0: "90 %", 2.0: "99 %", 3.0: "99.9 %"}
    line = Line(row["name"], points)
    return line_chart(
        [line], x="percentile", y="latency", show_x=lambda at: names.get(round(at, 1), ""), show_y=tick,
        log_y=_is_wide([line]),
    )  # fmt: skip


def _throughput(rows: Sequence[Mapping[str, Any]], knee: Mapping[str, Any] | None) -> str:
    answered = sorted((row for row in rows if row["throughput"]), key=lambda row: float(row["throughput"]))
    kept, broken = ([row for row in answered if bool(row.get("broken")) == is_broken] for is_broken in (False, True))
    lines = [Line(name, [(row["throughput"], row["latency_s"][name]) for row in kept]) for name in ("p95", "p50")]
    if broken:
        points = [(row["throughput"], row["latency_s"]["p95"]) for row in broken]
        lines.append(Line("p95, promises broken", points, marks_only=True))
    return line_chart(
        lines, x="answered a second", y="latency", show_x=_number, show_y=tick, log_y=_is_wide(lines), rule=_rule(knee)
    )


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for key, name in (("recall_at_5", "recall@5"), ("mrr", "MRR")):
        known = [(_load_of(row), row[key]) for row in rows if row[key] is not None]
        if known:
            band = [(at, found["low"], found["high"]) for at, found in known] if key == "recall_at_5" else []
            lines.append(Line(name, [(at, found["value"]) for at, found in known], band))
    return line_chart(lines, x=_unit(rows), y="share", show_x=_number, show_y=lambda value: f"{value:.1f}", y_most=1.0)


def _steps(rows: Sequence[Mapping[str, Any]]) -> str:
    known = [row for row in rows if row["steps"]]
    names = list(dict.fromkeys(name for row in known for name in row["steps"]))
    values = [[(row["steps"].get(name) or {}).get("share_s") or 0.0 for row in known] for name in names]
    if known:
        names += ["the app itself", WAITING]
        values.append([row["own_s"] or 0.0 for row in known])
        values.append([row["client"]["wait_s"]["mean"] or 0.0 for row in known])
    return area_chart(
        names,
        [_load_of(row) for row in known],
        values,
        x=_unit(known),
        y="mean time a query",
        show_x=_number,
        show_y=tick,
    )


def _law(knee: Mapping[str, Any]) -> str:
    law = knee["usl"]
    if not law:
        return ""
    from ragwatch.bench.usl import Law

    fitted = Law(law["lambda"], law["sigma"], law["kappa"], law["r2"])
    most = max(n for n, _ in law["points"])
    curve = [(most * place / 60, fitted.throughput(most * place / 60)) for place in range(1, 67)]
    lines = [
        Line("measured", [(n, x) for n, x in law["points"]], marks_only=True),
        Line(
            f"λ {law['lambda']:.3g}, σ {law['sigma']:.3f}, κ {law['kappa']:.5f}, R² {law['r2']:.3f}",
            curve,
            is_dotted=True,
        ),
    ]
    return line_chart(lines, x="under way at once", y="answered a second", show_x=_number, show_y=_number)


def _knee(knee: Mapping[str, Any]) -> str:
    if knee["rate"] is None:
        return '<p class="note bad">No rate was found at which the promises hold.</p>'
    broken = f"; they broke at {knee['broken_at']:.4g}/s" if knee["broken_at"] else ""
    said = f"Up to <b>{knee['rate']:.4g} questions a second</b> it keeps its promises ({escape(', '.join(knee['slo']))}){broken}."
    grew = knee["saturates"]
    if grew:
        said += (
            f" <b>{escape(called(grew['step']))}</b> gives way: {time(grew['light_s'])} a query at a light load, "
            f"{time(grew['heavy_s'])} when broken."
        )
    if knee["headroom"] is not None:
        said += f" Headroom over today's rate: {knee['headroom']:+.0%}."
    return f'<p class="note">{said}</p>'


def _comparison(verdict: Mapping[str, Any]) -> str:
    rows = []
    for row in verdict["figures"]:
        style = {"worse": "bad", "better": "good"}.get(row["verdict"], "")
        rows.append(
            [row["figure"], figure(row["figure"], row["before"]), figure(row["figure"], row["after"]), change(row["change"]), interval(row),
             f'<span class="{style}">{row["verdict"]}</span>']
        )  # fmt: skip
    return _table("Against the old report", ("figure", "old", "new", "change", "interval", "verdict"), rows)


def _load_table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [
            escape(row["name"]) + (' <span class="bad">broken</span>' if row.get("broken") else ""),
            str(row["requests"]), rate(row["throughput"]), str(row["errors"]), str(row["unfinished"]),
            *(time(row["latency_s"][name]) for name in ("p50", "p95", "p99", "p999", "max")),
            estimate(row["recall_at_5"]),
            time(row["client"]["lag_s"]["p99"]),
        ]
        for row in rows
    ]  # fmt: skip
    head = (
        "load",
        "asked",
        "answered/s",
        "errors",
        "unanswered",
        "p50",
        "p95",
        "p99",
        "p99.9",
        "max",
        "recall@5",
        "bench lag",
    )
    return _table("By load", head, cells)


def _steps_table(found: Mapping[str, Any]) -> str:
    cells = [
        [
            escape(name),
            str(step["n"]),
            str(step["errors"]),
            *(time(step[key]) for key in ("p50", "p90", "p95", "p99", "max", "share_s")),
        ]
        for name, step in found["steps"].items()
    ]
    return _table("By step", ("step", "calls", "errors", "p50", "p90", "p95", "p99", "max", "time a query"), cells)


def _errors(found: Mapping[str, Any]) -> str:
    cells = [
        [escape(kind), str(count), escape(found["error_examples"].get(kind, ""))]
        for kind, count in found["errors_by_class"].items()
    ]
    return _table("Errors", ("class", "count", "the first of them"), cells)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><h2>{escape(title)}</h2><table><tr>{heads}</tr>{body}</table></div>'


def _nothing(why: str) -> str:
    return f'<p class="dim">{escape(why)}</p>'


def _rule(knee: Mapping[str, Any] | None) -> tuple[float, str] | None:
    return (knee["rate"], f"knee {knee['rate']:.4g}/s") if knee and knee["rate"] else None


def _is_wide(lines: Sequence[Line]) -> bool:
    values = [value for line in lines for _, value in line.points]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 20


def _number(value: float) -> str:
    return f"{value:.4g}"


def _short(value: int) -> str:
    return str(value) if value < 10_000 else f"{value / 1000:.0f}k" if value < 10_000_000 else f"{value / 1e6:.0f}M"
