"""``ragwatch explore``: in a real terminal, over a pipe, and its rules."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwatch.bench.questions import read_questions
from ragwatch.cli.waterfall import draw, seconds
from ragwatch.demo.golden import Golden, load_golden
from ragwatch.explore.asked import Asker
from ragwatch.explore.difference import of_ranks
from ragwatch.explore.shell import COMMANDS
from ragwatch.explore.view import View
from ragwatch.target.asking import switch_on
from ragwatch.target.target import function_target
from tests.support.bench_apps import answer, quick
from tests.support.known_app import served
from tests.support.paths import ROOT
from tests.support.terminal import Terminal

APPS = "tests.support.bench_apps"


def terminal(cwd: Path, target: str, *options: str) -> Terminal:
    return Terminal("-m", "ragwatch.cli", "explore", f"{APPS}:{target}", *options, cwd=cwd)


def piped(cwd: Path, typed: str, *options: str, **more: str) -> tuple[int, list[dict[str, Any]], str]:
    """(exit code, JSON lines, standard error)."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    done = subprocess.run(
        [sys.executable, "-m", "ragwatch.cli", "explore", *options],
        input=typed, capture_output=True, text=True, cwd=cwd, env=env, timeout=60,
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_an_answer_is_seen_whole(tmp_path: Path) -> None:
    with terminal(tmp_path, "answer", "--no-history") as screen:
        screen.shows("ask it something", "›")
        screen.type("why is it so")
        shown = screen.shows("trace ", "tokens 10 in / 5 out")
        assert "why is it so? cached words" in shown
        assert "├ retrieve  " in shown
        assert "└ generate  " in shown
        assert "critical path: " in shown
        assert "  1.   1.000  doc-1" in shown
        assert "passage 2 on why is it so" in shown
        assert b"\x1b[" in screen.raw
        screen.press("\x04")
        assert screen.wait() == 0


def test_commands_change_what_is_asked_and_say_what_that_changed(tmp_path: Path) -> None:
    with terminal(tmp_path, "answer", "--no-history") as screen:
        screen.shows("›")
        screen.type("why")
        screen.shows("trace ")
        for typed, shown in (
            ("/set top_k=3", "top_k=3"),
            ("/no-cache", "the cache is passed by (use_cache=False)"),
            ("/again", "+  3. doc-3"),
            ("/docs 2", "passage 2 on why"),
            (f"/compare {APPS}:fails", f"{APPS}:fails failed: nothing to compare"),
            ("/relevant 1 3 3", "golden.jsonl: doc-1, doc-3 answer 'why'"),
            ("/bad", "'why' is answered wrong"),
            ("/docs 7", "7 (from /docs): is no rank: the answer has 3 documents"),
            ("/set topk=3", "did you mean 'top_k'?"),
            ("/agian", "did you mean /again?"),
            ("/export all.jsonl", "all.jsonl: 3 questions and answers"),
        ):
            screen.type(typed)
            screen.shows(shown)
        screen.type(f"/compare {APPS}:other")
        shown = screen.shows("+  2. doc-9", "other words on why")
        assert "2. → 1. doc-2" in shown
        assert "-  1. doc-1" in shown
        screen.type("/quit")
        assert screen.wait() == 0
    golden = tmp_path / "golden.jsonl"
    assert len(golden.read_text().splitlines()) == 2
    assert read_questions(golden) == [Golden("why", frozenset({"doc-1", "doc-3"}))]
    assert load_golden(golden, {"doc-1", "doc-3"}) == [Golden("why", frozenset({"doc-1", "doc-3"}))]
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [line["options"] for line in lines[:2]] == [{}, {"top_k": 3, "use_cache": False}]
    assert lines[2]["target"] != lines[0]["target"], "what was compared is there too"
    assert lines[1]["record"]["trace_id"] == lines[1]["trace_id"]


def test_a_stream_is_shown_as_it_comes_and_ctrl_c_ends_the_query_alone(tmp_path: Path) -> None:
    with terminal(tmp_path, "slow", "--no-history") as screen:
        screen.shows("›")
        screen.type("why")
        screen.shows("thinking")
        screen.press("\x03")
        screen.shows("cancelled")
        assert "never said" not in "\n".join(screen.lines())
        screen.type("/help")
        screen.shows(*COMMANDS)
        screen.press("\x04")
        assert screen.wait() == 0


def test_a_coroutine_is_ended_by_ctrl_c_as_well(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(
        "import asyncio\nasync def answer(question):\n    yield 'thinking'\n    await asyncio.sleep(60)\n"
    )
    with Terminal("-m", "ragwatch.cli", "explore", "waits:answer", "--no-history", cwd=tmp_path) as screen:
        screen.shows("›")
        for _ in range(2):
            screen.type("why")
            screen.shows("thinking")
            sleep(0.2)
            screen.press("\x03")
            screen.shows("cancelled")
            screen.type("/set")
            screen.shows("nothing is set")
        screen.press("\x04")
        assert screen.wait() == 0


HANGS = """
import time, ragwatch

ready = []

@ragwatch.query
def answer(question, use_cache=True):
    with ragwatch.retrieve(source="shelf"):
        pass
    with ragwatch.generate(model="stuck"):
        if question == "hang" and not ready:
            ready.append(question)
            print("hanging", flush=True)
            time.sleep(60)
    return f"{question}? {'cached' if use_cache else 'fresh'}"

def other(question, no_cache=False):
    return f"other {'fresh' if no_cache else 'cached'}"
"""


def test_a_cancelled_question_shows_where_it_hung_and_is_the_last_question(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    with Terminal("-m", "ragwatch.cli", "explore", "hangs:answer", "--no-history", cwd=tmp_path) as screen:
        screen.shows("›")
        screen.type("why")
        screen.shows("why? cached", "trace ")
        screen.type("hang")
        screen.shows("hanging")
        screen.press("\x03")
        shown = screen.shows("  cancelled  ", "    cancelled: KeyboardInterrupt", "critical path: generate ")
        assert "├ retrieve  " in shown
        assert "model stuck" in shown
        screen.type("/bad")  # not of the question before it
        screen.shows("'hang' (from the prompt): was cancelled: /again asks it again")
        screen.type("/again")
        screen.shows("hang? cached")
        screen.type("/bad")
        screen.shows("'hang' is answered wrong")
        screen.press("\x04")
        assert screen.wait() == 0


def test_the_cache_of_what_is_compared_is_passed_by_too(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    with Terminal("-m", "ragwatch.cli", "explore", "hangs:answer", "--no-history", cwd=tmp_path) as screen:
        screen.shows("›")
        screen.type("/no-cache")
        screen.shows("use_cache=False")
        screen.type("why")
        screen.shows("why? fresh")
        screen.type("/compare hangs:other")
        screen.shows("other fresh")
        screen.type(f"/compare {APPS}:other")  # which has no such parameter
        screen.shows("other words on why")
        screen.press("\x04")
        assert screen.wait() == 0


def test_documents_without_text_are_not_blamed_on_a_setting_that_allows_it(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text(
        "import ragwatch\n\n"
        "def answer(question):\n"
        "    with ragwatch.retrieve() as step:\n"
        "        step.documents([{'id': 'doc-1', 'score': 0.5}])\n"
        "    return 'so'\n"
    )
    for content, said in (("full", "(the app gave no text with them"), ("off", "RAGWATCH_CONTENT=full shows it")):
        with Terminal(
            "-c",
            f"import os, sys; os.environ['RAGWATCH_CONTENT'] = {content!r}; from ragwatch.cli import main; "
            f"sys.exit(main(['explore', 'bare:answer', 'why']))",
            cwd=tmp_path,
        ) as screen:
            assert said in screen.shows("doc-1", "trace ")
            assert screen.wait() == 0


def test_an_error_of_the_app_is_shown_and_the_prompt_comes_back(tmp_path: Path) -> None:
    with terminal(tmp_path, "fails", "--no-history") as screen:
        screen.shows("›")
        screen.type("why")
        shown = screen.shows("ConnectionError: no store for why", "trace ")
        assert "Traceback" not in shown
        screen.press("\x04")
        assert screen.wait() == 0


def test_commands_are_completed_and_lines_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with terminal(tmp_path, "answer") as screen:
        screen.shows("›")
        screen.press("/rel")
        screen.shows("these documents answer the question")
        screen.press("\x03")
        screen.type("why is it so")
        screen.shows("trace ")
        screen.press("\x04")
        assert screen.wait() == 0
    with terminal(tmp_path, "answer") as screen:
        screen.shows("›")
        screen.press("\x1b[A")
        screen.shows("› why is it so")
        screen.press("\x03\x04")
        assert screen.wait() == 0
    history = tmp_path / "state" / "ragwatch" / "explore_history"
    assert history.stat().st_mode & 0o077 == 0


def test_no_colour_is_no_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAGWATCH_CONTENT", raising=False)
    with Terminal(
        "-c",
        f"import os, sys; os.environ['NO_COLOR'] = '1'; from ragwatch.cli import main; "
        f"sys.exit(main(['explore', '{APPS}:answer', 'why', 'so']))",
        cwd=tmp_path,
    ) as screen:
        assert screen.wait() == 0
        assert b"why so? cached words" in screen.raw
        assert b"\x1b[3" not in screen.raw


def test_over_a_pipe_a_question_a_line_gives_an_object_a_line(tmp_path: Path) -> None:
    code, found, said = piped(tmp_path, "why\n\n/set top_k=1\nhow\n", f"{APPS}:answer")
    assert code == 0, said
    assert [(line["question"], line["answer"]) for line in found] == [
        ("why", "why? cached words"),
        ("how", "how? cached words"),
    ]
    assert [[document["id"] for document in line["documents"]] for line in found] == [["doc-1", "doc-2"], ["doc-1"]]
    for line in found:
        assert 0.005 < line["latency_s"] < 2
        assert len(line["trace_id"]) == 32
        assert line["tokens"] == {"input": 10, "output": 5}
        assert line["steps_s"]["retrieve"] > 0.004
    assert found[0]["trace_id"] != found[1]["trace_id"]


def test_the_last_line_is_a_result_and_the_summary_of_all(tmp_path: Path) -> None:
    code, found, said = piped(tmp_path, "why\nhow\nwho\n", f"{APPS}:answer")
    assert code == 0, said
    assert [line["question"] for line in found] == ["why", "how", "who"], "each line is a result"
    last = found[-1]
    assert last.keys() >= {"answer", "documents", "latency_s", "trace_id"}
    assert [line["summary"]["questions"] for line in found] == [1, 2, 3]
    summary = last["summary"]
    seconds = [line["latency_s"] for line in found]
    assert summary["latency_s"] == {"mean": pytest.approx(sum(seconds) / 3), "max": max(seconds)}
    assert (summary["failed"], summary["input_tokens"], summary["output_tokens"]) == (0, 30, 15)
    _, (only,), _ = piped(tmp_path, "", f"{APPS}:fails", "--json", "why")
    assert only.keys() >= {"answer", "documents", "latency_s", "trace_id"}
    assert (only["summary"]["questions"], only["summary"]["failed"], only["summary"]["cost_usd"]) == (1, 1, None)


def test_what_differs_is_told_over_a_pipe_too(tmp_path: Path) -> None:
    commands = f"why\n/set top_k=1\n/again\n/compare {APPS}:other\n/compare {APPS}:fails\nhow\n"
    code, found, _ = piped(tmp_path, commands, f"{APPS}:answer")
    assert code == 1
    assert [line["question"] for line in found] == ["why", "why", "why", "why", "how"]
    assert [line["target"].rpartition(":")[2] for line in found] == ["answer", "answer", "other", "fails", "answer"]
    _, again, compared, failed, _ = found
    assert [line for line in found if "difference" in line] == [again, compared]
    assert again["difference"]["documents"] == {"gained": [], "lost": [{"id": "doc-2", "rank": 2}], "moved": []}
    assert again["difference"]["same_answer"] is True
    assert compared["difference"]["latency_s"] == {"before": again["latency_s"], "after": compared["latency_s"]}
    assert compared["difference"]["same_answer"] == (compared["answer"] == again["answer"])
    assert failed["error"] is not None


def test_an_answer_does_not_wait_for_the_next_question(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ragwatch.cli", "explore", f"{APPS}:answer"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=env
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for question in ("why", "how"):
            process.stdin.write(f"{question}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["question"] == question
        process.stdin.close()
        assert process.wait(30) == 0


def test_without_content_no_text_of_documents_is_shown(tmp_path: Path) -> None:
    code, found, _ = piped(tmp_path, "why\n", f"{APPS}:answer", RAGWATCH_CONTENT="off")
    assert code == 0
    assert all("text" not in document for document in found[0]["documents"])


def test_a_question_that_fails_is_said_and_decides_the_exit_code(tmp_path: Path) -> None:
    code, found, said = piped(tmp_path, "why\n", f"{APPS}:fails")
    assert code == 1
    assert found[0]["error"] == {"class": "connection", "type": "ConnectionError", "message": "no store for why"}
    assert said.strip().splitlines()[-1] == "ragwatch explore: 'why' failed: ConnectionError: no store for why"


def test_what_the_app_prints_is_not_among_the_json(tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(
        "print('loading')\n\ndef answer(question):\n    print('asked')\n    return question\n"
    )
    code, found, said = piped(tmp_path, "why\n", "chatty:answer")
    assert (code, [one["answer"] for one in found]) == (0, ["why"])
    assert said.split() == ["loading", "asked"]


def test_the_question_may_stand_after_the_options(tmp_path: Path) -> None:
    code, found, said = piped(tmp_path, "", f"{APPS}:answer", "--set", "top_k=1", "why is", "it so")
    assert code == 0, said
    assert found[0]["question"] == "why is it so"
    assert len(found[0]["documents"]) == 1


def test_a_function_that_needs_more_than_a_question_is_given_it(tmp_path: Path) -> None:
    (tmp_path / "tenants.py").write_text("def answer(question, tenant):\n    return f'{question} of {tenant}'\n")
    code, found, said = piped(tmp_path, "why\n", "tenants:answer", "--set", "tenant=acme")
    assert (code, [one["answer"] for one in found]) == (0, ["why of acme"]), said


def test_a_port_that_nothing_listens_on_is_said_in_words(tmp_path: Path) -> None:
    code, _, said = piped(tmp_path, "why\n", "http://127.0.0.1:9/ask")
    assert code == 1
    assert "failed: nothing answers there: is the app running, and is this its port?" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((f"{APPS}:anser",), "did you mean 'answer'?"),
        ((f"{APPS}:xyzzy",), "has no 'xyzzy'; it has answer, other, stream, slow, fails, quick"),
        (("nowhere:answer",), "there is no module 'nowhere'"),
        (("broken_app:answer",), "broken_app fails as it is imported: RuntimeError('no key')"),
        (("leaving_app:answer",), "leaving_app ends the process as it is imported: set STORE_URL"),
        (
            ("typo_app:answer",),
            "typo_app fails as it is imported: SyntaxError: '(' was never closed (typo_app.py, line 1)",
        ),
        (("bot_app:bot",), "is Bot, not a function; name a method of it: bot_app:bot.ask"),
        ((f"{APPS}:answer",), "no question came: one a line is wanted"),
        ((f"{APPS}:answer", "--set", "top_k"), "should read name=value"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    (tmp_path / "broken_app.py").write_text("raise RuntimeError('no key')\n")
    (tmp_path / "leaving_app.py").write_text("import sys\nsys.exit('set STORE_URL')\n")
    (tmp_path / "typo_app.py").write_text("answer = (\n")
    (tmp_path / "bot_app.py").write_text("class Bot:\n    def ask(self, question): ...\n\nbot = Bot()\n")
    code, found, error = piped(tmp_path, "", *options)
    assert (code, found) == (2, [])
    assert said in error
    assert "Traceback" not in error


def test_a_web_page_is_no_app(tmp_path: Path) -> None:
    with served(lambda _: (200, "text/html", b"<html>")) as url:
        code, found, said = piped(tmp_path, "why\n", url)
    assert (code, found) == (2, [])
    assert "answers a web page (HTML), not JSON: name the address of the app's API" in said


def test_it_adds_little_to_a_query() -> None:
    """All that is done about a question, drawing included; 5 ms are promised; the benchmark shows them."""
    switch_on("test-explore", content="full")
    target, view = function_target("test:quick", quick), View(draw, seconds)
    spent = []
    with Asker() as asker:
        for _ in range(50):
            begun = perf_counter()
            asked = asker.ask(target, "why", {})
            list(view.asked(asked, asker.breakers()))
            spent.append(perf_counter() - begun)
    assert sorted(spent)[25] < 0.05


def test_the_record_of_the_query_is_at_hand_at_once() -> None:
    switch_on("test-explore", content="full")
    target = function_target("test:answer", answer)
    with Asker() as asker:
        for number in range(20):
            asked = asker.ask(target, f"why {number}", {"top_k": 1 + number % 3})
            assert asked.record is not None
            assert len(asked.documents) == 1 + number % 3
            assert sum(asked.seconds_by_step().values()) == pytest.approx(asked.record.duration_s, abs=1e-6)


IDS = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@given(before=IDS, after=IDS)
def test_a_difference_turns_one_ranking_into_the_other(before: list[str], after: list[str]) -> None:
    gained, lost, moved = of_ranks(before, after)
    ranks = {key: rank for rank, key in enumerate(before, 1)}
    for key, rank in lost:
        assert ranks.pop(key) == rank
    for move in moved:
        assert ranks[move.id] == move.before
        ranks[move.id] = move.after
    ranks.update(gained)
    assert ranks == {key: rank for rank, key in enumerate(after, 1)}


def test_an_app_that_switches_ragwatch_on_needs_no_agent_beside_it(tmp_path: Path) -> None:
    (tmp_path / "own_app.py").write_text(
        "import ragwatch\nragwatch.init(service='own')\ndef answer(question: str) -> str: return 'so ' + question\n"
    )
    with socket.socket() as taken:  # nobody listens there, whoever runs beside the test
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        (tmp_path / "start.py").write_text(
            f"import sys\nfrom ragwatch.config import otel_env\notel_env._HTTP_ENDPOINT = {url!r}\n"
            "from ragwatch.cli import main\nsys.exit(main(sys.argv[1:]))\n"
        )
        for function, wanted in (("answer", 0), ("anser", 2)):
            done = subprocess.run(
                [sys.executable, "start.py", "explore", f"own_app:{function}", "why"],
                capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60,
            )  # fmt: skip
            assert done.returncode == wanted
            assert len(done.stderr.splitlines()) == (wanted > 0), done.stderr


def test_the_log_lines_of_an_app_that_switches_ragwatch_on_are_not_on_the_screen(tmp_path: Path) -> None:
    (tmp_path / "logs_app.py").write_text(
        "import ragwatch\nragwatch.init(service='own')\ndef answer(question: str) -> str: return 'so ' + question\n"
    )
    more = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    code, found, said = piped(tmp_path, "why\n", "logs_app:answer", **more)
    assert (code, found[0]["answer"]) == (0, "so why")
    assert "rag.query" not in said
    code, _, said = piped(tmp_path, "why\n", "logs_app:answer", RAGWATCH_LOG_FILE=str(tmp_path / "log"), **more)
    assert (code, "rag.query" in said) == (0, False)
    assert json.loads((tmp_path / "log").read_text())["service"] == "own"
