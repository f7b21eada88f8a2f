"""The demo's outage on a real agent and a real Prometheus: every panel has data, the right alerts fire in time.

One run for all tests here (``tests/support/drill.py``). ``RAGWATCH_WRITE_DRILL=1`` writes the measured times into
``docs/drill.json``, from which ``ragwatch codegen`` makes the page.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ragwatch.catalogue_kpis import KPIS
from ragwatch.codegen.grafana import panel_queries
from ragwatch.codegen.metrics_page import documented
from ragwatch.monitoring import drill
from ragwatch.monitoring.agent_samples import UNRECORDED
from ragwatch.monitoring.boards import CHANGES
from ragwatch.monitoring.kpis import BY, ask
from ragwatch.monitoring.promql_eval import Samples, Shown, evaluate
from ragwatch.monitoring.promql_tree import parse
from ragwatch.monitoring.rules import alert_rules, recording_rules, to_yaml
from ragwatch.monitoring.slo import load_slos
from tests.support import replay
from tests.support.agent import Agent
from tests.support.drill import Drill
from tests.support.grafana import exemplar_links
from tests.support.odd_senders import garbage, odd_senders, post
from tests.support.paths import ROOT
from tests.support.procs import Process
from tests.support.prometheus import Prometheus
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
QUICK = ("--incomplete-after-s", "5", "--metrics-interval-s", "1")
RUN_S = drill.ACT_S * len(drill.ACTS)
FIRES_WITHIN_S = 60.0
SLOS = load_slos(ROOT / drill.OBJECTIVES)
RULES = {
    "alerts.yml": to_yaml(alert_rules(SLOS, drill.SCALE), "test"),
    "recording.yml": to_yaml(recording_rules(drill.SCALE), "test"),
}


class Stack(NamedTuple):
    agent: Agent
    prometheus: Prometheus
    drill: Drill


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An agent with an upstream, a Prometheus with the drill's rules, and a whole outage behind them."""
    folder = tmp_path_factory.mktemp("stack")
    for name in ("agent", "upstream"):
        (folder / name).mkdir()
    with (
        Agent(folder / "upstream") as upstream,
        Agent(folder / "agent", "--upstream", upstream.http_url, *QUICK) as agent,
        Prometheus(folder / "p", {"ragwatch": agent.web_url.removeprefix("http://")}, RULES) as prometheus,
    ):  # fmt: skip
        played = Drill(agent, prometheus)
        played.play()
        yield Stack(agent, prometheus, played)


@pytest.mark.timeout(300)
def test_the_demo_did_what_was_asked(stack: Stack) -> None:
    assert list(stack.drill.acts) == list(drill.ACTS)
    assert stack.drill.figures["queries"] > drill.QUERIES * 0.6
    assert stack.drill.figures["spans_lost"] == 0
    assert stack.agent.metric("rag_query_duration_seconds_count") == stack.drill.figures["queries"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("expected", drill.EXPECTED, ids=lambda item: item.alert)
def test_each_act_fires_its_alert_which_names_what_is_wrong(stack: Stack, expected: drill.Expected) -> None:
    fired = stack.drill.first(expected.alert, expected.act)
    assert fired is not None, stack.drill.firings
    assert expected.names in fired.summary
    took_s = fired.at - stack.drill.acts[expected.act]
    assert took_s < FIRES_WITHIN_S
    if os.environ.get("RAGWATCH_WRITE_DRILL"):
        held = json.loads((ROOT / drill.MEASURED).read_text())
        held["seconds"] = {item.alert: held["seconds"].get(item.alert, 0) for item in drill.EXPECTED}
        held["seconds"][expected.alert] = round(took_s, 1)
        (ROOT / drill.MEASURED).write_text(json.dumps(held, indent=2) + "\n")
    written_s = drill.read_measured(ROOT)[expected.alert]
    assert abs(took_s - written_s) < 20, "docs/drill.md says another time: RAGWATCH_WRITE_DRILL=1, ragwatch codegen"


@pytest.mark.timeout(300)
def test_nothing_else_fires(stack: Stack) -> None:
    """Not in the calm act, and in the others only what is true there as well."""
    wrong = []
    for fired in stack.drill.firings:
        act = stack.drill.act_at(fired.at)
        wanted = {item.alert for item in drill.EXPECTED if item.act == act} | drill.ALLOWED.get(act, set())
        if fired.at < stack.drill.ended and fired.name not in wanted | {"Watchdog"}:
            wrong.append((act, round(fired.at - stack.drill.acts[act], 1), fired.name, fired.summary))
    assert wrong == []


def filled(expression: str) -> str:
    for name, value in (
        ("$__rate_interval", "5s"),
        ("$__range", f"{RUN_S}s"),
        ("$service", ".*"),
        ("$environment", ".*"),
        ("$version", ".*"),
        ("$model", ".*"),
        ("$instance", ".*"),
    ):
        expression = expression.replace(name, value)
    return expression


@pytest.mark.timeout(300)
def test_every_query_of_every_panel_has_series(stack: Stack) -> None:
    """From the demo alone, without a sender that does anything odd."""
    assert [
        f"{board}: {panel}: {filled(expression)}"
        for board, panel, expression in panel_queries()
        if not stack.prometheus.series(filled(expression), RUN_S + 30)
    ] == []


@pytest.mark.timeout(300)
def test_every_formula_of_the_page_has_series(stack: Stack) -> None:
    """As ``docs/metrics.md`` has them, but for the window, which is longer than the run."""
    assert [
        f"{kpi.name} {what}: {query}"
        for kpi in KPIS.values()
        for what, query in documented(kpi)
        if not stack.prometheus.series(shortened(query), RUN_S + 30)
    ] == []


def shortened(query: str) -> str:
    return query.replace("[5m]", "[5s]").replace("[1d]", f"[{RUN_S}s]")


@pytest.mark.timeout(300)
def test_a_formula_of_the_page_gives_what_the_agent_counted(stack: Stack) -> None:
    """Shares by the page's PromQL over the whole run, against the agent's own arithmetic of the same declarations."""
    kpis = json.loads(stack.agent.get("/api/kpis?service=python-docs")[2])
    same = ("availability", "error_rate", "degraded_rate", "rejected_rate", "token_coverage")
    for name, field in (("empty_rate", "empty_retrieval_rate"), *((name, name) for name in same)):
        (found,) = stack.prometheus.query(ask(name, BY, window=f"{RUN_S + 60}s", scoped=False))
        assert float(found["value"][1]) == pytest.approx(kpis[field], rel=0.02, abs=0.001), name


@pytest.mark.timeout(300)
def test_what_a_hostile_sender_sends_is_shown_as_such(stack: Stack) -> None:
    odd_senders(stack.agent)
    query = 'sum(increase(ragwatch_agent_unreadable_total{attribute="output.value"}[1m])) > 0'
    wait_until(lambda: stack.prometheus.query(query), 20, what="what could not be read")


@pytest.mark.timeout(300)
def test_every_recording_rule_yields(stack: Stack) -> None:
    names = {rule["record"] for group in recording_rules()["groups"] for rule in group["rules"]}
    names.add("rag:slo_budget_left:ratio")
    assert [name for name in names if not stack.prometheus.series(name, RUN_S + 30)] == []


@pytest.mark.timeout(300)
def test_the_index_that_was_deployed_is_an_annotation(stack: Stack) -> None:
    """By the dashboards' own query: a mark for each index, where it began and not before."""
    marks = stack.prometheus.series(filled(CHANGES), RUN_S + 30)
    began = {
        item["metric"]["index_version"].partition("-")[2]: float(item["values"][0][0]) - stack.drill.began
        for item in marks
        if item["metric"]["service"] == "python-docs"
    }
    assert sorted(began) == ["", "incomplete", "repaired"]
    incomplete = stack.drill.acts["index incomplete"] - stack.drill.began
    assert began[""] < drill.ACT_S
    assert incomplete - 1 < began["incomplete"] < incomplete + drill.ACT_S < began["repaired"] + 1
    assert all(len(item["values"]) < 10 for item in marks), "it ends by itself"


@pytest.mark.timeout(300)
def test_an_exemplar_leads_to_the_trace_and_its_documents(stack: Stack) -> None:
    """By the very link that Grafana's data source has for it."""

    def found() -> dict[str, Any] | None:
        now = time.time()
        query = "rag_query_duration_seconds_bucket"
        for series in stack.prometheus.get("query_exemplars", query=query, start=now - RUN_S - 60, end=now):
            for exemplar in series["exemplars"]:
                (_, link), *_ = exemplar_links({"RAGWATCH_AGENT_URL": ""}, exemplar["labels"]["trace_id"])
                status, _, body = stack.agent.get(link)
                if status == 200:
                    record: dict[str, Any] = json.loads(body)["queries"][0]
                    if any(step.get("documents") for step in record["steps"]):
                        return record
        return None

    record = wait_until(found, 60, what="an exemplar whose query is kept")
    assert record is not None
    documents = next(step["documents"] for step in record["steps"] if step.get("documents"))
    assert documents[0]["id"]


@pytest.mark.timeout(300)
def test_pictures_of_an_agent_show_what_a_prometheus_says(stack: Stack) -> None:
    """Every panel's query by our own arithmetic, over the very samples that Prometheus has, and by Prometheus."""
    at = round(stack.drill.acts["index incomplete"] + 7.3, 3)  # Prometheus knows milliseconds
    samples = Samples()
    columns: dict[float, list[Shown]] = {}
    for series in stack.prometheus.get("query", query='{__name__=~"(rag|ragwatch|gen_ai)_.*"}[200s]', time=at + 5)[
        "result"
    ]:
        labels = dict(series["metric"])
        name = labels.pop("__name__")
        for when, value in series["values"]:
            columns.setdefault(when, []).append((name, labels, float(value)))
    for when in sorted(columns):
        samples.add(when, columns[when])
    different = []
    for _, panel, expression in panel_queries():
        query = filled(UNRECORDED.get(expression, expression))
        theirs = {
            tuple(sorted((key, value) for key, value in item["metric"].items() if key != "__name__")): item["value"][1]
            for item in stack.prometheus.get("query", query=query, time=at)["result"]
        }
        ours = evaluate(parse(query), samples, at)
        assert isinstance(ours, dict)
        if {key: pytest.approx(float(value), rel=1e-6, nan_ok=True) for key, value in theirs.items()} != ours:
            different.append((panel, query, theirs, ours))
    assert different == []


@pytest.mark.timeout(300)
def test_the_dashboards_can_be_drawn(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ragwatch.cli import main

    url = f"http://127.0.0.1:{stack.prometheus.port}"
    since = f"{RUN_S + 60}s"
    assert main(["snapshot", str(tmp_path), "--prometheus", url, "--since", since, "--board", "resilience"]) == 0
    assert "12 of 12 panels have data" in capsys.readouterr().out
    assert (tmp_path / "resilience.png").read_bytes()[:4] == b"\x89PNG"


ALERTS = {"alerts.yml": RULES["alerts.yml"]}


@pytest.fixture(scope="module")
def recorded(stack: Stack) -> replay.Series:
    """The run's series that the alerts read."""
    return replay.recorded(stack.drill, ALERTS)


def alert_names() -> list[str]:
    return sorted(
        {rule["alert"] for group in alert_rules(SLOS)["groups"] for rule in group["rules"] if "alert" in rule}
    )


@pytest.mark.timeout(300)
def test_promtool_fires_each_alert_in_its_act_on_the_recorded_series(
    stack: Stack, recorded: replay.Series, tmp_path: Path
) -> None:
    """The run again, by ``promtool test rules``: at the end of each act its alert fires, and none but what is true."""
    ends = [*list(stack.drill.acts.values())[1:], stack.drill.acts[drill.ACTS[-1]] + drill.ACT_S]
    checks: list[replay.Check] = []
    for act, ended in zip(drill.ACTS, ends, strict=True):
        second = int(ended - stack.drill.began) - 1
        wanted = {item.alert for item in drill.EXPECTED if item.act == act} | {"Watchdog"}
        open_to = drill.ALLOWED.get(act, set())
        checks += [(alert, second, alert in wanted) for alert in alert_names() if alert not in open_to]
    replay.run(tmp_path, ALERTS, recorded, checks)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("alert", replay.CHANGES)
def test_the_other_alerts_fire_when_one_thing_of_the_recorded_calm_goes_wrong(
    stack: Stack, recorded: replay.Series, tmp_path: Path, alert: str
) -> None:
    series, length = replay.calm_twice(stack.drill, recorded)
    silent = [(name, length - 1, name == "Watchdog") for name in alert_names()]
    replay.CHANGES[alert](series, length)
    replay.run(tmp_path, ALERTS, series, [*silent, (alert, 2 * length - 2, True)])


def test_every_alert_is_fired_by_an_act_or_by_a_change() -> None:
    fired = {item.alert for item in drill.EXPECTED} | replay.CHANGES.keys() | {"Watchdog"}
    elsewhere = {"RagNoQueries", "RagwatchGone", "RagServiceGone"}  # a run is too short: tests/monitoring has them
    assert fired.isdisjoint(elsewhere)
    assert fired | elsewhere == set(alert_names())


@pytest.mark.timeout(300)
def test_what_an_sdk_lost_and_what_nobody_can_read_fires_live(stack: Stack) -> None:
    wanted = {"RagTelemetryLost", "RagwatchDeadLetters"}
    small = {"OTEL_EXPORTER_OTLP_ENDPOINT": stack.agent.http_url, "OTEL_METRIC_EXPORT_INTERVAL": "500"}
    small |= {"OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_SERVICE_NAME": "small"}
    with Process.python("-c", LOSER, env=small):

        def fired() -> bool:
            post(stack.agent, garbage(), "application/x-protobuf")
            return wanted <= set(stack.prometheus.firing())

        wait_until(fired, 60, what=f"{wanted} to fire")


LOSER = """
import time, ragwatch
ragwatch.init(log_queries=False)
while True:
    for _ in range(20):
        with ragwatch.query("q"):
            pass
    time.sleep(0.2)
"""
