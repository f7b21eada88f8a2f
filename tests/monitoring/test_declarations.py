"""Dashboards, rules and objectives: they name what the catalogue has, read well, and break loudly."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ragwatch.catalogue import METRICS, metric, prometheus_name
from ragwatch.catalogue_kpis import KPIS
from ragwatch.cli import main
from ragwatch.codegen.grafana import dashboard_json, parse
from ragwatch.codegen.metrics_page import documented
from ragwatch.errors import CatalogueError, ConfigError
from ragwatch.monitoring.alert import EVALUATION_S
from ragwatch.monitoring.alerts import ALERTS
from ragwatch.monitoring.boards import BOARDS, CHANGES
from ragwatch.monitoring.collector_alerts import COLLECTOR_ALERTS
from ragwatch.monitoring.kpis import ask
from ragwatch.monitoring.panels import Board, Panel
from ragwatch.monitoring.promql import series, student, wilson
from ragwatch.monitoring.rules import RECORDED, alert_rules, recording_rules, to_yaml
from ragwatch.monitoring.slo import BUNDLED, load_slos, slos_of
from tests.support.paths import ROOT
from tests.support.promtool import promtool
from tests.support.rules_on import Look, check

PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
KNOWN = {
    prometheus_name(m.name, m.kind, m.unit) + suffix
    for m in METRICS.values()
    for suffix in (("_bucket", "_sum", "_count") if m.kind == "histogram" else ("",))
}
_NAME = re.compile(r"\b((?:rag|ragwatch|gen_ai)_[a-z_]+)(?=[{\[\s)]|$)")


LABELS = {label.prometheus for m in METRICS.values() for label in m.labels}

OWN = {"availability": {"target": 0.999}, "latency": {"threshold_s": 30}}
SPECIAL = {**BUNDLED, "services": {'a "bot"': OWN, "other": OWN}}


def names_in(expression: str) -> set[str]:
    return set(_NAME.findall(expression)) - LABELS


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=lambda x: getattr(x, "uid", getattr(x, "title", None)))
def test_a_panel_asks_a_question_has_a_unit_and_says_what_to_do(board: Board, panel: Panel) -> None:
    assert panel.title.endswith("?")
    assert len(panel.description) > 20
    assert panel.unit
    assert panel.targets
    for target in panel.targets:
        assert names_in(target.expr) <= KNOWN, target.expr
        assert not re.search(r"\[\d+[smhd]\]", target.expr), "a window that no screen can change"
        if board.uid != "ragwatch-itself":
            assert "$service" in target.expr
            assert "$environment" in target.expr
        assert panel.kind in {"stat", "heatmap"} or target.legend


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_dashboard_fits_and_survives_grafanas_own_reader(board: Board) -> None:
    assert sum(len(panels) for _, panels in board.rows) <= 12
    assert len({panel.title for panel in board.panels}) == len(board.panels)
    text = dashboard_json(board)
    held = json.loads(text)
    assert parse(text).title == board.title
    variables = {variable["name"] for variable in held["templating"]["list"]}
    assert variables == {"datasource", "service", "environment", "version", *board.more}
    assert all(f"${name}" in text for name in variables - {"datasource"})
    assert [annotation["name"] for annotation in held["annotations"]["list"]] == ["What changed?"]
    (change,) = held["annotations"]["list"]
    assert change["expr"] == change["target"]["expr"] == CHANGES
    labels = {label.prometheus for label in metric("rag.app.info").labels}
    named = re.findall(r"\{\{(\w+)\}\}", change["titleFormat"] + change["textFormat"]) + change["tagKeys"].split(",")
    assert sorted(named) == sorted([*labels, "version"]), "a mark says everything that may have changed"
    for panel in held["panels"]:
        if panel["type"] == "heatmap":
            asked = next(p for p in board.panels if p.title == panel["title"])
            assert panel["options"]["yAxis"]["unit"] == asked.unit, "the axis is what was measured"
            assert panel["options"]["cellValues"]["unit"] == "reqps"
            assert panel["fieldConfig"]["defaults"]["unit"] == "reqps", "the field is the cells'"
        if panel["type"] == "state-timeline":
            assert panel["fieldConfig"]["defaults"]["color"] == {"mode": "thresholds"}
            assert panel["fieldConfig"]["defaults"]["mappings"][0]["options"], "a state has a name"
    links = {panel.link for panel in board.panels if panel.link}
    assert links <= {other.uid for other in BOARDS}


def test_what_changed_is_what_no_agent_said_a_moment_ago(tmp_path: Path) -> None:
    """A second agent that reports the version that the first one reports is no deployment."""
    query = CHANGES.replace("$__rate_interval", "10m")
    for name in ("service", "environment", "version"):
        query = query.replace(f"${name}", ".*")

    def said(version: str, instance: str) -> str:
        return f'rag_app_info{{service="bot",environment="prod",version="{version}",instance="{instance}"}}'

    runs: list[float | None] = [1] * 60
    series = {
        said("1", "a"): runs,
        said("1", "b"): [*[None] * 20, *runs[:40]],
        said("2", "b"): [*[None] * 50, *runs[:10]],
    }
    looks = [Look(query, minute * 60, yields) for minute, yields in ((25, False), (45, False), (55, True))]
    check(tmp_path, {"groups": []}, series, looks)


def test_the_agents_own_dashboard_tells_agents_apart_and_resilience_services() -> None:
    for board, panel in PANELS:
        for target in panel.targets:
            if board.uid == "ragwatch-itself":
                assert "instance" in target.legend or "service" in target.legend, panel.title
                assert "$instance" in target.expr, panel.title
            if board.uid == "ragwatch-resilience":
                assert "{{service}}" in target.legend, panel.title


def test_what_the_catalogue_does_not_have_breaks_the_build() -> None:
    for call in (
        lambda: series("rag.nothing"),
        lambda: series("rag.cache.lookups", colour="red"),
        lambda: series("rag.cache.lookups", result="maybe"),
        lambda: series("rag.cache.lookups", "_sum"),
    ):
        with pytest.raises(CatalogueError):
            call()


def test_rules_are_prometheus_rules(tmp_path: Path) -> None:
    files = {
        "alerts.yml": to_yaml(alert_rules(load_slos(ROOT / "dashboards" / "slo.yaml")), "a"),
        "drill.yml": to_yaml(alert_rules(slos_of(BUNDLED, "b"), 0.001), "b"),
        "recording.yml": to_yaml(recording_rules(), "c"),
        "special.yml": to_yaml(alert_rules(slos_of(SPECIAL, "d")), "d"),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [promtool(), "check", "rules", *(str(tmp_path / name) for name in files)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


RULE_FILES = {
    path.name: yaml.safe_load(path.read_text()) for path in (ROOT / "dashboards" / "prometheus").glob("*.yml")
}
FIRED = [
    rule
    for held in RULE_FILES.values()
    for group in held["groups"]
    for rule in group["rules"]
    if rule.get("alert", "Watchdog") != "Watchdog"
]
BY_NAME = {alert.name: alert for alert in (*ALERTS, *COLLECTOR_ALERTS)}
NO_STEP = {
    "RagNoQueries": "there is no query that a step could be of",
    "RagServiceGone": "nothing is known of the service any more",
    "RagTelemetryLost": "what was lost is not known by step; spans of any step share one queue",
    "RagwatchAgentBehind": "about the agent, which has no steps",
    "RagwatchRefuses": "about the agent",
    "RagwatchForwardStuck": "about the agent and its upstream",
    "RagwatchDeadLetters": "about the agent: a request that cannot be read says no step",
    "RagKpisTwice": "about the agent: every step counts twice",
    "RagwatchDown": "about the agent",
    "RagwatchGone": "about the agent",
    **{alert.name: "about the collector, which knows no steps" for alert in COLLECTOR_ALERTS},
}
"""The alerts whose summary names no step, and why none can be known."""
TEMPLATE = re.compile(r"\{\{ range printf `[^`]*` [^}]*\}\}(.*?)\{\{ end \}\}")


def test_every_rule_file_has_alerts_or_records_and_none_is_forgotten_here() -> None:
    assert RULE_FILES.keys() == {"alerts.yml", "collector.yml", "recording.yml"}
    burn = {"RagAvailabilityBurnRate", "RagLatencyBurnRate", "RagRetrievalBurnRate"}
    assert {rule["alert"] for rule in FIRED} == (BY_NAME.keys() - {"Watchdog"}) | burn


@pytest.mark.parametrize("rule", FIRED, ids=lambda rule: rule["alert"] + rule["labels"].get("window", ""))
def test_an_alert_says_how_bad_what_with_a_number_in_which_step_and_where_to_read_on(rule: dict[str, Any]) -> None:
    runbooks = (ROOT / "docs" / "runbooks.md").read_text()
    sections = {line[3:].strip().lower() for line in runbooks.splitlines() if line.startswith("## ")}
    summary = rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    page, _, section = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/runbooks.md"
    assert section in sections
    branches = re.split(r"\{\{ ?else ?\}\}", summary) if "{{ if" in summary else [summary]
    assert all("$value" in branch for branch in branches), "a number, whatever the summary is"
    shown = TEMPLATE.sub(r"\1", summary)
    names_a_step = re.search(r"(in|is|suffers is) \{\{ \.Labels\.step \}\}|; the step is (retrieve|cache)\b", shown)
    assert bool(names_a_step) != (rule["alert"] in NO_STEP), summary
    assert names_in(rule["expr"]) <= KNOWN, rule["expr"]


@pytest.mark.parametrize("rule", FIRED, ids=lambda rule: rule["alert"] + rule["labels"].get("window", ""))
def test_an_alert_has_a_minimum_of_events_which_its_runbook_says(rule: dict[str, Any]) -> None:
    """By its declaration: a count that its expression asks for, or so many looks of Prometheus' in a row."""
    expr = rule["expr"]
    runbooks = (ROOT / "docs" / "runbooks.md").read_text()
    section = runbooks.partition(f"## {rule['alert']}\n")[2].partition("\n## ")[0]
    if "slo" in rule["labels"]:
        objective = slos_of(BUNDLED, "bundled").objective(rule["labels"]["slo"])
        assert objective is not None
        for least in (objective.min_events, objective.min_bad, objective.min_bad_short):
            assert least > 1
            assert f">= {least}" in expr
        assert "`min_events`" in section
        return
    alert = BY_NAME[rule["alert"]]
    assert alert.least.count > 1
    if alert.least.looks:
        assert "{least}" not in alert.expr
        assert alert.for_s / EVALUATION_S >= alert.least.count
        assert f"seen {alert.least.count} times in a row" in section
        assert "for" in rule
    else:
        assert alert.expr.count(">= {least}") == alert.expr.count("{least}") > 0
        assert f">= {alert.least.count}" in expr
        assert f"from {alert.least.count} {alert.least.of} on" in section


def test_an_alert_on_an_objective_takes_its_minimum_from_the_file() -> None:
    slos = slos_of({"slos": {"latency": {"target": 0.9, "min_events": 77}}, "accuracy": {"min_judgements": 88}}, "test")
    rules = {r["alert"]: r["expr"] for g in alert_rules(slos)["groups"] for r in g["rules"] if "alert" in r}
    assert ">= 77" in rules["RagSlow"]
    assert ">= 20" in rules["RagErrorRate"], "it has no objective here"
    assert ">= 88" in rules["RagRetrievalFell"]


def test_the_bundled_objectives_are_those_of_the_file() -> None:
    held = yaml.safe_load((ROOT / "dashboards" / "slo.yaml").read_text())
    assert {key: held[key] for key in BUNDLED} == BUNDLED


def test_a_service_may_have_targets_of_its_own() -> None:
    slos = slos_of({**BUNDLED, "services": {"bot": {"availability": {"target": 0.999}}}}, "test")
    rules = [r for g in alert_rules(slos)["groups"] for r in g["rules"] if r.get("alert") == "RagAvailabilityBurnRate"]
    mine, others = [r for r in rules if "and on (service)" in r["expr"]], [r for r in rules if "unless on" in r["expr"]]
    assert (len(mine), len(others)) == (4, 4)
    assert "> 0.0144 " in mine[0]["expr"]
    assert "> 0.144 " in others[0]["expr"]


def test_a_service_that_may_be_slow_is_slow_by_its_own_objective() -> None:
    slos = slos_of({**BUNDLED, "services": {"bot": {"latency": {"threshold_s": 30}}}}, "test")
    rules = [r for g in alert_rules(slos)["groups"] for r in g["rules"] if r.get("alert") == "RagSlow"]
    assert [re.findall(r">= (\d+) and \(", rule["expr"]) for rule in rules] == [["5"], ["30"]]
    assert 'unless on (service) label_replace(vector(1), "service", "bot"' in rules[0]["expr"]
    assert 'and on (service) label_replace(vector(1), "service", "bot"' in rules[1]["expr"]


def test_a_burn_rate_names_what_its_own_objective_is_about_and_fires_for_any_target() -> None:
    low = {name: {"target": 0.8} for name in ("availability", "latency", "retrieval")}
    rules = [
        r
        for g in alert_rules(slos_of({"slos": low}, "test"))["groups"]
        for r in g["rules"]
        if "slo" in r.get("labels", ())
    ]
    asked = {"availability": "rag_query_errors", "latency": "rag_query_critical_path", "retrieval": "rag_retrieval_req"}
    for rule in rules:
        if "alert" in rule:
            assert (
                f"topk(1, sum by ({'step' if 'query' in asked[rule['labels']['slo']] else 'data'}"
                in rule["annotations"]["summary"]
            )
            assert asked[rule["labels"]["slo"]] in rule["annotations"]["summary"]
            assert "$labels.service $labels.environment" in rule["annotations"]["summary"]
            assert all(float(limit) < 1 for limit in re.findall(r"\) > (0?\.?\d[\d.]*) and", rule["expr"])), rule[
                "expr"
            ]
    nines = slos_of({"slos": {"availability": {"target": 0.9999}}}, "test")
    assert "objective of 0.9999:" in to_yaml(alert_rules(nines), "test")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"slos": {"avalability": {"target": 0.9}}}, "did you mean 'availability'"),
        ({"slos": {"availability": {}}}, "slos.availability.target"),
        ({"slos": {"availability": {"target": 99}}}, "number from 0.5"),
        ({"slos": {"latency": {"target": 0.9, "threshold_s": 3}}}, "no edge of the buckets"),
        ({"slos": {"latency": {"target": 0.9, "threshold_s": 300}}}, "nothing could be seen to be slower"),
        ({"slos": {"latency": {"target": 0.9, "treshold_s": 5}}}, "did you mean 'threshold_s'"),
        ({"slos": {"latency": {"target": 0.9, "page_above": 0.5}}}, "page_above"),
        ({"slos": {"retrieval": {"target": 0.9, "page_above": 1}}}, "slos.retrieval.page_above"),
        ({"slos": {"retrieval": {"target": 0.9, "min_bad": 0}}}, "slos.retrieval.min_bad"),
        ({"slo": {}}, "did you mean 'slos'"),
        ([], "should be a mapping"),
        ({"accuracy": {"target": "high"}}, "accuracy.target"),
        ({"services": {"bot": {"latency": 5}}}, "services.bot.latency"),
    ],
)
def test_objectives_that_cannot_be_are_refused_by_name(data: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        slos_of(data, "slo.yaml")


def test_wilsons_bounds_are_those_of_the_engine() -> None:
    from ragwatch.kpi.quality import wilson as reference

    bounds = [
        eval(wilson("70", "100", 1.96, sign).replace("^", "**").replace("(100 > 0)", "100"), {"sqrt": lambda x: x**0.5})
        for sign in "-+"
    ]
    found = reference(70, 100)
    assert found is not None
    assert bounds == [pytest.approx(found.low, abs=1e-4), pytest.approx(found.high, abs=1e-4)]


@pytest.mark.parametrize("n", [3, 5, 20, 400])
def test_students_bounds_are_those_of_the_engine(n: int) -> None:
    from ragwatch.kpi.quality import mean_interval

    added, squares = 0.5 * n, 0.3 * n
    functions = {"sqrt": lambda x: x**0.5, "clamp_min": max, "clamp_max": min}
    found = mean_interval(added, squares, n, bounds=(0.0, 1.0))
    assert found is not None
    for sign, expected in (("-", found.low), ("+", found.high)):
        query = student(str(added), str(squares), str(n), sign).replace("^", "**").replace(f"({n} > 1)", str(n))
        assert eval(query, functions) == pytest.approx(expected, abs=0.02 if n < 5 else 0.002)


def test_the_command_prints_rules_and_refuses_nonsense(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    assert "RagBreakerOpen" in capsys.readouterr().out
    assert main(["rules", "--recording", "--window-scale", "0.1"]) == 0
    assert "rag:error_rate:ratio5m" in capsys.readouterr().out
    for arguments, said in (
        (["--window-scale", "0"], "not in (0, 1]"),
        (["--slo", "missing.yaml"], "cannot be read"),
        (["--test-fire", "RagBreakerOpne"], "did you mean 'RagBreakerOpen'"),
        (["--test-fire", "Watchdog", "--alertmanager", "http://127.0.0.1:1"], "no Alertmanager takes alerts"),
    ):
        assert main(["rules", *arguments]) == 2
        assert said in capsys.readouterr().err


UNSHOWN = {
    "rag.labelled.hits": "the KPI hit_rate_at_k, which recall and rank beside it on the dashboard say more about",
    "rag.labelled.recall.squares": "the interval of recall_at_k",
    "rag.labelled.reciprocal_rank.squares": "the interval of mrr",
}
"""In the formula of a KPI, and in no panel and no rule."""
UNUSED = {
    "ragwatch.sdk.export.interval": "the agent itself heeds it",
    "ragwatch.agent.inbox.rows": "lag says how many of them wait and for whom, bytes how near the bound is",
}
"""In no panel, rule or formula."""


def bases(names: set[str]) -> set[str]:
    """OTel names of what expressions ask for."""
    known = {
        prometheus_name(m.name, m.kind, m.unit) + suffix: m.name
        for m in METRICS.values()
        for suffix in (("_bucket", "_sum", "_count") if m.kind == "histogram" else ("",))
    }
    return {known[name] for name in names if name in known}


def test_every_metric_is_asked_for_by_a_panel_a_rule_or_a_formula_or_it_is_said_why_not() -> None:
    shown = {name for _, panel in PANELS for target in panel.targets for name in names_in(target.expr)}
    rules = [r for g in alert_rules(slos_of(BUNDLED, "b"))["groups"] + recording_rules()["groups"] for r in g["rules"]]
    shown |= {name for rule in rules for name in names_in(rule["expr"])}
    formulas = {name for kpi in KPIS.values() for _, query in documented(kpi) for name in names_in(query)}
    assert set(METRICS) - bases(shown) == UNSHOWN.keys() | UNUSED.keys()
    assert set(METRICS) - bases(shown | formulas) == UNUSED.keys()


def test_every_kpi_is_on_a_dashboard_or_recorded_or_it_is_said_why_not() -> None:
    """A KPI that only the page has is one that an engineer has to look for."""
    shown = "\n".join(target.expr for _, panel in PANELS for target in panel.targets)
    shown = re.sub(r',(gen_ai_request_)?model=~"\$model"', "", shown)
    shown = re.sub(r'(\{|,)instance=~"\$instance"', r"\1", shown).replace("{}", "").replace(",}", "}")
    shown = re.sub(r"\b(service|instance), ", "", re.sub(r" by \((service|instance)\) \(", "(", shown))
    missing = {kpi.name for kpi in KPIS.values() if ask(kpi.name) not in shown}
    assert missing - set(RECORDED.values()) == {
        "hit_rate_at_k",  # see UNSHOWN
        "cancelled_rate", "incomplete_rate",  # areas of "How do queries end?", beside the other outcomes
        "below_threshold_rate",  # of all data sources in one
        "breaker_transitions",  # by the new state alone
        "breaker_state",  # three levels of it, by breaker
        "tokens",  # by kind and by model, a panel each
        "running",  # by service too
    }  # fmt: skip
