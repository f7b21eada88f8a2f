"""ragwatch switched on in the test's own process, sending to a real receiver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ragwatch
from ragwatch.sdk import guard
from tests.support.off import off_afterwards  # noqa: F401  (a fixture)
from tests.support.otlp_values import attributes_of
from tests.support.sink import Sink


class Watched:
    """What the receiver got of this process, and the KPIs."""

    def __init__(self, sink: Sink, log_file: Path) -> None:
        self.sink = sink
        self._log_file = log_file

    def spans(self) -> list[Any]:
        """Every span that arrived."""
        assert ragwatch.flush(20)
        return self.sink.spans()

    def span(self, step: str) -> Any:
        """The one span of a step."""
        found = [span for span in self.spans() if attributes_of(span.attributes).get("rag.step") == step]
        assert len(found) == 1, f"{len(found)} spans of {step}: {[span.name for span in self.spans()]}"
        return found[0]

    def attributes(self, step: str) -> dict[str, Any]:
        """The attributes of the one span of a step."""
        return attributes_of(self.span(step).attributes)

    def lines(self) -> list[dict[str, Any]]:
        """The log lines of queries."""
        ragwatch.flush(20)
        if not self._log_file.exists():
            return []
        return [json.loads(line) for line in self._log_file.read_text().splitlines()]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Variables to set before ``watched`` switches ragwatch on."""
    return monkeypatch


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(grpc=False) as sink:
        yield sink


@pytest.fixture
def watched(
    request: pytest.FixtureRequest, settings: pytest.MonkeyPatch, sink: Sink, tmp_path: Path
) -> Iterator[Watched]:
    """ragwatch on; a parameter is a mapping of variables."""
    log_file = tmp_path / "queries.jsonl"
    settings.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.http_url)
    settings.setenv("RAGWATCH_LOG_FILE", str(log_file))
    settings.setenv("RAGWATCH_RAISE", "1")
    for name, value in getattr(request, "param", {}).items():
        settings.setenv(name, value)
    guard.forget()
    ragwatch.init(service="test", environment="ci")
    yield Watched(sink, log_file)
    ragwatch.shutdown(5.0)
    assert guard.faults == {}
    guard.forget()
