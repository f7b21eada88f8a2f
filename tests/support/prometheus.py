"""A real Prometheus for tests: from PATH or Debian's package, on a free port, with rules; gone at the end."""

from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.support.procs import Process
from tests.support.promtool import promtool
from tests.support.wait import wait_until


def prometheus_binary() -> str:
    """Where it is; a visible skip where it cannot be had."""
    found = shutil.which("prometheus")
    return found or str(Path(promtool()).with_name("prometheus"))


class Prometheus:
    """Scrapes targets every second. ``query`` and ``series`` raise ``AssertionError`` for what it cannot parse."""

    def __init__(self, folder: Path, targets: dict[str, str], rules: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in rules.items():
            (folder / name).write_text(text)
        jobs = [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": list(rules),
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.create_server(("127.0.0.1", 0)) as held:
            self.port = held.getsockname()[1]
        self.process = Process(
            [
                prometheus_binary(), f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}",
                "--enable-feature=exemplar-storage",
            ]
        )  # fmt: skip
        wait_until(self._ready, 30, what="Prometheus to be ready")

    def get(self, path: str, **parameters: Any) -> Any:
        """The data of an answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}"
        try:
            with urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            raise AssertionError(f"{error.read().decode()}: {parameters}") from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def series(self, expression: str, seconds: float = 120) -> list[dict[str, Any]]:
        """The series of a range query over the last seconds."""
        now = time.time()
        found: list[dict[str, Any]] = self.get("query_range", query=expression, start=now - seconds, end=now, step=1)[
            "result"
        ]
        return found

    def firing(self) -> dict[str, list[dict[str, Any]]]:
        """Alerts that fire, by name."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in self.get("alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found

    def _ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            assert self.process.returncode is None, self.process.output
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.process.close()
