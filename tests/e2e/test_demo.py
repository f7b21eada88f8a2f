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
    assert figures["latency_s"]["p50"] <= figures["latency_s"]["p95"] <= figures["latency_s"]["p99"]


def test_faults_move_the_figures() -> None:
    code, figures, said = demo("--queries", "150", "--faults")
    assert code == 0, said
    assert figures["errors"] > 0
    assert figures["latency_s"]["p99"] > 1


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
        assert len(sink.log_records()) == 40


def test_own_documents_and_labels(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "cats.md").write_text("# Cats\n\nCats purr when they are content and sleep most of the day.")
    (docs / "dogs.md").write_text("# Dogs\n\nDogs bark at strangers and like long walks.")
    golden = tmp_path / "golden.jsonl"
    golden.write_text('{"question": "which animal purrs", "relevant": ["cats.md"]}\n')
    code, figures, said = demo("--queries", "5", "--docs", str(docs), "--golden", str(golden), cache=tmp_path / "cache")
    assert code in {0, 2}, said
    if code == 2:
        assert "cats.md" in said
    else:
        assert figures["queries"] == 5


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
