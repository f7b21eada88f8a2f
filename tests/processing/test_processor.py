"""What becomes of documents: every one has one outcome, and the sums are the input."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwatch import CircuitBreaker, CircuitOpen, ConfigError, DocumentProcessor, RetryPolicy
from ragwatch.processing.item import identify
from ragwatch.processing.ledger import Ledger, LedgerInUse
from ragwatch.processing.threads import TooManyHang
from tests.support.wait import wait_until

NOW = RetryPolicy("ingest-tests", max_retries=2, base_delay=0.0)
KINDS = ("good", "bad", "flaky", "away")


class Parser:
    """Does to a document what its name says."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, document: str) -> str:
        with self._lock:
            self.calls[document] += 1
            count = self.calls[document]
        kind = document.partition("-")[0]
        if kind == "bad":
            raise ValueError(document)
        if kind == "flaky" and count < 2:
            raise ConnectionError(document)
        if kind == "away":
            raise ConnectionError(document)
        return document.upper()


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 20)), max_size=60), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_every_document_has_one_outcome(names: list[tuple[str, int]], workers: int) -> None:
    documents = [f"{kind}-{number}" for kind, number in names]
    processor = DocumentProcessor(Parser(), pipeline="sums", workers=workers, retry=NOW, breaker=None)
    outcomes = list(processor.iter(documents))
    assert Counter(item.source for item in outcomes) == Counter(documents)
    result = processor.process([])
    assert result.total == 0
    kinds = {item.source: item.outcome for item in outcomes if item.outcome != "unchanged"}
    for source, outcome in kinds.items():
        assert outcome == ("ok" if source.startswith(("good", "flaky")) else "failed")


def test_the_result_adds_up_and_names_the_failed() -> None:
    documents = [f"{kind}-{number}" for kind in KINDS for number in range(10)]
    result = DocumentProcessor(Parser(), retry=NOW, breaker=None).process(documents)
    assert (result.success_count, result.failure_count, result.total) == (20, 20, 40)
    assert sorted(result.failed_documents) == sorted(name for name in documents if name.startswith(("bad", "away")))
    assert result.error_details["bad-3"] == "ValueError: bad-3"


def test_values_come_with_their_documents() -> None:
    found = {item.source: item.value for item in DocumentProcessor(Parser()).iter(["good-1", "good-2"])}
    assert found == {"good-1": "GOOD-1", "good-2": "GOOD-2"}


def test_unchanged_documents_are_skipped_and_changed_ones_are_not(tmp_path: Path) -> None:
    parser = Parser()
    file = tmp_path / "a.txt"
    file.write_text("one")
    seen: list[str] = []

    def read(path: Path) -> None:
        seen.append(Path(path).read_text())

    def run(version: str = "1") -> int:
        return DocumentProcessor(read, ledger=tmp_path / "l.db", version=version).process([file]).skipped_count

    assert [run(), run()] == [0, 1]
    file.write_text("two")
    assert [run(), run(), run("2"), run("2")] == [0, 1, 0, 1]
    assert seen == ["one", "two", "two"]
    assert not parser.calls


def test_a_document_that_fails_for_good_is_dead_after_its_attempts(tmp_path: Path) -> None:
    parser = Parser()

    def run() -> str:
        processor = DocumentProcessor(
            parser,
            ledger=tmp_path / "l.db",
            dead_letter=tmp_path / "dead.jsonl",
            retry=None,
            max_attempts=3,
            breaker=None,
        )
        return next(iter(processor.iter(["away-1"]))).outcome

    assert [run() for _ in range(5)] == ["failed", "failed", "dead", "dead", "dead"]
    assert parser.calls["away-1"] == 3
    (letter,) = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert (letter["source"], letter["attempts"], letter["error_type"]) == ("away-1", 3, "ConnectionError")
    assert "AWAY" not in str(letter)


def test_poison_is_known_by_its_fingerprint(tmp_path: Path) -> None:
    parser = Parser()

    def run(*documents: Any) -> list[tuple[str, str]]:
        processor = DocumentProcessor(lambda item: parser(item["text"]), ledger=tmp_path / "l.db", retry=None)
        return [(item.outcome, item.reason) for item in processor.iter(documents)]

    bad = {"id": "one", "text": "bad-1"}
    assert run(bad)[0][0] == "failed"
    outcome, reason = run(bad)[0]
    assert outcome == "dead"
    assert "same failure twice" in reason
    assert run({"id": "copy", "text": "bad-1"}) == [("dead", "same content as one, which is dead")]
    assert parser.calls["bad-1"] == 2


def test_a_failure_of_an_earlier_version_is_not_held_against_the_next(tmp_path: Path) -> None:
    def outcome(version: str) -> str:
        processor = DocumentProcessor(Parser(), ledger=tmp_path / "l.db", version=version, retry=None)
        return next(iter(processor.iter(["bad-1"]))).outcome

    assert outcome("1") == "failed"
    ledger = Ledger(tmp_path / "l.db", version="2")  # a run of the next version leases it, and is killed
    ledger.write((), [(identify("bad-1"), 1)], 1.0)
    ledger.close()
    assert outcome("2") == "failed"


def test_the_dead_can_be_tried_again(tmp_path: Path) -> None:
    broken = True

    def parse(document: str) -> None:
        if broken:
            raise ValueError(document)

    def processor() -> DocumentProcessor:
        return DocumentProcessor(parse, ledger=tmp_path / "l.db", max_attempts=1)

    assert processor().process(["a", "b"]).dead_count == 2
    broken = False
    assert processor().process(["a", "b"]).dead_count == 2
    assert processor().retry_dead().success_count == 2
    assert processor().process(["a", "b"]).skipped_count == 2


def test_five_malformed_documents_do_not_stop_a_run() -> None:
    breaker_opened = DocumentProcessor(Parser(), pipeline="malformed", retry=None)
    result = breaker_opened.process([f"bad-{n}" for n in range(20)] + ["good-1"])
    assert (result.failure_count, result.success_count) == (20, 1)
    assert breaker_opened.breaker is not None
    assert breaker_opened.breaker.state == "closed"


def test_an_open_breaker_defers_without_using_an_attempt_and_nothing_is_lost(tmp_path: Path) -> None:
    up = False
    calls: Counter[str] = Counter()

    def parse(document: str) -> None:
        calls[document] += 1
        if not up:
            raise ConnectionError

    def run(breaker_wait: float = 0.0) -> tuple[int, int, int, int]:
        breaker = CircuitBreaker("dep", failure_threshold=3, reset_timeout=60)
        processor = DocumentProcessor(
            parse, ledger=tmp_path / "l.db", breaker=breaker, breaker_wait=breaker_wait, retry=None, workers=1,
            max_in_flight=1,
        )  # fmt: skip
        result = processor.process([f"d-{number}" for number in range(50)])
        return result.success_count, result.failure_count, result.deferred_count, result.total

    assert run() == (0, 3, 47, 50)
    assert sum(calls.values()) == 3
    up = True
    assert run() == (50, 0, 0, 50)
    assert max(calls.values()) == 2


def test_within_the_run_it_waits_for_the_half_open_breaker() -> None:
    fails = iter([True] * 4)

    def parse(_document: str) -> None:
        if next(fails, False):
            raise ConnectionError

    breaker = CircuitBreaker("dep", failure_threshold=3, reset_timeout=0.05)
    retry = RetryPolicy("waits", max_retries=5, base_delay=0.0)
    processor = DocumentProcessor(parse, breaker=breaker, retry=retry, workers=2)
    result = processor.process([f"d-{number}" for number in range(200)])
    assert result.success_count == 200
    assert breaker.tally.transitions["open", "half_open"] >= 1


def test_a_breaker_of_the_functions_own_defers_too() -> None:
    seen: Counter[str] = Counter()

    def parse(document: str) -> None:
        seen[document] += 1
        if seen[document] == 1 and document in {"a", "b"}:
            raise CircuitOpen("embedder", retry_after_s=0.01)

    result = DocumentProcessor(parse).process(["a", "b", "c"])
    assert (result.success_count, result.failure_count) == (3, 0)
    assert DocumentProcessor(lambda _d: _open(), breaker_wait=0).process(["a"]).deferred_count == 1


def _open() -> None:
    raise CircuitOpen("embedder", retry_after_s=60)


def test_a_call_that_hangs_is_given_up_and_its_slot_is_replaced() -> None:
    release = threading.Event()

    def parse(document: str) -> None:
        if document.startswith("hang"):
            release.wait(60)

    documents = [f"good-{n}" for n in range(50)] + ["hang-1", "hang-2"] + [f"more-{n}" for n in range(50)]
    processor = DocumentProcessor(parse, workers=2, timeout=0.1, retry=None)
    result = processor.process(documents)
    release.set()
    assert (result.success_count, sorted(result.failed_documents)) == (100, ["hang-1", "hang-2"])
    assert "hangs" in result.error_details["hang-1"]


def test_documents_known_to_hang_do_not_open_the_breaker_of_a_resumed_run(tmp_path: Path) -> None:
    release = threading.Event()

    def parse(document: str) -> None:
        if document.startswith("hang"):
            release.wait(60)

    hanging = [f"hang-{number}" for number in range(8)]
    settings: dict[str, Any] = {"ledger": tmp_path / "l.db", "workers": 2, "timeout": 0.05, "retry": None}
    for name in hanging:  # each in a run of its own: eight in a row would be a dependency that is down
        DocumentProcessor(parse, **settings).process([name])
    processor = DocumentProcessor(parse, breaker_wait=30, **settings)
    result = processor.process([*hanging, *(f"good-{number}" for number in range(20))])
    release.set()
    assert (result.success_count, sorted(result.failed_documents)) == (20, hanging)
    assert processor.breaker is not None
    assert processor.breaker.state == "closed"


def test_too_many_that_hang_end_the_run_with_a_clear_error() -> None:
    release = threading.Event()
    processor = DocumentProcessor(lambda _d: release.wait(60), workers=2, timeout=0.05, max_hanging=3, retry=None)
    with pytest.raises(TooManyHang, match="isolation='process'"):
        processor.process([f"h-{number}" for number in range(20)])
    release.set()


def test_the_input_is_read_only_as_it_is_needed() -> None:
    read = done = 0
    most = 0

    def documents() -> Iterator[str]:
        nonlocal read, most
        for number in range(2000):
            read += 1
            most = max(most, read - done)
            yield f"d-{number}"

    processor = DocumentProcessor(lambda _d: None, workers=2, max_in_flight=32)
    for _ in processor.iter(documents()):
        done += 1
    assert done == 2000
    assert most <= 3 * 32


def test_an_input_that_fails_loses_nothing_that_was_read(tmp_path: Path) -> None:
    def documents() -> Iterator[str]:
        yield from ("a", "b", "c")
        raise RuntimeError("the disk is gone")

    processor = DocumentProcessor(lambda _d: None, ledger=tmp_path / "l.db", max_in_flight=2)
    with pytest.raises(RuntimeError, match="disk"):
        processor.process(documents())
    assert processor.process(["a", "b", "c"]).total == 3


def test_stopping_records_what_runs_and_leaves_the_rest(tmp_path: Path) -> None:
    processor = DocumentProcessor(lambda _d: None, ledger=tmp_path / "l.db", workers=1, max_in_flight=4)
    seen = 0
    for _ in processor.iter(f"d-{number}" for number in range(1000)):
        seen += 1
        if seen == 10:
            processor.stop()
    assert 10 <= seen < 100
    assert processor.process(f"d-{number}" for number in range(1000)).total == 1000


def test_leaving_the_results_early_is_a_stop(tmp_path: Path) -> None:
    processor = DocumentProcessor(lambda _d: None, ledger=tmp_path / "l.db")
    for _ in processor.iter(f"d-{number}" for number in range(1000)):
        break
    assert processor.process(f"d-{number}" for number in range(1000)).total == 1000


def test_two_runs_cannot_share_a_ledger(tmp_path: Path) -> None:
    inside, release = threading.Event(), threading.Event()

    def wait(_document: str) -> None:
        inside.set()
        release.wait(30)

    one = DocumentProcessor(wait, ledger=tmp_path / "l.db")
    thread = threading.Thread(target=one.process, args=(["a"],))
    thread.start()
    wait_until(inside.is_set, 10)
    with pytest.raises(LedgerInUse, match="in use"):
        DocumentProcessor(wait, ledger=tmp_path / "l.db").process(["b"])
    release.set()
    thread.join()


async def test_async_functions_and_async_input() -> None:
    async def parse(document: str) -> str:
        await asyncio.sleep(0)
        if document == "hang":
            await asyncio.Event().wait()
        return document

    async def documents() -> AsyncIterator[str]:
        for number in range(100):
            yield f"d-{number}"
        yield "hang"

    result = await DocumentProcessor(parse, timeout=0.2, retry=None).aprocess(documents())
    assert (result.success_count, result.failed_documents) == (100, ["hang"])


def test_any_executor_runs_it() -> None:
    with ThreadPoolExecutor(4) as pool:
        documents = [f"{kind}-{number}" for kind in KINDS for number in range(10)]
        result = DocumentProcessor(Parser(), executor=pool, batch=5, retry=NOW, breaker=None).process(documents)
    assert (result.success_count, result.failure_count) == (20, 20)


@pytest.mark.parametrize(
    ("options", "named"), [({"workers": 0}, "workers"), ({"timeout": 0}, "timeout"), ({"isolation": "vm"}, "isolation")]
)
def test_settings_that_cannot_work_are_refused_by_name(options: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        DocumentProcessor(str, **options)
