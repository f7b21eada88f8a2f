"""What functions, documents, inputs and executors may do to a run: nothing is lost, and no other document pays."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ragwatch import CircuitBreaker, ConfigError, DocumentProcessor, RagwatchError, RetryPolicy
from ragwatch.processing.dead_letter import write_letters
from ragwatch.processing.item import identify
from ragwatch.processing.ledger import Ledger, LedgerUnusable, Settled
from ragwatch.processing.tally import tally_of
from tests.processing.parsers import parse
from tests.support.procs import Process
from tests.support.wait import wait_until

FORKS = """
import os, signal, sys
from ragwatch.processing.ledger import Ledger

ledger = Ledger(sys.argv[1])
ready, told = os.pipe()
child = os.fork()
if child == 0:
    os.write(told, b"x")
    signal.pause()
os.read(ready, 1)
print("child", child, flush=True)
signal.pause()
"""


class Stop(BaseException):
    """No ``Exception``."""


@pytest.mark.parametrize(
    "error", [SystemExit(3), Stop(), asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()]
)
@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_a_function_raises_is_its_documents_failure(error: BaseException, is_async: bool) -> None:
    def plain(document: str) -> None:
        if document == "bad":
            raise error

    async def later(document: str) -> None:
        plain(document)

    processor = DocumentProcessor(later if is_async else plain, workers=2, timeout=None, retry=None)
    result = processor.process(["a", "bad", "b", "c"])
    assert (result.success_count, result.failed_documents) == (3, ["bad"])
    assert type(error).__name__ in result.error_details["bad"]


def test_an_object_whose_call_is_a_coroutine_is_an_async_function() -> None:
    class Loader:
        async def __call__(self, document: str) -> str:
            await asyncio.sleep(0)
            return document.upper()

    assert [found.value for found in DocumentProcessor(Loader()).iter(["a"])] == ["A"]


def test_a_document_that_cannot_be_told_from_others_fails_alone() -> None:
    class Lazy:
        @property
        def path(self) -> str:
            raise RuntimeError("not loaded")

    result = DocumentProcessor(lambda _d: None).process([{"id": 1}, Lazy(), {"id": 2}])
    assert (result.success_count, result.failed_documents) == (2, [Lazy.__qualname__])
    assert "not loaded" in result.error_details[Lazy.__qualname__]


def test_pages_of_one_file_are_documents_of_their_own(tmp_path: Path) -> None:
    pages = [{"page_content": f"page {n}", "metadata": {"source": "a.pdf", "page": n}} for n in range(5)]
    processor = DocumentProcessor(lambda _d: None, ledger=tmp_path / "l.db")
    assert processor.process(pages).success_count == 5
    pages[2]["page_content"] = "changed"
    again = processor.process(pages)
    assert (again.success_count, again.skipped_count) == (1, 4)


def test_a_second_content_of_a_document_in_flight_waits_for_the_first_and_is_not_dropped() -> None:
    seen: list[str] = []
    both = [{"id": "a", "text": "one"}, {"id": "a", "text": "two"}, {"id": "a", "text": "two"}]
    result = DocumentProcessor(lambda d: seen.append(d["text"]), workers=4).process(both)
    assert seen == ["one", "two"]
    assert (result.success_count, result.skipped_count) == (2, 1)


def test_text_is_no_name() -> None:
    assert "secret" not in identify("a secret\nof two lines").source
    assert "secret" not in identify("secret " * 100).source
    assert identify("docs/a.pdf").source == "docs/a.pdf"


def test_a_file_whose_name_is_not_utf8_is_a_document(tmp_path: Path) -> None:
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.txt")
    Path(name).write_text("text")

    def read(path: str) -> None:
        Path(path).read_text()
        raise ValueError(path)

    processor = DocumentProcessor(read, ledger=tmp_path / "l.db", dead_letter=tmp_path / "d.jsonl", max_attempts=1)
    result = processor.process([name])
    assert result.dead_count == 1
    assert result.failed_documents[0].endswith("caf\\udce9.txt")


# -- the input --------------------------------------------------------------------------------------------------------


def test_what_was_read_before_the_input_failed_is_processed_and_then_it_raises() -> None:
    seen: list[str] = []

    def documents() -> Iterator[str]:
        yield from ("a", "b", "c")
        raise RuntimeError("the disk is gone")

    processor = DocumentProcessor(seen.append)
    with pytest.raises(RuntimeError, match="disk"):
        processor.process(documents())
    assert sorted(seen) == ["a", "b", "c"]
    assert processor.last is not None
    assert processor.last.success_count == 3


def test_a_slow_input_holds_nothing_up() -> None:
    done = threading.Event()

    def documents() -> Iterator[str]:
        yield "first"
        time.sleep(0.06)  # longer than one reading may take
        yield "second"
        assert done.wait(30), "the first document waits for the whole input"

    assert DocumentProcessor(lambda _d: done.set()).process(documents()).success_count == 2


async def test_cancelling_ends_the_run_and_frees_the_ledger_though_the_async_input_goes_on(tmp_path: Path) -> None:
    seen = threading.Event()

    async def documents() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    processor = DocumentProcessor(lambda _d: seen.set(), ledger=tmp_path / "l.db")
    task = asyncio.ensure_future(processor.aprocess(documents()))
    await asyncio.to_thread(seen.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processor.process(["a"]).total == 1


async def test_an_async_input_that_fails_raises_after_what_was_read() -> None:
    async def documents() -> AsyncIterator[str]:
        yield "a"
        raise RuntimeError("the queue is gone")

    seen: list[str] = []
    with pytest.raises(RuntimeError, match="queue"):
        await DocumentProcessor(seen.append).aprocess(documents())
    assert seen == ["a"]


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_a_stop_gives_back_what_had_not_begun_and_nothing_is_a_suspect(tmp_path: Path) -> None:
    inside, release, calls = threading.Event(), threading.Event(), Counter[str]()

    def wait(document: str) -> None:
        calls[document] += 1
        inside.set()
        release.wait(30)

    processor = DocumentProcessor(wait, ledger=tmp_path / "l.db", workers=1)
    stopper = threading.Thread(target=lambda: (inside.wait(30), processor.stop(), release.set()))
    stopper.start()
    first = processor.process([f"d-{n}" for n in range(20)])
    stopper.join()
    assert first.success_count == len(calls)
    assert first.success_count + first.deferred_count == first.total
    with sqlite3.connect(tmp_path / "l.db") as db:
        assert db.execute("SELECT max(suspect), sum(state = 'leased') FROM document").fetchone() == (0, 0)
        assert db.execute("SELECT max(attempts) FROM document WHERE state = 'deferred'").fetchone()[0] in {0, None}
    assert processor.process([f"d-{n}" for n in range(20)]).total == 20
    assert set(calls.values()) == {1}


# -- executors --------------------------------------------------------------------------------------------------------


def test_a_pool_that_breaks_condemns_the_killer_and_no_neighbour(tmp_path: Path) -> None:
    documents = [*(f"good-{n}" for n in range(15)), "die", *(f"more-{n}" for n in range(15))]
    broken = 0
    for _ in range(6):
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            processor = DocumentProcessor(
                parse, executor=pool, ledger=tmp_path / "l.db", retry=None, breaker=None, max_attempts=3
            )
            try:
                result = processor.process(documents)
            except RagwatchError:
                broken += 1
                continue
            if result.failure_count == result.dead_count:
                break
    assert broken <= 3
    assert (result.success_count + result.skipped_count, result.failed_documents) == (30, ["die"])
    with sqlite3.connect(tmp_path / "l.db") as db:
        assert db.execute("SELECT source, attempts FROM document WHERE state = 'dead'").fetchall() == [("die", 3)]


class Fussy(Executor):
    """Says at once what cannot travel, as Dask's does."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(2)

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if any(isinstance(document, dict) and "lock" in document for _, document in args[1]):
            raise TypeError("cannot serialize a lock")
        return self.pool.submit(function, *args, **kwargs)


def test_a_document_that_cannot_travel_fails_and_only_it() -> None:
    executor = Fussy()
    documents = [{"id": n} for n in range(9)] + [{"id": "x", "lock": threading.Lock()}]
    result = DocumentProcessor(lambda _d: None, executor=executor, batch=5, retry=None).process(documents)
    executor.pool.shutdown()
    assert (result.success_count, result.failed_documents) == (9, ["x"])


def test_a_function_that_cannot_travel_is_said_before_anything_runs() -> None:
    pytest.importorskip("pebble")
    with pytest.raises(ConfigError, match="no lambda"):
        DocumentProcessor(lambda _d: None, isolation="process").process(["a"])


def test_a_breaker_sees_the_exception_itself_from_another_process() -> None:
    pytest.importorskip("pebble")
    breaker = CircuitBreaker("typed", failure_threshold=2, record=(ValueError,))
    processor = DocumentProcessor(
        parse, isolation="process", workers=1, breaker=breaker, breaker_wait=0.0, retry=None, max_in_flight=1
    )
    result = processor.process([f"bad-{n}" for n in range(5)])
    assert (result.failure_count, result.deferred_count, breaker.state) == (2, 3, "open")


# -- retry ------------------------------------------------------------------------------------------------------------


def test_the_policys_own_test_decides_what_is_tried_again() -> None:
    calls: Counter[str] = Counter()

    def parse(document: str) -> None:
        calls[document] += 1
        raise (KeyError if document == "again" else ConnectionError)(document)

    policy = RetryPolicy("own", max_retries=2, base_delay=0.0, retry_on=KeyError)
    result = DocumentProcessor(parse, retry=policy, breaker=None).process(["again", "once"])
    assert result.failure_count == 2
    assert calls == {"again": 3, "once": 1}


def test_a_wait_that_is_too_long_for_this_run_is_left_to_a_later_one(tmp_path: Path) -> None:
    calls: list[str] = []

    class Busy(ConnectionError):
        retry_after_s = 3600.0

    def parse(document: str) -> None:
        calls.append(document)
        raise Busy

    for retry in (RetryPolicy("long"), None, RetryPolicy("long")):
        (found,) = DocumentProcessor(parse, ledger=tmp_path / "l.db", retry=retry, breaker=None).iter(["a"])
        assert found.outcome == "failed"
        assert found.retry_at is not None
        assert 3500 < found.retry_at - time.time() <= 3600
    assert calls == ["a"]


def test_a_call_that_was_given_up_and_ended_after_all_hangs_no_more() -> None:
    late = threading.Semaphore(0)

    def parse(document: str) -> None:
        if document.startswith("late"):
            late.acquire(timeout=30)

    def documents() -> Iterator[str]:
        for number in range(6):
            yield f"late-{number}"

    processor = DocumentProcessor(parse, workers=1, timeout=0.05, max_hanging=2, retry=None, breaker=None)
    result_failed = 0
    for found in processor.iter(documents()):
        result_failed += found.outcome == "failed"
        late.release()  # the one that was given up ends now
        before = threading.active_count()
        wait_until(lambda before=before: threading.active_count() <= before, 5)
    assert result_failed == 6


# -- poison -----------------------------------------------------------------------------------------------------------


def test_only_what_died_of_its_content_is_poison(tmp_path: Path) -> None:
    down = True

    def parse(_document: dict[str, str]) -> None:
        if down:
            raise ConnectionError("away")

    def run(name: str) -> str:
        processor = DocumentProcessor(parse, ledger=tmp_path / "l.db", max_attempts=1, retry=None, breaker=None)
        return next(iter(processor.iter([{"id": name, "text": "same"}]))).outcome

    assert run("one") == "dead"
    down = False
    assert run("copy") == "ok"


def test_an_empty_file_is_no_poison_to_another(tmp_path: Path) -> None:
    def parse(path: str) -> None:
        if path.endswith("bad.py"):
            raise ValueError("by its name")

    for name in ("bad.py", "__init__.py"):
        (tmp_path / name).touch()
    processor = DocumentProcessor(parse, ledger=tmp_path / "l.db", retry=None)
    for _ in range(2):
        processor.process([str(tmp_path / "bad.py")])
    result = processor.process([str(tmp_path / "bad.py"), str(tmp_path / "__init__.py")])
    assert (result.dead_count, result.success_count) == (1, 1)


# -- the ledger -------------------------------------------------------------------------------------------------------


def test_a_neighbour_with_its_last_attempt_in_flight_at_a_crash_is_tried_alone_first(tmp_path: Path) -> None:
    item = identify({"id": "innocent", "text": "x"})
    ledger = Ledger(tmp_path / "l.db")
    ledger.write((), [(item, 5)], time.time())
    ledger.close()
    result = DocumentProcessor(lambda _d: None, ledger=tmp_path / "l.db").process([item.document])
    assert (result.success_count, result.dead_count) == (1, 0)


def test_a_ledger_of_a_newer_version_or_no_ledger_at_all_is_a_clear_error(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "newer.db") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(LedgerUnusable, match=r"newer ragwatch \(format 99"):
        Ledger(tmp_path / "newer.db")
    (tmp_path / "noise.db").write_bytes(b"no database" * 100)
    for _ in range(2):  # and it lets go of the lock
        with pytest.raises(LedgerUnusable, match=r"noise\.db cannot be used as a ledger"):
            Ledger(tmp_path / "noise.db")
    (tmp_path / "file").touch()
    with pytest.raises(LedgerUnusable, match="cannot be written"):
        Ledger(tmp_path / "file" / "l.db")


def test_a_forked_child_that_lives_on_does_not_hold_the_ledger(tmp_path: Path) -> None:
    with Process.python("-c", FORKS, str(tmp_path / "l.db")) as parent:
        child = int(parent.wait_line("child", 30).split()[1])
        parent.signal(signal.SIGKILL)
        wait_until(lambda: parent.returncode is not None, 20)
        try:
            Ledger(tmp_path / "l.db").close()
        finally:
            os.kill(child, signal.SIGKILL)


def test_without_a_file_nothing_waits_after_the_run() -> None:
    DocumentProcessor(parse, pipeline="memory", retry=None).process(["bad-1", "good"])
    levels = tally_of("memory").levels()
    assert set(levels.values()) == {0}


def test_a_letter_that_a_crash_cut_short_spoils_only_itself(tmp_path: Path) -> None:
    ledger = Ledger(None)
    ledger.write([Settled(identify({"id": n}), "dead", 1, reason="x") for n in range(1200)], (), time.time())
    file = tmp_path / "dead.jsonl"
    file.write_text('{"source": "cut')
    assert write_letters(ledger, file) == 1200
    lines = file.read_text().splitlines()
    assert (len(lines), lines[0]) == (1201, '{"source": "cut')
    assert write_letters(ledger, file) == 0
    ledger.close()
