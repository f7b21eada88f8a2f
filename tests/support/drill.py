"""The demo's outage, played against a real agent and a real Prometheus: what happened, second by second."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, NamedTuple

from ragwatch.monitoring import drill
from tests.support.agent import Agent
from tests.support.paths import ROOT
from tests.support.procs import Process
from tests.support.prometheus import Prometheus
from tests.support.wait import wait_until

TAIL_S = 2
"""How long is looked on after the last act, so that what was begun in it is seen."""


class Firing(NamedTuple):
    """One alert that fired: when that was first seen, its name, what it said."""

    at: float
    name: str
    service: str | None
    summary: str


class Drill:
    """A run: when each act began, what the agent showed each second, which alerts fired when."""

    def __init__(self, agent: Agent, prometheus: Prometheus) -> None:
        self.acts: dict[str, float] = {}
        self.scrapes: list[tuple[float, str]] = []
        self.firings: list[Firing] = []
        self.began = self.ended = 0.0
        self.figures: dict[str, Any] = {}
        self.said: list[str] = []
        self._agent = agent
        self._prometheus = prometheus
        self._over = threading.Event()
        self._firing: dict[tuple[str, str | None], float] = {}

    def play(self) -> None:
        """Run the demo to its end, from when nothing but the watchdog fires."""
        wait_until(self._is_calm, 30, what="the agent to be scraped and nothing to fire")
        watchers = [
            threading.Thread(target=self._watch, args=(look,), daemon=True) for look in (self._scrape, self._ask)
        ]
        command = (
            "demo",
            "--json",
            "--faults",
            "--cache-dir",
            ROOT / ".cache" / "demo",
            "--endpoint",
            self._agent.http_url,
        )
        sizes = ("--act-seconds", drill.ACT_S, "--queries", drill.QUERIES, "--concurrency", drill.CONCURRENCY)
        env = {"OTEL_METRIC_EXPORT_INTERVAL": "500"}
        with Process.python("-m", "ragwatch.cli", *map(str, (*command, *sizes)), env=env) as demo:
            wait_until(lambda: any(line.startswith("act: ") for line in demo.stderr) or demo.returncode, 90)
            self.began = time.time()
            for watcher in watchers:
                watcher.start()
            seen = 0
            while demo.returncode is None:
                lines = demo.stderr[:]
                for line in lines[seen:]:
                    if line.startswith("act: "):
                        self.acts[line.removeprefix("act: ").strip()] = time.time()
                seen = len(lines)
                time.sleep(0.05)
            assert demo.wait() == 0, demo.output
            self.said = demo.stderr[:]
            self.figures = json.loads(demo.stdout[-1])
        self.ended = time.time()
        self._over.wait(TAIL_S)
        self._over.set()
        for watcher in watchers:
            watcher.join()

    def act_at(self, at: float) -> str:
        """The act that was on at that time."""
        return max((began, act) for act, began in self.acts.items() if began <= at + 0.01)[1]

    def first(self, alert: str, act: str) -> Firing | None:
        """When an alert first fired for the demo within an act."""
        return next((item for item in self.firings if item.name == alert and self.act_at(item.at) == act), None)

    def _is_calm(self) -> bool:
        """The agent is scraped, and nothing but the watchdog fires or is about to."""
        alerts = {alert["labels"]["alertname"] for alert in self._prometheus.get("alerts")["alerts"]}
        return alerts == {"Watchdog"} and bool(self._prometheus.query("ragwatch_build_info"))

    def _watch(self, look: Any) -> None:
        began = time.monotonic()
        number = 0
        while not self._over.is_set():
            look()
            number += 1
            self._over.wait(max(0.0, began + number - time.monotonic()))

    def _scrape(self) -> None:
        self.scrapes.append((time.time(), self._agent.get("/metrics")[2]))

    def _ask(self) -> None:
        now = time.time()
        for name, alerts in self._prometheus.firing().items():
            for alert in alerts:
                key = (name, alert["labels"].get("service"))
                if now - self._firing.get(key, 0.0) > 3:  # it fires anew
                    self.firings.append(Firing(now, *key, alert["annotations"]["summary"]))
                self._firing[key] = now
