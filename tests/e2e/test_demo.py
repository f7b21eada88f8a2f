"""``ragwatch demo`` as a user runs it: the figures of app, SDK and agent agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.procs import Process
from tests.support.sink import Sink

CACHE = ROOT / ".cache" / "demo"
CRANFIELD = ROOT.parent / "shared" / "collections" / "cranfield"


def demo(*options: str, cache: Path = CACHE) -> tuple[int, dict[str, Any], str]:
    """(exit code, the JSON summary, standard error)."""
    with Process.python("-m", "ragwatch.cli", "demo", "--json", "--cache-dir", cache, *options) as process:
        code = process.wait(110)
        figures = json.loads(process.stdout[-1]) if process.stdout else {}
        return code, figures, "\n".join(process.stderr)


def _share(cell: str) -> float:
    return float(cell.rstrip("%"))


def test_the_counts_agree() -> None:
    code, figures, said = demo("--queries", "200")
    assert code == 0, said
    assert "the counts agree" in said
    assert figures["queries"] == figures["cache_lookups"] == 200
    assert figures["spans_sent"] == figures["spans_received"] > 600
    assert figures["spans_lost"] == figures["errors"] == 0
    assert 0 < figures["cache_hits"] < 200
    assert figures["documents"] >= 7000
    recall = figures["recall_at_5"]
    assert recall["low"] <= recall["value"] <= recall["high"]
    assert recall["n"] == 200 - figures["cache_hits"]
    assert list(figures) == [
        "queries", "errors", "cache_hits", "cache_lookups", "recall_at_5", "mrr", "latency_s", "documents",
        "spans_sent", "spans_received", "spans_lost", "metrics_url",
    ]  # fmt: skip
    assert figures["latency_s"]["p50"] <= figures["latency_s"]["p95"] <= figures["latency_s"]["p99"]


def test_faults_move_the_figures() -> None:
    code, figures, said = demo("--queries", "200", "--faults")
    assert code == 0, said
    assert figures["errors"] > 0
    assert figures["latency_s"]["p99"] > 1
    names = ("all is well", "retriever down", "slow model", "index incomplete", "cache poisoned")
    found = {name: line.split(name)[1].split() for line in said.splitlines() for name in names if f"│ {name} " in line}
    calm, down, slow, incomplete, poisoned = (found[name] for name in names)
    assert sum(int(row[0]) for row in found.values()) == 200
    assert _share(down[3]) > _share(calm[3])  # degraded
    assert (slow[5], float(slow[4]) > 1) == ("s", True)
    assert float(incomplete[-3]) < float(calm[-3])  # recall@5
    assert _share(poisoned[-2]) < _share(incomplete[-2])  # right answers


def test_an_agents_directory_can_be_used_again(tmp_path: Path) -> None:
    for _ in range(2):
        code, figures, said = demo("--queries", "10", "--directory", str(tmp_path))
        assert (code, figures["queries"]) == (0, 10), said


def test_without_an_agent_every_question_is_answered() -> None:
    code, figures, said = demo("--queries", "60", "--endpoint", "http://127.0.0.1:9")
    assert code == 0, said
    assert (figures["queries"], figures["errors"], figures["spans_received"]) == (60, 0, None)
    assert said.count("telemetry cannot be delivered") == 1


def test_another_receiver_gets_everything() -> None:
    with Sink() as sink:
        code, figures, said = demo("--queries", "40", "--endpoint", sink.http_url)
        assert code == 0, said
        assert len(sink.spans()) == figures["spans_sent"]
        events = [record.event_name for record in sink.log_records()]
        assert (events.count("rag.query"), events.count("gen_ai.evaluation.result")) == (40, 40)


def test_own_documents_and_labels(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "cats.md").write_text("# Cats\n\nCats purr when they are content and sleep most of the day.")
    (docs / "dogs.md").write_text("# Dogs\n\nDogs bark at strangers and like long walks.")
    golden = tmp_path / "golden.jsonl"
    golden.write_text('{"question": "which animal purrs when it is content", "relevant": ["cats.md"]}\n')
    options = ("--queries", "5", "--docs", str(docs), "--golden", str(golden))
    code, figures, said = demo(*options, cache=tmp_path / "cache")
    assert code == 0, said
    assert (figures["queries"], figures["documents"], figures["recall_at_5"]["value"]) == (5, 2, 1.0)
    golden.write_text('{"question": "which animal purrs", "relevant": ["birds.md"]}\n')
    code, _, said = demo(*options, cache=tmp_path / "cache")
    assert code == 2
    assert "birds.md" in said


@pytest.mark.skipif(not CRANFIELD.is_dir(), reason="the labelled collection is not beside the checkout")
def test_cranfield(tmp_path: Path) -> None:
    code, figures, said = demo("--queries", "100", "--docs", str(CRANFIELD), cache=tmp_path / "cache")
    assert code == 0, said
    assert figures["documents"] >= 1398
    assert figures["recall_at_5"]["value"] > 0.2


def test_bad_input_says_what_to_do(tmp_path: Path) -> None:
    code, _, said = demo("--docs", str(tmp_path / "nowhere"), cache=tmp_path / "cache")
    assert code == 2
    assert "nowhere" in said
    assert "Traceback" not in said
    code, _, said = demo("--queries", "0")
    assert code == 2
    assert "--queries" in said
