"""The catalogue is whole, its names are OpenTelemetry's and map to Prometheus' by the specification."""

from __future__ import annotations

import re

import pytest

from ragwatch.catalogue import KPIS, METRICS, metric, prometheus_name
from ragwatch.codegen import FILES, stale
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


def test_kpis_name_metrics_and_labels_that_exist() -> None:
    for kpi in KPIS:
        for ratio in (kpi.numerator, kpi.denominator):
            if ratio is not None:
                declared = metric(ratio.metric)
                assert not ratio.key or ratio.key in declared.label_names
                label = next((held for held in declared.labels if held.name == ratio.key), None)
                if label is not None and label.values:
                    assert set(ratio.values) <= set(label.values)


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
