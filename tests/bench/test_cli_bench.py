"""``ragwatch bench`` as a user runs it."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from tests.support.known_app import served
from tests.support.paths import ROOT
from tests.support.patient import patient
from tests.support.procs import Process

APPS = "tests.support.bench_apps"


def bench(cwd: Path, *options: str | Path, seconds: float = 60) -> tuple[int, list[str], str]:
    """(exit code, standard output, standard error)."""
    env = {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    with Process.python("-m", "ragwatch.cli", "bench", *options, env=env, cwd=cwd) as process:
        code = process.wait(seconds)
        return code, process.stdout, "\n".join(process.stderr)


@patient
def test_a_load_gives_a_table_a_report_a_page_and_one_line_of_json(tmp_path: Path) -> None:
    code, out, said = bench(tmp_path, f"{APPS}:answer", "--rate", "30", "--duration", "1s", "--json")
    assert code == 0, said
    figures = json.loads(out[-1])
    assert len(out) == 1
    assert {"p50", "p95", "p99"} <= figures["latency_s"].keys()
    assert figures["errors"] == 0
    assert figures["throughput"] == pytest.approx(30, rel=0.15)
    assert "retrieve" in said
    assert "\x1b" not in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["steps"]["generate"]["n"] == 30
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    assert not re.search(r'(src|href)="|@import|url\(', page)


def test_what_the_app_prints_is_not_among_the_json(tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(
        "print('loading')\n\ndef answer(question):\n    print('asked')\n    return question\n"
    )
    load = ("--rate", "20", "--duration", "0.2s", "--warm-up", "0", "--json")
    code, out, said = bench(tmp_path, "chatty:answer", *load)
    assert code == 0, said
    assert [json.loads(line)["answered"] for line in out] == [4]
    assert "loading" in said
    assert said.count("asked") >= 4


def test_a_condition_decides_the_exit_code(tmp_path: Path) -> None:
    load = (f"{APPS}:answer", "--rate", "30", "--duration", "0.5s")
    code, _, said = bench(tmp_path, *load, "--fail-if", "p95>1ms", "errors>50%", "step.retrieve.p50>10s")
    assert code == 1
    assert "failed  p95>1ms: p95 is" in said
    assert said.count("failed") == 1


def test_messages_of_errors_stay_out_of_files_unless_content_may_leave(tmp_path: Path) -> None:
    load = (f"{APPS}:fails", "--rate", "10", "--duration", "0.3s", "--warm-up", "0")
    code, out, _ = bench(tmp_path, *load)
    assert code == 1
    assert "ConnectionError: no store for" in "\n".join(out)
    files = [(tmp_path / name).read_text() for name in ("report.json", "report.html")]
    assert all("ConnectionError" in text and "no store for" not in text for text in files)


def test_two_reports_are_compared(tmp_path: Path) -> None:
    for name, target in (("old.json", "quick"), ("new.json", "answer")):
        code, _, said = bench(
            tmp_path,
            f"{APPS}:{target}",
            "--rate",
            "100",
            "--duration",
            "0.5s",
            "--runs",
            "3",
            "--report",
            name,
            "--warm-up",
            "0.1s",
        )
        assert code == 0, said
    code, out, said = bench(tmp_path, "--compare", "old.json", "new.json", "--fail-if", "regression>10%", "--json")
    assert code == 1, said
    verdict = json.loads(out[-1])
    assert verdict["verdict"] == "worse"
    assert "p50" in verdict["worse"]
    assert verdict["units"] == "runs"
    assert "new.json is worse" in said
    code, out, said = bench(tmp_path, "--compare", "old.json", "old.json", "--fail-if", "regression>10%", "--json")
    assert code == 0, said
    assert json.loads(out[-1])["verdict"] == "same"


def test_ctrl_c_writes_what_there_is(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(ROOT)}
    options = ("bench", f"{APPS}:answer", "--rate", "50", "--duration", "60s", "--warm-up", "0", "--json")
    with Process.python("-m", "ragwatch.cli", *options, env=env, cwd=tmp_path) as process:
        process.wait_line("^50/s", 30)
        sleep(1.0)
        process.signal(signal.SIGINT)
        assert process.wait(20) == 130
        figures: dict[str, Any] = json.loads(process.stdout[-1])
    assert figures["interrupted"]
    assert figures["answered"] > 10
    assert json.loads((tmp_path / "report.json").read_text())["answered"] == figures["answered"]
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((f"{APPS}:anser",), "did you mean 'answer'?"),
        (("nowhere:answer",), "there is no module 'nowhere'"),
        (("answer",), "is no target: write pkg.mod:function, http://…, or demo"),
        ((), "TARGET (from the command line): is missing"),
        ((f"{APPS}:answer", "--rate", "fast"), "is no number"),
        ((f"{APPS}:answer", "--rate", "5", "--concurrency", "2"), "give one"),
        ((f"{APPS}:answer", "--zipf", "-1"), "-1 is below 0"),
        ((f"{APPS}:answer", "--rate", "5", "--think", "1s"), "--think (from the command line): belongs to a closed"),
        ((f"{APPS}:answer", "--concurrency", "5", "--arrivals", "poisson"), "belongs to an open loop (--rate)"),
        ((f"{APPS}:answer", "--find-knee", "--concurrency", "5"), "does not go with --find-knee"),
        ((f"{APPS}:answer", "--html", "absent/page.html"), "page.html (from --html): cannot be written"),
        ((f"{APPS}:answer", "--html", "."), "(from --html): is a directory"),
        ((f"{APPS}:answer", "--set", "topk=3"), "did you mean 'top_k'?"),
        ((f"{APPS}:quick", "--no-cache"), "has no parameter that passes by its cache"),
        ((f"{APPS}:answer", "--fail-if", "p96>1s"), "there is no figure 'p96'"),
        ((f"{APPS}:answer", "--questions", "empty.txt"), "has no question in it"),
        ((f"{APPS}:answer", "--questions", "absent.txt"), "no such file"),
        (("broken_app:answer",), "broken_app fails as it is imported: RuntimeError('no key')"),
        (("--compare", "empty.txt", "empty.txt"), "is no report of ragwatch bench"),
        (("http://127.0.0.1:9/ask",), "nothing answers there: is the app running"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "broken_app.py").write_text("raise RuntimeError('no key')\n")
    code, out, found = bench(tmp_path, *options)
    assert code == 2, found
    assert said in found
    assert out == []
    assert "Traceback" not in found
    assert len([line for line in found.splitlines() if line.startswith("ragwatch bench: ")]) == 1


def test_a_url_that_answers_a_web_page_is_said_before_any_load(tmp_path: Path) -> None:
    asked = []

    def page(body: dict[str, Any]) -> tuple[int, str, bytes]:
        asked.append(body)
        return 200, "text/html", b"<html>hello</html>"

    with served(page) as url:
        code, _, said = bench(tmp_path, url)
    assert code == 2
    assert "answers a web page (HTML), not JSON: name the address of the app's API" in said
    assert len(asked) == 1


def test_an_app_whose_first_answer_is_busy_is_loaded_all_the_same(tmp_path: Path) -> None:
    asked: list[Any] = []

    def busy_once(body: Any) -> tuple[int, str, bytes]:
        asked.append(body)
        return (503, "text/plain", b"[busy]") if len(asked) == 1 else (200, "application/json", b'{"answer": "so"}')

    with served(busy_once) as url:
        code, _, said = bench(tmp_path, url, "--rate", "20", "--duration", "0.5s", "--warm-up", "0")
    assert code == 0, said
    assert "the first question failed, the load begins all the same: HTTP 503: [busy]" in said
    assert json.loads((tmp_path / "report.json").read_text())["answered"] == 10


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "--header 'Authorization: Bearer …' lets it in"), (404, "the app's API?"), (422, "--body JSON says")],
)
def test_a_refusal_of_a_url_says_what_to_type(tmp_path: Path, status: int, said: str) -> None:
    with served(lambda _: (status, "application/json", b"{}")) as url:
        code, _, shown = bench(tmp_path, url, "--duration", "1s")
    assert code == 2
    assert f"HTTP {status}: {{}}; " in shown
    assert said in shown


def test_labels_that_judge_nothing_are_said(tmp_path: Path) -> None:
    (tmp_path / "golden.jsonl").write_text('{"question": "why?", "relevant": ["doc-1"]}\n')
    load = ("--rate", "20", "--duration", "0.2s", "--warm-up", "0", "--questions", "golden.jsonl")
    why = "recall@5 unknown: no answer to a question with relevant ids says which documents it found"
    for app, is_said in (("quick", True), ("answer", False)):
        code, out, said = bench(tmp_path, f"{APPS}:{app}", *load)
        assert code == 0, said
        assert (why in "\n".join(out)) is is_said
