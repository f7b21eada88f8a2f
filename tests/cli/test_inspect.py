"""``ragwatch inspect`` on the captures of real instrumentors, and on what people put in by mistake."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ragwatch.cli import main
from ragwatch.conventions.decode_json import json_to_protobuf
from tests.support.agent import Agent
from tests.support.paths import ROOT
from tests.support.procs import Process

CAPTURES = ROOT / "tests" / "data" / "captures"
EXPECTED: dict[str, Any] = json.loads((CAPTURES / "expected.json").read_text())
NAMES = sorted(name for name in EXPECTED if not name.startswith("_"))
NOT_IN_THE_SPANS = {
    "haystack-native": {"models.request"},
    "openlit-openai-chroma": {"tokens.reasoning"},
    "openllmetry-langchain-llmcache": {"tokens.reasoning"},
    "openllmetry-openai": {"tokens.reasoning"},
    "double-openinference-langchain-plus-openai": {"models.request", "models.response"},
    "openinference-llama-index": {"documents.counts"},
    "openllmetry-llama-index": {"documents.counts"},
}
"""Where the truth of a program is not in its spans (or names less than is in them): what the spans hold is asserted."""


def inspect(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert main(["inspect", *args, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_of_each_capture(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = inspect(capsys, str(CAPTURES / f"{name}.otlp.jsonl"))
    truth, missing = EXPECTED[name], NOT_IN_THE_SPANS.get(name, set())
    wanted = truth.get("recoverable_steps") or truth["steps"]
    queries = wanted.get("query", {"count": 0, "errors": 0})
    assert (found["queries"]["count"], found["queries"]["errors"]) == (queries["count"], queries["errors"])
    steps = {kind: (held["count"], held["errors"]) for kind, held in found["steps"].items() if kind != "other"}
    assert steps == {
        kind: (held["count"], held["errors"]) for kind, held in wanted.items() if kind not in {"query", "other"}
    }
    if truth.get("error_classes"):
        assert found["error_classes"] == truth["error_classes"]
    assert found["cache_hits"] == truth["cache_hits"]
    if truth.get("tokens"):
        usage = found["tokens"]["generate"]
        for field in ("calls_with_usage", "input", "output", "cached", "reasoning"):
            if f"tokens.{field}" not in missing:
                assert usage[field] == truth["tokens"]["generate"][field], field
        if "embed_input" in truth["tokens"]:
            assert found["tokens"]["embed_input"] == truth["tokens"]["embed_input"]
    else:
        assert found["tokens"]["generate"]["input"] is None
    if truth.get("models"):
        for side in ("request", "response"):
            if f"models.{side}" not in missing:
                assert set(found["models"][side]) == set(truth["models"][side]), side
    counts = (truth.get("documents") or {}).get("counts")
    if counts and "documents.counts" not in missing:
        assert found["documents"]["counts"] == counts


def test_what_the_spans_hold_where_the_truth_is_not_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    double = inspect(capsys, str(CAPTURES / "double-openinference-langchain-plus-openai.otlp.jsonl"))
    assert "text-embedding-3-small" in double["models"]["request"]
    haystack = inspect(capsys, str(CAPTURES / "haystack-native.otlp.jsonl"))
    assert haystack["models"]["request"] == []
    assert any(note.startswith("generate.model") and "instrumentor" in note for note in haystack["notes"])
    llama = inspect(capsys, str(CAPTURES / "openinference-llama-index.otlp.jsonl"))
    assert llama["documents"]["counts"] == [3, 4, 3, None, 0, 3, 3]
    leaked = inspect(capsys, str(CAPTURES / "openllmetry-llama-index.otlp.jsonl"))
    assert leaked["queries"]["incomplete"] == 1
    assert any("never came" in note for note in leaked["notes"])


@pytest.mark.parametrize("shape", ["protobuf", "gzip", "one document", "standard input"])
def test_every_usual_form_of_a_file_is_read(
    shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (CAPTURES / "otel-genai-langchain.otlp.jsonl").read_bytes()
    file = tmp_path / "spans"
    name = str(file)
    if shape == "protobuf":
        file.write_bytes(b"".join(json_to_protobuf("traces", line) for line in text.splitlines()))
    elif shape == "gzip":
        file.write_bytes(gzip.compress(text))
    elif shape == "one document":
        file.write_text(json.dumps(json.loads(text.splitlines()[0]), indent=2))
    else:
        name = "-"
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert inspect(capsys, name)["queries"]["count"] == 8


def test_for_people_it_says_what_is_known_and_what_would_give_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(CAPTURES / "openinference-langchain.otlp.jsonl")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("8 queries, 3 failed, 0 incomplete\n")
    assert "retrieve       9, 1 failed, 1 empty" in said
    assert "generate.cost_usd" in said
    assert "retrieve.top_k: unknown on 8 of 8 steps (OpenInference); a vector store's own instrumentor" in said


def test_a_trace_is_drawn_as_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(CAPTURES / "haystack-native.otlp.jsonl"), "--trace", "9523"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines() if line[:1] in {"├", "└"}] == [
        "retrieve",
        "rerank",
        "generate",
    ]
    assert "1. doc-2  score 0.9" in said
    assert "critical path: " in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "name a file of spans"),
        (["missing.jsonl"], "cannot be read"),
        (["empty"], "is empty"),
        (["page.html"], "no OTLP traces"),
        (["bad.jsonl"], "bad.jsonl, line 2"),
        (["--live", "http://127.0.0.1:1"], "is `ragwatch agent` running?"),
        (["--live", "--since", "yesterday"], "like 15m"),
        ([str(CAPTURES / "haystack-native.otlp.jsonl"), "--trace", "ffffff"], "no trace begins"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(
    args: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "page.html").write_text("<html>not found</html>")
    (tmp_path / "bad.jsonl").write_text('{"resourceSpans": []}\n{"resourceSpans": 7}\n')
    assert main(["inspect", *args]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_spans_of_no_rag_app_are_said_to_be_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "GET /", "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    body = {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "web"}, "spans": [span]}]}]}
    (tmp_path / "s.jsonl").write_text(json.dumps(body))
    assert main(["inspect", str(tmp_path / "s.jsonl")]) == 1
    assert "no RAG step was recognised in 1 spans (scopes: web)" in capsys.readouterr().out


def test_a_running_agent_shows_what_it_has_assembled(tmp_path: Path) -> None:
    from urllib.request import Request, urlopen

    with Agent(tmp_path) as agent:
        for line in (CAPTURES / "otel-genai-langchain.otlp.jsonl").read_bytes().splitlines():
            headers = {"Content-Type": "application/json"}
            urlopen(Request(f"{agent.http_url}/v1/traces", line, headers), timeout=10).close()
        agent.wait_metric("rag_query_duration_seconds_count", 8)
        assert agent.metric("rag_step_calls_total", step="retrieve", outcome="error") == 1
        assert agent.metric("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 720
        with Process.python(
            "-m", "ragwatch.cli", "inspect", "--live", agent.web_url, "--since", "36500d", "--json"
        ) as process:
            assert process.wait(20) == 0, process.output
            found = json.loads(process.stdout[-1])
    assert found["queries"] == {"count": 8, "errors": 3, "incomplete": 0}
    assert found["steps"]["retrieve"] == {"count": 8, "errors": 1, "empty": 1}
