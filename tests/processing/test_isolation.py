"""Where documents run: processes that are ended when they hang or die, and Dask."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ragwatch import DocumentProcessor, RetryPolicy
from tests.processing.parsers import guarded, parse
from tests.support.procs import Process
from tests.support.redis import redis_running
from tests.support.wait import wait_until


def test_a_parser_that_hangs_or_dies_is_ended_and_only_it(tmp_path: Path) -> None:
    documents = [f"good-{number}" for number in range(18)] + ["hang-1", "die-1", "bad-1"]
    processor = DocumentProcessor(
        parse, isolation="process", workers=2, timeout=2.0, retry=None, breaker=None, ledger=tmp_path / "l.db"
    )
    result = processor.process(documents)
    assert (result.success_count, sorted(result.failed_documents)) == (18, ["bad-1", "die-1", "hang-1"])
    assert "exit code" in result.error_details["die-1"]
    assert "process was ended" in result.error_details["hang-1"]
    assert result.error_details["bad-1"] == "ValueError: bad-1"


ORPHANS = """
import sys
from ragwatch import DocumentProcessor
from tests.processing.parsers import hang_and_tell

if __name__ == "__main__":
    DocumentProcessor(hang_and_tell, isolation="process", workers=1, timeout=600).process([sys.argv[1]])
"""


def test_a_parser_that_hangs_does_not_outlive_a_coordinator_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ORPHANS)
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    told = tmp_path / "pid"
    with Process.python(tmp_path / "app.py", told, env=env) as process:
        wait_until(lambda: told.exists() and told.read_text().endswith("\n"), 60)
        process.kill()
    child = int(told.read_text())
    wait_until(lambda: not _lives(child), 20)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.timeout(180)
def test_dask_runs_it_and_a_worker_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    distributed: Any = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = client.get_executor(pure=False)
        processor = DocumentProcessor(
            parse, executor=executor, batch=10, breaker=None, ledger=tmp_path / "l.db",
            retry=RetryPolicy("dask", max_retries=3, base_delay=0.01),
        )  # fmt: skip
        victim = next(iter(client.run(os.getpid).values()))
        killed = False
        documents = [f"good-{number}" for number in range(400)] + ["bad-1", "bad-2"]
        outcomes: dict[str, str] = {}
        for done, found in enumerate(processor.iter(documents)):
            outcomes[found.source] = found.outcome
            if done == 50 and not killed:
                killed = True
                os.kill(victim, signal.SIGKILL)
    assert killed
    assert len(outcomes) == 402
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "ok"} == {
        "bad-1": "failed",
        "bad-2": "failed",
    }


@pytest.mark.timeout(180)
def test_on_dask_one_breaker_guards_the_store_of_all_workers_through_redis(tmp_path: Path) -> None:
    distributed: Any = pytest.importorskip("distributed")
    (tmp_path / "down").touch()
    with (
        redis_running(tmp_path) as server,
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        documents = [{"id": f"d-{n}", "folder": str(tmp_path), "redis": server.url} for n in range(60)]
        processor = DocumentProcessor(
            guarded, executor=client.get_executor(pure=False), breaker=None, breaker_wait=0.0, retry=None,
            ledger=tmp_path / "l.db", max_in_flight=4,
        )  # fmt: skip
        first = processor.process(documents)
        asked = (tmp_path / "asked").read_text().split()
        assert first.success_count == 0
        assert first.deferred_count + first.failure_count == 60
        assert first.deferred_count > 30  # the breaker of one worker stopped the other as well
        assert len(asked) < 20
        (tmp_path / "down").unlink()
        processor.breaker_wait = 60.0
        second = processor.process(documents)
    assert (second.success_count, second.deferred_count) == (60, 0)
    assert len(set((tmp_path / "asked").read_text().split())) == 2
