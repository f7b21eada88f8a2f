"""The golden file that grows: one line a judgement, whole whatever happens in between."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ragwatch.bench.questions import read_questions
from ragwatch.demo.golden import Golden
from ragwatch.errors import RagwatchError
from ragwatch.explore import judgements
from ragwatch.explore.asked import Asked
from ragwatch.record import Document
from ragwatch.target.answer import Answer
from tests.support.paths import ROOT


def asked(question: str = "why") -> Asked:
    answer = Answer()
    answer.add("so")
    answer.documents = (Document("a", 1), Document("b", 2))
    return Asked("app", question, {}, answer, None)


def test_the_last_word_counts_and_bad_takes_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    judgements.relevant(asked(), ["a"], path)
    judgements.bad(asked(), path)
    judgements.relevant(asked("how"), ["a"], path)
    judgements.relevant(asked(), ["b"], path)
    judgements.bad(asked("how"), path)
    assert read_questions(path) == [Golden("why", frozenset("b")), Golden("how", frozenset("a"))]


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ('{"question": "how", "relevant": ["x"]}\n{"question": "wh', ['{"question": "how", "relevant": ["x"]}']),
        ('{"question": "how", "relevant": ["x"]}', ['{"question": "how", "relevant": ["x"]}']),
        ("how do I copy", ["how do I copy"]),
        ("{" + " " * 10_000, []),
    ],
    ids=["cut off", "no end", "plain", "long"],
)
def test_what_a_crash_left_is_taken_away_and_nothing_else(tmp_path: Path, before: str, kept: list[str]) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text(before)
    judgements.relevant(asked(), ["a"], path)
    *lines, last = path.read_text().splitlines()
    assert lines == kept
    assert json.loads(last)["relevant"] == ["a"]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    judgements.relevant(asked(), ["a"], path)
    before = path.read_bytes()
    limits, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(RagwatchError, match="cannot be written"):
            judgements.relevant(asked(), ["b"], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before


WRITER = """
import sys
from pathlib import Path
from tests.explore.test_judgements import asked
from ragwatch.explore import judgements
for number in range(200):
    judgements.relevant(asked(f"{sys.argv[2]} {number} " + "x" * 5000), ["a"], Path(sys.argv[1]))
"""


def test_sessions_that_write_at_once_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], env=env, cwd=ROOT) for name in ("one", "two")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(read_questions(path)) == 400
