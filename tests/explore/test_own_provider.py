"""An app that is instrumented with plain OpenTelemetry, under a tracer provider of its own, is seen too."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.procs import Process

APP = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())
tracer = trace.get_tracer("openinference.instrumentation.langchain")

def answer(question):
    with tracer.start_as_current_span("VectorStoreRetriever") as span:
        span.set_attribute("openinference.span.kind", "RETRIEVER")
        span.set_attribute("retrieval.documents.0.document.id", "doc-1")
        span.set_attribute("retrieval.documents.0.document.score", 0.9)
    with tracer.start_as_current_span("ChatOpenAI") as span:
        span.set_attribute("openinference.span.kind", "LLM")
        span.set_attribute("llm.token_count.prompt", 100)
        span.set_attribute("llm.token_count.completion", 20)
    return "so"
"""


def test_explore_shows_the_steps_of_an_app_with_its_own_provider(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(APP)
    env = {"PYTHONPATH": str(ROOT), "RAGWATCH_RAISE": "1"}
    with Process.python("-m", "ragwatch.cli", "explore", "plain:answer", "why?", env=env, cwd=tmp_path) as process:
        assert process.wait(60) == 0, process.output
    shown = json.loads(process.stdout[-1])
    assert [document["id"] for document in shown["documents"]] == ["doc-1"]
    assert shown["tokens"] == {"input": 100, "output": 20}
    assert {"retrieve", "generate", "query"} <= shown["steps_s"].keys()


def test_bench_knows_its_steps_and_judges_its_documents(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(APP)
    (tmp_path / "golden.jsonl").write_text('{"question": "why?", "relevant": ["doc-1"]}\n')
    options = ("--concurrency", "2", "--duration", "1s", "--questions", "golden.jsonl", "--json")
    env = {"PYTHONPATH": str(ROOT), "RAGWATCH_RAISE": "1"}
    with Process(
        [sys.executable, "-m", "ragwatch.cli", "bench", "plain:answer", *options], env=env, cwd=tmp_path
    ) as process:
        assert process.wait(60) == 0, process.output
    summary = json.loads(process.stdout[-1])
    assert {"retrieve", "generate"} <= summary["steps"].keys()
    assert summary["judged"] == summary["answered"] > 0
    assert summary["recall_at_5"]["value"] == 1
