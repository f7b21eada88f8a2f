"""The catalogue is whole, its names are OpenTelemetry's and map to Prometheus' by the specification."""

from __future__ import annotations

import re

import pytest

from ragwatch.catalogue import METRICS, metric, prometheus_name
from ragwatch.catalogue_kpis import KPIS, Kpi, Part, kpi
from ragwatch.codegen import FILES, stale
from ragwatch.codegen.metrics_page import documented
from ragwatch.errors import CatalogueError
from tests.support.paths import ROOT

PROMETHEUS = re.compile(r"^[a-z_:][a-z0-9_:]*$")


@pytest.mark.parametrize("declared", METRICS.values(), ids=lambda m: m.name)
def test_declaration_is_whole(declared) -> None:  # type: ignore[no-untyped-def]
    assert PROMETHEUS.match(prometheus_name(declared.name, declared.kind, declared.unit))
    assert declared.description.endswith(".")
    assert bool(declared.buckets) == (declared.kind == "histogram")
    assert list(declared.buckets) == sorted(set(declared.buckets))
    for label in declared.labels:
        assert bool(label.values) != bool(label.bound), f"{label.name} has a closed set or a bound"
    if declared.name.startswith(("rag.", "gen_ai.")):
        assert declared.label_names[:2] == ("service", "environment")


def test_prometheus_names_are_unique() -> None:
    names = [prometheus_name(m.name, m.kind, m.unit) for m in METRICS.values()]
    assert len(names) == len(set(names))


def test_no_metric_has_a_forbidden_label() -> None:
    forbidden = {"user", "query", "question", "session", "document", "trace", "trace_id", "span_id"}
    assert not {label for m in METRICS.values() for label in m.label_names} & forbidden


def parts_of(wanted: Kpi) -> list[Part]:
    squares = [Part(wanted.squares)] if wanted.squares else []
    return squares + [part for part in (wanted.of, wanted.per, wanted.good, wanted.judged) if part is not None]


@pytest.mark.parametrize("wanted", KPIS.values(), ids=lambda wanted: wanted.name)
def test_a_kpi_names_metrics_and_labels_that_exist_and_says_what_its_absence_means(wanted: Kpi) -> None:
    assert wanted.title.endswith("?")
    assert wanted.formula
    assert wanted.absent
    assert (wanted.interval == "t") == bool(wanted.squares)
    assert (wanted.per is not None) == (wanted.shape in {"share", "split", "per_good"})
    assert metric(wanted.of.metric).kind == {"now": "gauge", "quantile": "histogram", "mean": "histogram"}.get(
        wanted.shape, metric(wanted.of.metric).kind
    )
    for part in parts_of(wanted):
        labels = {label.name: label for label in metric(part.metric).labels}
        for name, values in part.where.items():
            assert set(values) <= set(labels[name].values)
    assert set(wanted.by) <= {label.name for label in metric((wanted.judged or wanted.of).metric).labels} | {"le"}


def test_a_part_of_a_whole_is_part_of_it() -> None:
    """What is counted above the line is counted below it as well: no share is ever above 1."""
    for wanted in KPIS.values():
        if wanted.shape == "share" and wanted.per is not None and wanted.of.metric == wanted.per.metric:
            for name, values in wanted.of.where.items():
                assert set(values) <= set(wanted.per.where.get(name, values)), wanted.name


def test_an_unknown_kpi_says_so() -> None:
    with pytest.raises(CatalogueError, match=r"no KPI .luck."):
        kpi("luck")


@pytest.mark.parametrize(
    ("name", "kind", "unit", "expected"),
    [
        ("rag.query.duration", "histogram", "s", "rag_query_duration_seconds"),
        ("rag.query.errors", "counter", "{query}", "rag_query_errors_total"),
        ("rag.cost", "counter", "usd", "rag_cost_usd_total"),
        ("rag.app.info", "gauge", "", "rag_app_info"),
        ("ragwatch.agent.inbox.bytes", "gauge", "By", "ragwatch_agent_inbox_bytes"),
        ("gen_ai.client.token.usage", "histogram", "{token}", "gen_ai_client_token_usage"),
        ("a..b--c", "gauge", "%", "a_b_c_percent"),
        ("9lives", "counter", "1", "_9lives_total"),
        ("x.total", "counter", "", "x_total"),
    ],
)
def test_prometheus_name(name, kind, unit, expected) -> None:  # type: ignore[no-untyped-def]
    assert prometheus_name(name, kind, unit) == expected


def test_an_unknown_metric_says_so() -> None:
    with pytest.raises(CatalogueError, match=r"no metric .rag\.nothing."):
        metric("rag.nothing")


def test_generated_files_are_fresh() -> None:
    assert stale(ROOT) == []
    assert FILES


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in METRICS if f"`{name}`" not in page] == []


def test_every_kpi_is_documented_with_its_formula_and_its_promql() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for wanted in KPIS.values():
        section = page.partition(f"#### `{wanted.name}`: ")[2].partition("####")[0]
        assert f"- formula: {wanted.formula}" in section
        assert f"- absent: {wanted.absent}" in section
        queries = [query for _, query in documented(wanted)]
        assert len(queries) == (3 if wanted.interval else 1)
        assert all(f"```promql\n{query}\n```" in section for query in queries)
        assert "$" not in section, "a query that anybody can paste"
