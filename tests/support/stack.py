"""The stack of profile ``full`` as processes: each with the command, environment and files that compose gives it.

Names of containers become ports of the loopback, Tempo and Loki are a sink, intervals are a second; nothing else is
changed.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import yaml

from tests.support.compose import SECRETS, report
from tests.support.golang import built
from tests.support.paths import ROOT
from tests.support.procs import Process
from tests.support.production import ProductionCollector, free_ports
from tests.support.prometheus import prometheus_binary
from tests.support.sink import Sink
from tests.support.wait import wait_until

TOKEN = SECRETS["RAGWATCH_AGENT_TOKEN"]
QUERIES = 60
FAST = {"RAGWATCH_AGENT_METRICS_INTERVAL_S": "1"}


class Stack:
    """What runs, and where it can be asked."""

    def __init__(self, directory: Path, sink: Sink) -> None:
        self.services = report("full", DEMO_QUERIES=str(QUERIES))["project"]["services"]
        self._directory = directory
        self.sink = sink
        self.grpc, self.http, self.web, self._prometheus, self._alertmanager = free_ports(5)
        given = self.services["collector"]["environment"]
        tuned = {name: value for name, value in given.items() if re.fullmatch(r"COLLECTOR_\w+_(MIB|PERCENT|MS)", name)}
        self.collector = ProductionCollector(directory, sink, **tuned)
        self._processes: list[Process] = []
        self.said = ""
        self._scraped_too = False

    def start(self) -> None:
        """In compose's order: collector, agent, Alertmanager, Prometheus; the demo is ``play``."""
        self.collector.start()
        agent = self.services["agent-forwarding"]["environment"]
        here = {
            "RAGWATCH_AGENT_HOST": "127.0.0.1",
            "RAGWATCH_AGENT_DIRECTORY": str(self._directory / "agent"),
            "RAGWATCH_AGENT_GRPC_PORT": str(self.grpc),
            "RAGWATCH_AGENT_HTTP_PORT": str(self.http),
            "RAGWATCH_AGENT_WEB_PORT": str(self.web),
            "RAGWATCH_AGENT_UPSTREAM": agent["RAGWATCH_AGENT_UPSTREAM"].replace(
                "collector:4317", self.collector.grpc_target
            ),
        }
        self._run(Process.python("-m", "ragwatch.cli", "agent", env={**agent, **here, **FAST}))
        wait_until(self._agent_is_healthy, 40, what="the agent's health check")
        listening = f"--web.listen-address=127.0.0.1:{self._alertmanager}"
        self._run(Process([built("alertmanager"), *self._command("alertmanager"), listening]))
        here = [f"--web.listen-address=127.0.0.1:{self._prometheus}", "--rules.alert.resend-delay=1s"]
        self._run(Process([prometheus_binary(), *self._command("prometheus"), *here]))
        wait_until(lambda: self.prometheus("query", query="vector(1)"), 40, what="Prometheus to be up")

    def play(self) -> None:
        """The demo, with compose's command and environment."""
        demo = self.services["demo"]
        command = [item.replace("http://agent:4318", f"http://127.0.0.1:{self.http}") for item in demo["command"]]
        command[command.index("--cache-dir") + 1] = str(ROOT / ".cache" / "demo")
        with Process.python("-m", "ragwatch.cli", *command, env=demo["environment"]) as process:
            assert process.wait(100) == 0, process.output
            self.said = process.output

    def _agent_is_healthy(self) -> bool:
        """The image's health check."""
        with Process.python(ROOT / "deploy" / "probe.py", "--once", f"http://127.0.0.1:{self.web}/readyz") as process:
            return process.wait() == 0

    def _command(self, name: str) -> list[str]:
        """A service's command, its mounted files where they are here, its volumes in our directory."""
        places = {
            mount["target"]: mount["source"] if mount["type"] == "bind" else str(self._directory / mount["source"])
            for mount in self.services[name]["volumes"]
        }
        places = {target: str(self._mapped(Path(source))) for target, source in places.items()}
        found = []
        for argument in self.services[name]["command"]:
            option, equals, value = argument.partition("=")
            found.append(option + equals + places.get(value, value))
        return found

    def _mapped(self, source: Path) -> Path:
        """A configuration file with ports for names; other files as they are."""
        if source.name != "prometheus.yml":
            return source
        ports = {"collector:8889": self.collector.prometheus_port, "collector:8888": self.collector.telemetry_port}
        ports |= {"agent-forwarding:9464": self.web, "tempo:3200": None, "loki:3100": None}
        ports["agent-direct:9464"] = self.web if self._scraped_too else None
        config = yaml.safe_load(source.read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(self._directory / "*.rules")]
        for rules in (ROOT / "dashboards" / "prometheus").glob("*.yml"):
            text = re.sub(r"^( +interval:).*", r"\1 1s", rules.read_text(), flags=re.MULTILINE)
            (self._directory / f"{rules.stem}.rules").write_text(text)
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [f"127.0.0.1:{self._alertmanager}"]}]}]
        (self._directory / "token").write_text(TOKEN)
        jobs = []
        for job in config["scrape_configs"]:
            if "authorization" in job:
                job["authorization"]["credentials_file"] = str(self._directory / "token")
            for found in job.pop("dns_sd_configs", ()):
                port = ports[f"{found['names'][0]}:{found['port']}"]
                if port is not None:  # a name that no container has: no target
                    jobs.append({**job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}], "relabel_configs": []})
        target = self._directory / "prometheus.yml"
        target.write_text(yaml.safe_dump({**config, "scrape_configs": jobs}))
        return target

    def scrape_the_agent_too(self) -> None:
        """As if the container of profile ``core`` ran as well."""
        self._scraped_too = True
        self._mapped(ROOT / "deploy" / "prometheus" / "prometheus.yml")
        self._processes[-1].signal(signal.SIGHUP)

    def prometheus(self, path: str, **parameters: str) -> Any:
        """The data of an answer of Prometheus; None while it is not up."""
        try:
            with urlopen(
                f"http://127.0.0.1:{self._prometheus}/api/v1/{path}?{urlencode(parameters)}", timeout=10
            ) as answer:
                return json.load(answer)["data"]
        except URLError:
            return None

    def value(self, query: str) -> float | None:
        """A query's only value; None where there is none."""
        found = self.prometheus("query", query=query)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def wait_value(self, query: str, expected: float) -> None:
        """Wait until a query has that value."""
        seen: list[float | None] = []

        def reached() -> bool:
            seen.append(self.value(query))
            return seen[-1] == expected

        try:
            wait_until(reached, 60)
        except AssertionError:
            agent = self.agent("/api/kpis")["query_count"]
            raise AssertionError(
                f"{query} is {seen[-1]}, not {expected}; the agent has {agent}; targets: {self.targets()}; {self.said}"
            ) from None

    def targets(self) -> list[tuple[str, str, str]]:
        """Job, health and last error of each target."""
        found = self.prometheus("targets")["activeTargets"]
        return [(item["labels"]["job"], item["health"], item["lastError"]) for item in found]

    def alerts(self) -> list[str]:
        """The names of the alerts that have reached Alertmanager."""
        with urlopen(f"http://127.0.0.1:{self._alertmanager}/api/v2/alerts", timeout=10) as answer:
            return [item["labels"]["alertname"] for item in json.load(answer)]

    def agent(self, path: str) -> Any:
        """A page of the agent."""
        request = Request(f"http://127.0.0.1:{self.web}{path}", headers={"Authorization": f"Bearer {TOKEN}"})
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def _run(self, process: Process) -> None:
        self._processes.append(process)

    def close(self) -> None:
        """End it all, the last first."""
        for process in reversed(self._processes):
            process.close()
        if self.collector.process:
            self.collector.process.close()
