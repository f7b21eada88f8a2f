"""Prometheus and Alertmanager read what ``deploy/`` has for them, and an open breaker holds back what it causes."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

import pytest
import yaml

from ragwatch.cli import main
from ragwatch.monitoring.alerts import ALERTS
from tests.support.golang import BUILD_TIMEOUT_S, built
from tests.support.paths import ROOT
from tests.support.procs import Process
from tests.support.production import free_ports
from tests.support.promtool import promtool
from tests.support.wait import wait_until

ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
RULES = ROOT / "dashboards" / "prometheus"
BUILD = ROOT / "deploy" / "alertmanager" / "build"


def test_prometheus_reads_its_configuration_with_the_rules(tmp_path: Path) -> None:
    config = yaml.safe_load(PROMETHEUS.read_text())
    assert config["rule_files"] == ["/etc/prometheus/rules/*.yml"]
    (tmp_path / "token").write_text("secret")
    here = PROMETHEUS.read_text().replace("/etc/prometheus/rules", str(RULES))
    here = here.replace("/run/secrets/agent_token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(here)
    found = subprocess.run(
        [promtool(), "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("SUCCESS") >= 1 + len(list(RULES.glob("*.yml")))


def test_the_two_ways_of_the_kpis_have_jobs_that_the_alert_tells_apart() -> None:
    """The collector's series keep the job that the agent's resource gives them: the scrape's must be another."""
    jobs = {job["job_name"]: job for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]}
    through = jobs["ragwatch-through-collector"]
    assert through["honor_labels"]
    assert "ragwatch-agent" not in jobs, "the job of KPIs that come through the collector"
    names = [name for job in jobs.values() for sd in job.get("dns_sd_configs", ()) for name in sd["names"]]
    assert "agent-direct" in names
    kept = [job["job_name"] for job in jobs.values() if 9464 in [sd["port"] for sd in job.get("dns_sd_configs", ())]]
    assert kept == ["ragwatch", "agent-up"]
    assert jobs["agent-up"]["metric_relabel_configs"] == [
        {"source_labels": ["__name__"], "regex": ".*", "action": "drop"}
    ]


def test_every_alert_that_alertmanager_knows_by_name_exists() -> None:
    config = yaml.safe_load(ALERTMANAGER.read_text())
    named = {
        matcher.split()[-1]
        for held in [*config["inhibit_rules"], *config["route"]["routes"]]
        for matchers in held.values()
        if isinstance(matchers, list)
        for matcher in matchers
        if matcher.startswith("alertname =")
    }
    assert named >= {"RagBreakerOpen", "RagErrorRate", "Watchdog"}
    assert named <= {alert.name for alert in ALERTS}


def test_the_alertmanager_of_the_tests_is_the_one_that_compose_runs() -> None:
    image = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["alertmanager"]["image"]
    assert f"github.com/prometheus/alertmanager {image.partition(':')[2]}" in (BUILD / "go.mod").read_text()


class Alertmanager:
    """The real one with our file; a context manager."""

    def __init__(self, directory: Path, config: Path = ALERTMANAGER) -> None:
        (self.port,) = free_ports(1)
        self._process = Process(
            [
                built("alertmanager"),
                f"--config.file={config}",
                f"--storage.path={directory}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ]
        )

    def call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"http://127.0.0.1:{self.port}/api/v2/{path}", data, headers), timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def fire(self, *alerts: dict[str, str]) -> dict[str, list[str]]:
        """Fire these; by each one's name (and step or service), the names of what holds it back."""
        self.call("alerts", [{"labels": labels} for labels in alerts])
        wait_until(lambda: len(self.call("alerts")) == len(alerts), 20)

        def states() -> list[Any]:
            found = self.call("alerts")
            return found if all(item["status"]["state"] != "unprocessed" for item in found) else []

        found = wait_until(states, 20, what="every alert to be processed")
        names = {item["fingerprint"]: item["labels"]["alertname"] for item in found}
        return {_key(item["labels"]): [names[other] for other in item["status"]["inhibitedBy"]] for item in found}

    def __enter__(self) -> Self:
        def up() -> bool:
            try:
                return bool(self.call("status"))
            except OSError:
                assert self._process.returncode is None, self._process.output
                return False

        wait_until(up, 20, what="Alertmanager to be up")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()


def _key(labels: dict[str, str]) -> str:
    return " ".join(labels[name] for name in ("alertname", "service", "step", "severity") if labels.get(name))


def alert(name: str, severity: str = "page", service: str = "bot", **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": severity, "service": service, "environment": "production", **labels}


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    with Alertmanager(tmp_path) as running:
        yield running


@pytest.mark.stack
@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_an_open_breaker_holds_back_the_error_rate_behind_it_and_no_other(alertmanager: Alertmanager) -> None:
    held = alertmanager.fire(
        alert("RagBreakerOpen", breaker="documents"),
        alert("RagErrorRate"),
        alert("RagErrorRate", step="retrieve"),
        alert("RagErrorRate", step="generate"),
        alert("RagErrorRate", service="shop"),
        alert("RagRetryStorm", operation="search"),
        alert("RagEmptyRetrievals", data_source="kb"),
        {"alertname": "Watchdog", "severity": "info"},
    )
    assert held == {
        "RagBreakerOpen bot page": [],
        "RagErrorRate bot page": ["RagBreakerOpen"],
        "RagErrorRate bot retrieve page": ["RagBreakerOpen"],
        "RagErrorRate bot generate page": [],
        "RagErrorRate shop page": [],
        "RagRetryStorm bot page": [],
        "RagEmptyRetrievals bot page": [],
        "Watchdog info": [],
    }


@pytest.mark.stack
@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_without_an_open_breaker_nothing_is_held_back_and_an_outage_is_one_group(alertmanager: Alertmanager) -> None:
    held = alertmanager.fire(
        alert("RagErrorRate"),
        alert("RagEmptyRetrievals", data_source="kb"),
        alert("RagAvailabilityBurnRate"),
        alert("RagAvailabilityBurnRate", severity="ticket"),
        alert("RagErrorRate", service="shop"),
    )
    assert held.pop("RagAvailabilityBurnRate bot ticket") == ["RagAvailabilityBurnRate"], "the page says it already"
    assert set(map(tuple, held.values())) == {()}
    groups = [
        (item["receiver"]["name"], item["labels"]["service"], len(item["alerts"]))
        for item in alertmanager.call("alerts/groups")
    ]
    assert sorted(groups) == [("page", "bot", 3), ("page", "shop", 1), ("ticket", "bot", 1)]


class Receiver:
    """Somebody's pager: what Alertmanager's webhook told it; a context manager."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.stack
@pytest.mark.timeout(BUILD_TIMEOUT_S)
@pytest.mark.parametrize(("name", "receiver"), [("RagBreakerOpen", "page"), ("RagCollectorRefuses", "ticket")])
def test_an_alert_that_is_fired_as_a_test_reaches_the_receiver_of_its_severity(
    tmp_path: Path, name: str, receiver: str
) -> None:
    """By our own file, with a webhook as that receiver."""
    with Receiver() as pager:
        config = yaml.safe_load(ALERTMANAGER.read_text())
        config["route"]["group_wait"] = "0s"
        (chosen,) = [item for item in config["receivers"] if item["name"] == receiver]
        chosen["webhook_configs"] = [{"url": pager.url}]
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
        with Alertmanager(tmp_path / "data", tmp_path / "alertmanager.yml") as running:
            here = f"http://127.0.0.1:{running.port}"
            assert main(["rules", "--test-fire", name, "--alertmanager", here, "--service", "bot"]) == 0
            wait_until(lambda: pager.told, 30, what="the pager to ring")
    (told,) = pager.told
    assert (told["labels"]["alertname"], told["labels"]["service"]) == (name, "bot")
    assert told["labels"]["test"] == "true"
    assert "nothing is wrong" in told["annotations"]["summary"]
    assert told["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"


@pytest.mark.stack
@pytest.mark.timeout(BUILD_TIMEOUT_S)
def test_an_agent_that_is_down_holds_back_the_services_that_only_it_saw(alertmanager: Alertmanager) -> None:
    held = alertmanager.fire(
        {"alertname": "RagwatchDown", "severity": "page", "job": "ragwatch", "instance": "a"},
        alert("RagServiceGone", job="ragwatch", instance="a"),
        alert("RagServiceGone", service="shop", job="ragwatch", instance="b"),
    )
    assert held == {
        "RagwatchDown page": [],
        "RagServiceGone bot page": ["RagwatchDown"],
        "RagServiceGone shop page": [],
    }
