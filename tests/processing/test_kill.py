"""kill -9 at random moments: nothing lost, nothing recorded is done again, a killer of processes ends as dead."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.support.procs import Process

DOCUMENTS = 10_000
IN_FLIGHT = 64
KILLS = 20
APP = """
import itertools, os, random, signal, sys, threading
from ragwatch import DocumentProcessor

folder, total, deadly, timeout = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
done = os.open(f"{folder}/calls.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
made = itertools.count(1)
hang = threading.Event()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def parse(document):
    os.write(done, f"{document}\\n".encode())
    if next(made) == deadly:
        threading.Timer(random.random() / 100, die).start()
    number = int(document)
    if number % 1000 == 7:
        hang.wait()
    if number % 33 == 5:
        raise ValueError(document)

processor = DocumentProcessor(
    parse, ledger=f"{folder}/l.db", dead_letter=f"{folder}/dead.jsonl", workers=16, max_in_flight=64, timeout=timeout,
    max_hanging=100, retry=None, max_attempts=4,
)
result = processor.process(str(number) for number in range(total))
if deadly:
    hang.wait()  # the moment may come after the last document
print("done", result.success_count, result.failure_count, result.skipped_count, result.deferred_count, flush=True)
"""


def states(folder: Path) -> Counter[str]:
    with sqlite3.connect(folder / "l.db") as db:
        return Counter(dict(db.execute("SELECT state, count(*) FROM document GROUP BY state").fetchall()))


@pytest.mark.timeout(300)
def test_killed_at_twenty_random_moments(tmp_path: Path) -> None:
    draw = random.Random(5)
    for _ in range(KILLS):
        moment = str(draw.randint(1, 450))
        with Process.python("-c", APP, str(tmp_path), str(DOCUMENTS), moment, "0.15") as process:
            assert process.wait(60) == -signal.SIGKILL, process.output
    with Process.python("-c", APP, str(tmp_path), str(DOCUMENTS), "0", "3") as process:
        assert process.wait(120) == 0, process.output
        success, failure, skipped, deferred = (int(word) for word in process.stdout[-1].split()[1:])
    assert success + failure + skipped + deferred == DOCUMENTS
    found = states(tmp_path)
    assert sum(found.values()) == DOCUMENTS
    assert found["leased"] == found["deferred"] == 0
    bad = sum(number % 33 == 5 or number % 1000 == 7 for number in range(DOCUMENTS))
    assert found["ok"] == DOCUMENTS - bad
    letters = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert found["dead"] <= len({letter["source"] for letter in letters})
    made = Counter((tmp_path / "calls.log").read_text().split())
    again = sum(count - 1 for name, count in made.items() if int(name) % 33 != 5 and int(name) % 1000 != 7)
    assert again <= KILLS * IN_FLIGHT


KILLER = """
import os, sys
from ragwatch import DocumentProcessor

def parse(document):
    if document == "500":
        os._exit(9)

processor = DocumentProcessor(
    parse, ledger=f"{sys.argv[1]}/l.db", dead_letter=f"{sys.argv[1]}/dead.jsonl", workers=4, max_attempts=3
)
result = processor.process(str(number) for number in range(1000))
print("done", result.success_count, result.dead_count, result.skipped_count, flush=True)
"""


def test_a_document_that_kills_its_process_ends_as_dead_and_its_neighbours_do_not(tmp_path: Path) -> None:
    codes = []
    for _ in range(4):
        with Process.python("-c", KILLER, str(tmp_path)) as process:
            codes.append(process.wait(60))
            output = list(process.stdout)
    assert codes == [9, 9, 9, 0]
    success, dead, skipped = (int(word) for word in output[-1].split()[1:])
    assert (success + skipped, dead) == (999, 1)
    with sqlite3.connect(tmp_path / "l.db") as db:
        assert db.execute("SELECT source, attempts FROM document WHERE state = 'dead'").fetchall() == [("500", 3)]
        assert db.execute("SELECT max(attempts) FROM document WHERE state = 'ok'").fetchone()[0] <= 2
    assert (tmp_path / "dead.jsonl").read_text().count("WorkerDied") == 1
