"""A real agent for tests: its processes, its ports, what it shows, and how to kill a part of it."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.support.procs import Process
from tests.support.wait import wait_until

FAST = ("--commit-interval-s", "0.05", "--linger-s", "0.05", "--foreign-linger-s", "0.5")


class Agent:
    """``ragwatch agent`` on free ports (or the given ones), in a directory; a context manager."""

    def __init__(self, directory: Path, *options: str, ports: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.directory = directory
        self.options = options
        self._ports = ports
        self.start()

    def start(self) -> None:
        """Start it (again, on the same ports)."""
        (self.directory / "agent.json").unlink(missing_ok=True)
        flags = [f"--{name}-port={port}" for name, port in zip(("grpc", "http", "web"), self._ports, strict=True)]
        self.process = Process.python(
            "-m", "ragwatch.cli", "agent", "--directory", self.directory, *flags, *FAST, *self.options
        )
        wait_until(self._up, 20, what=f"the agent to be up: {self.process.output}")
        state = self.state
        self._ports = (state["grpc_port"], state["http_port"], state["web_port"])

    @property
    def state(self) -> dict[str, Any]:
        """``agent.json``."""
        found: dict[str, Any] = json.loads((self.directory / "agent.json").read_text())
        return found

    @property
    def grpc_target(self) -> str:
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self._ports[1]}"

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self._ports[2]}"

    def get(self, path: str, **headers: str) -> tuple[int, str, str]:
        """(status, content type, body) of a page of its web."""
        try:
            with urlopen(Request(self.web_url + path, headers=headers), timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read().decode()

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[2])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a sample over its series, from ``/metrics``."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[2])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_metric(self, name: str, value: float, timeout_s: float = 15.0, **labels: str) -> None:
        """Wait until the sample has that value."""
        seen: list[float] = []

        def reached() -> bool:
            with suppress(URLError, ConnectionError):
                seen.append(self.metric(name, **labels))
            if not seen and self.process.returncode is not None:
                raise AssertionError(f"the agent ended with {self.process.returncode}: {self.process.output}")
            return bool(seen) and seen[-1] == value

        try:
            wait_until(reached, timeout_s, what=f"{name}{labels} to be {value}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it was {seen[-1:]}") from None

    def kill(self, role: str) -> None:
        """SIGKILL one of its processes."""
        os.kill(self.state["pids"][role], signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM; its exit code."""
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.close()

    def _up(self) -> bool:
        if self.process.returncode is not None:
            raise AssertionError(f"the agent ended with {self.process.returncode}: {self.process.output}")
        with suppress(OSError, ValueError, KeyError):
            state = self.state
            self._ports = (state["grpc_port"], state["http_port"], state["web_port"])
            return {"receiver", "pipeline"} <= state["pids"].keys() and self.get("/readyz")[0] == 200
        return False
