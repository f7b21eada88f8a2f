"""The user's price table in the pipeline: costs of other instrumentors' calls, and what happens where it is spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragwatch.agent.inbox import Inbox
from ragwatch.agent.pipeline import Pipeline
from ragwatch.agent.view import View
from ragwatch.config.agent_values import AgentValues, from_environment, to_environment
from tests.support.captures import GIVEN, joined, requests_of

GOOD = "gpt-4o-mini: {input: 0.15, output: 0.60, cached: 0.075}\ntext-embedding-3-small: {input: 0.02}\n"


def costs(directory: Path, prices: Path | None) -> dict[tuple[str, str], float]:
    """(model, known) → USD, of a capture without any cost of its own."""
    values = AgentValues(directory=directory, commit_interval_s=1e-9, linger_s=0.0, foreign_linger_s=0.0, prices=prices)
    values, _ = from_environment(to_environment(values, {}))
    inbox = Inbox(directory / "inbox.db", max_bytes=1 << 30, max_pending_bytes=1 << 26)
    body = joined(requests_of(GIVEN / "otel-genai-openai.otlp.jsonl"))
    inbox.put(0, 1, "http", body).result(5)
    pipeline = Pipeline(values)
    while pipeline.step():
        pass
    pipeline.step()
    pipeline.commit()
    return {(key[2], key[3]): round(value, 9) for key, value in View(directory).kpis().series("rag.cost").items()}


def test_calls_without_a_cost_are_priced_and_those_without_usage_are_not(tmp_path: Path) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text(GOOD)
    one_call = (56 * 0.15 + 64 * 0.075 + 17 * 0.60) / 1e6
    assert costs(tmp_path, table) == {
        ("gpt-4o-mini", "true"): round(4 * one_call, 9),
        ("gpt-4o-mini", "false"): 0.0,  # a stream without usage
        ("text-embedding-3-small", "true"): round(21 * 0.02 / 1e6, 9),
    }


@pytest.mark.parametrize("content", [None, "m: [", "m: {input: x}"], ids=["none", "no YAML", "no price"])
def test_a_table_that_was_spoilt_costs_only_the_costs(
    tmp_path: Path, content: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "prices.yaml"
    if content is not None:
        table.write_text(content)
    found = costs(tmp_path, table)
    assert set(found) == {("gpt-4o-mini", "false"), ("text-embedding-3-small", "false")}
    assert "costs that nobody gives are unknown" in "".join(capfd.readouterr())
