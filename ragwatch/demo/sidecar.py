"""An agent of the demo's own: a process in a directory of its own, on free ports unless they are given."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from ragwatch.errors import RagwatchError

START_TIMEOUT_S = 30.0


class Sidecar:
    """A running agent; use it in a ``with``, or ``stop`` it."""

    def __init__(self, directory: Path | None = None, *, options: tuple[str, ...] = ()) -> None:
        self._own = tempfile.TemporaryDirectory(prefix="ragwatch-demo-") if directory is None else None
        self.directory = Path(self._own.name) if self._own else Path(str(directory))
        (self.directory / "agent.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "ragwatch.cli", "agent", "--directory", str(self.directory), *options]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)  # noqa: S603
        self._state = self._wait()
        self._before = self._samples()

    @property
    def endpoint(self) -> str:
        """Where the SDK sends OTLP."""
        return f"http://127.0.0.1:{self._state['http_port']}"

    @property
    def web_url(self) -> str:
        """Where its page, ``/metrics`` and ``/api`` are."""
        return f"http://127.0.0.1:{self._state['web_port']}"

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a Prometheus counter over the series that have these labels, as ``/metrics`` shows it.

        What an agent in a directory that was used before had counted already is left out.
        """
        return self._shown(name, labels) - sum(
            value
            for (known, series), value in self._before.items()
            if known == name and labels.items() <= dict(series).items()
        )

    def _shown(self, name: str, labels: dict[str, str]) -> float:
        return sum(
            value
            for (known, series), value in self._samples().items()
            if known == name and labels.items() <= dict(series).items()
        )

    def _samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (sample.name, tuple(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(_get(f"{self.web_url}/metrics"))
            for sample in family.samples
        }

    def kpis(self) -> dict[str, Any]:
        """``/api/kpis``."""
        found: dict[str, Any] = json.loads(_get(f"{self.web_url}/api/kpis"))
        return found

    def stop(self) -> None:
        """End it and forget its files, where they are the demo's own."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()
        if self._own:
            self._own.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self) -> dict[str, Any]:
        until = monotonic() + START_TIMEOUT_S
        while monotonic() < until:
            if self._process.poll() is not None:
                said = self._process.stderr.read() if self._process.stderr else ""
                raise RagwatchError(f"the agent did not start: {said.strip() or self._process.returncode}")
            state = self._read_state()
            if state is not None and _answers(f"http://127.0.0.1:{state['web_port']}/readyz"):
                return state
            sleep(0.05)
        self.stop()
        raise RagwatchError(f"the agent was not ready within {START_TIMEOUT_S:.0f} s")

    def _read_state(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = json.loads((self.directory / "agent.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return state if {"receiver", "pipeline"} <= state["pids"].keys() else None


def _get(url: str) -> str:
    with urlopen(Request(url, headers={"Accept": "text/plain"}), timeout=10) as answer:  # noqa: S310  (loopback)
        text: str = answer.read().decode()
        return text


def _answers(url: str) -> bool:
    try:
        _get(url)
    except (HTTPError, URLError, OSError):
        return False
    return True
