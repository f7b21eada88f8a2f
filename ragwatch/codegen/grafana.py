"""Grafana's dashboards out of the declared ones, through grafana-foundation-sdk (a tool of development only)."""

from __future__ import annotations

import json
from typing import Any

from ragwatch.catalogue import LABEL_SOURCE, metric
from ragwatch.errors import RagwatchError
from ragwatch.monitoring.boards import BOARDS, CHANGE, CHANGES
from ragwatch.monitoring.panels import Board, Panel, Target
from ragwatch.monitoring.promql import SCOPE, series

DATASOURCE = "${datasource}"
NEEDED = "pip install 'grafana-foundation-sdk==1769699379!11.6.0' (make venv does)"


CELLS = "reqps"
"""The unit of a heatmap's cells: how many a second."""


def dashboard_json(board: Board) -> str:
    """The dashboard as the text of its file; ``RagwatchError`` where the library is missing."""
    try:
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
    except ImportError:
        raise RagwatchError(f"Grafana's dashboards are made with its SDK: {NEEDED}") from None
    made = json.loads(JSONEncoder().encode(_dashboard(board)))
    for annotation in made["annotations"]["list"]:
        annotation.update(_said(annotation["expr"]))
    return json.dumps(made, sort_keys=True, indent=2) + "\n"


def _said(expr: str) -> dict[str, Any]:
    """What Grafana's Prometheus source reads of an annotation, and its SDK does not know.

    Without ``target`` newer ones ask nothing (``executeAnnotationQuery``), without formats the mark has no text.
    """
    title, text, tags = CHANGE
    return {"target": {"expr": expr, "refId": "Anno"}, "titleFormat": title, "textFormat": text, "tagKeys": tags}


def panel_queries() -> list[tuple[str, str, str]]:
    """(dashboard, panel, expression) of every query: what a test runs on a real Prometheus."""
    return [
        (board.title, panel.title, target.expr)
        for board in BOARDS
        for panel in board.panels
        for target in panel.targets
    ]


def _dashboard(board: Board) -> Any:
    from grafana_foundation_sdk.builders import dashboard as builders
    from grafana_foundation_sdk.models import dashboard as models

    made = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(list(board.tags))
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            builders.DashboardLink("All of ragwatch")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["ragwatch"])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .annotation(
            builders.AnnotationQuery()
            .name("What changed?")
            .datasource(_source())
            .enable(True)
            .icon_color("purple")
            .expr(CHANGES)
        )
    )
    for name, (holder, label) in variables(board).items():
        made = made.with_variable(
            builders.QueryVariable(name)
            .label(name.capitalize())
            .datasource(_source())
            .query(f"label_values({_offered(holder, label)}, {label})")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    for place, (heading, panels) in enumerate(board.rows):
        made = made.with_row(builders.Row(heading).collapsed(False)) if place or len(board.rows) > 1 else made
        for panel in panels:
            made = made.with_panel(_panel(panel))
    return made.build()


def variables(board: Board) -> dict[str, tuple[str, str]]:
    """A dashboard's variables beside its data source: the metric and the label that hold each one's values."""
    return {
        "service": (board.holder, "service"),
        "environment": (board.holder, "environment"),
        "version": ("rag.app.info", "version"),
        **board.more,
    }


def _offered(holder: str, label: str) -> str:
    """The series whose label's values a variable offers: those of what is chosen before it."""
    suffix = "_count" if metric(holder).kind == "histogram" else ""
    if label == "service":
        return series(holder, suffix)
    if label == "environment":
        return series(holder, suffix, service=SCOPE["service"])
    return series(holder, suffix, scoped=True)


def _source() -> Any:
    from grafana_foundation_sdk.models.dashboard import DataSourceRef

    return DataSourceRef(type_val="prometheus", uid=DATASOURCE)


def _panel(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import common, heatmap, stat, statetimeline, timeseries
    from grafana_foundation_sdk.builders import dashboard as builders
    from grafana_foundation_sdk.models import common as shared
    from grafana_foundation_sdk.models import dashboard as models

    kinds: dict[str, Any] = {
        "stat": stat.Panel, "timeseries": timeseries.Panel, "heatmap": heatmap.Panel, "state": statetimeline.Panel,
    }  # fmt: skip
    made = (
        kinds[panel.kind]()
        .title(panel.title)
        .description(panel.description)
        .datasource(_source())
        .unit(panel.unit)
        .span(panel.width)
        .height(panel.height)
        .no_value("no data")
    )
    if panel.low is not None and panel.kind != "heatmap":
        made = made.min(panel.low)
    if panel.high is not None and panel.kind != "heatmap":
        made = made.max(panel.high)
    if panel.levels:
        steps = [models.Threshold(value=value, color=colour) for value, colour in panel.levels]
        made = made.thresholds(builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    if panel.names:
        called = {str(value): models.ValueMappingResult(text=name, index=value) for value, name in panel.names}
        made = made.mappings([models.ValueMap(called)])
    if panel.kind == "state":  # else its colours go from the least value to the greatest
        made = made.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    if panel.link:
        made = made.links(
            [builders.DashboardLink("Why?").type(models.DashboardLinkType.LINK).url(f"/d/{panel.link}").keep_time(True)
             .include_vars(True)]
        )  # fmt: skip
    if panel.kind == "heatmap":  # the field's unit is that of the cells; the axis has its own
        axis = heatmap.YAxisConfig().unit(panel.unit) if panel.unit else heatmap.YAxisConfig()
        made = made.unit(CELLS).y_axis(axis).cell_values(heatmap.CellValues().unit(CELLS))
    if panel.kind == "timeseries":
        made = made.fill_opacity(25 if panel.stacked else 8).show_points(shared.VisibilityMode.NEVER)
        made = made.legend(
            common.VizLegendOptions().display_mode(shared.LegendDisplayMode.LIST).placement(shared.LegendPlacement.BOTTOM)
            .show_legend(True)
        )  # fmt: skip
        tips = common.VizTooltipOptions().mode(shared.TooltipDisplayMode.MULTI)
        made = made.tooltip(tips.sort(shared.SortOrder.DESCENDING))
        if panel.stacked:
            made = made.stacking(common.StackingConfig().mode(shared.StackingMode.NORMAL).group("A"))
        if panel.levels:
            made = made.thresholds_style(common.GraphThresholdsStyleConfig().mode(shared.GraphThresholdsStyleMode.LINE))
    for source in LABEL_SOURCE.values if panel.band else ():
        made = _band(made, source)
    for place, target in enumerate(panel.targets):
        made = made.with_target(_target(target, place, panel.kind))
    return made


def _band(panel: Any, name: str) -> Any:
    """Fill between ``name low`` and ``name high``, which have no lines and no legend of their own."""
    from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

    bound = [
        DynamicConfigValue("custom.lineWidth", 0),
        DynamicConfigValue("custom.fillOpacity", 0),
        DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
    ]
    filled = [bound[0], DynamicConfigValue("custom.fillOpacity", 20), bound[2]]
    filled.append(DynamicConfigValue("custom.fillBelowTo", f"{name} low"))
    return panel.override_by_name(f"{name} low", bound).override_by_name(f"{name} high", filled)


def _target(target: Target, place: int, kind: str) -> Any:
    from grafana_foundation_sdk.builders import prometheus
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

    made = prometheus.Dataquery().expr(target.expr).ref_id(chr(ord("A") + place)).legend_format(target.legend)
    if target.exemplars:
        made = made.exemplar(True)
    if kind == "heatmap":
        made = made.format(PromQueryFormat.HEATMAP)
    if kind == "stat":
        made = made.instant()
    return made


def parse(text: str) -> Any:
    """The dashboard that a file holds, as Grafana's SDK reads it."""
    from grafana_foundation_sdk.models.dashboard import Dashboard

    return Dashboard.from_json(json.loads(text))
