"""The document processor of the well-known name: its signature, its defaults, and the flaws that must not come back."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwatch import CircuitBreaker, CircuitBreakerDocumentProcessor, ProcessingResult


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Loader(CircuitBreakerDocumentProcessor):
    """Fails for documents that begin with ``bad`` while ``down`` is set, or whatever their name is."""

    def __init__(self, threshold: int = 5, *, clock: Clock | None = None, **options: object) -> None:
        breaker = CircuitBreaker("docs", failure_threshold=threshold, reset_timeout=60, clock=clock or Clock())
        super().__init__(threshold, 60, breaker=breaker, **options)  # type: ignore[arg-type]
        self.down = False
        self.seen: list[str] = []

    def _process_single_document(self, doc_path: str) -> None:
        self.seen.append(doc_path)
        if self.down or doc_path.startswith("bad"):
            raise ValueError(f"cannot parse {doc_path}")


def test_the_signature_is_the_well_known_one() -> None:
    parameters = inspect.signature(CircuitBreakerDocumentProcessor).parameters
    assert [(name, parameters[name].default) for name in list(parameters)[:2]] == [
        ("failure_threshold", 5),
        ("reset_timeout", 60),
    ]
    processor = CircuitBreakerDocumentProcessor()
    assert (processor.failure_threshold, processor.reset_timeout) == (5, 60)
    result = ProcessingResult(3, 1, ["a"], 0.5, {"a": "why"})
    assert (result.success_count, result.failure_count, result.failed_documents) == (3, 1, ["a"])
    assert (result.processing_time, result.error_details) == (0.5, {"a": "why"})


def test_failures_are_named_with_their_reasons_and_the_sums_are_the_batch() -> None:
    result = Loader().process_documents_with_resilience(["a", "bad-1", "b", "bad-2"])
    assert (result.success_count, result.failure_count) == (2, 2)
    assert result.failed_documents == ["bad-1", "bad-2"]
    assert "cannot parse bad-1" in result.error_details["bad-1"]
    assert result.processing_time > 0


def test_an_open_breaker_does_not_wait_and_marks_the_rest() -> None:
    loader = Loader()
    loader.down = True
    documents = [f"d{number}" for number in range(12)]
    result = loader.process_documents_with_resilience(documents)
    assert loader.seen == documents[:5]
    assert (result.success_count, result.failure_count) == (0, 12)
    assert result.failed_documents == documents
    assert {result.error_details[name] for name in documents[5:]} == {"Circuit breaker open"}
    assert loader.deferred_documents == documents[5:]


def test_what_was_held_up_is_not_forgotten_and_comes_first_in_the_next_batch() -> None:
    clock = Clock()
    loader = Loader(2, clock=clock)
    loader.down = True
    loader.process_documents_with_resilience(["a", "b", "c", "d"])
    loader.down = False
    loader.seen.clear()
    still = loader.process_documents_with_resilience(["e"])
    assert (loader.seen, still.failure_count) == ([], 3)
    clock.now += 61
    result = loader.process_documents_with_resilience(["f", "d"])
    assert loader.seen == ["c", "d", "e", "f"]
    assert (result.success_count, result.failure_count, loader.deferred_documents) == (4, 0, [])


def test_half_open_lets_one_probe_through_and_opens_again_when_it_fails() -> None:
    clock = Clock()
    loader = Loader(1, clock=clock)
    loader.process_documents_with_resilience(["bad-1"])
    clock.now += 60
    loader.process_documents_with_resilience(["bad-2", "bad-3"])
    assert loader.seen == ["bad-1", "bad-2"]
    assert loader.breaker.state == "open"


def test_all_that_was_held_up_is_named_however_much_it_is() -> None:
    loader = Loader(1)
    documents = ["bad", *(f"d{number}" for number in range(10_500))]
    result = loader.process_documents_with_resilience(documents)
    assert (result.failure_count, result.failed_documents) == (10_501, documents)
    assert len(result.error_details) == 10_501


def test_a_function_that_exits_is_a_failure_and_no_hang() -> None:
    class Exits(CircuitBreakerDocumentProcessor):
        def _process_single_document(self, doc_path: str) -> None:
            raise SystemExit(doc_path)

    assert Exits().process_documents_with_resilience(["a"]).error_details == {"a": "SystemExit: a"}


def test_failures_that_a_success_interrupts_do_not_add_up() -> None:
    loader = Loader(3)
    result = loader.process_documents_with_resilience(["bad-1", "bad-2", "a"] * 5)
    assert (result.success_count, result.failure_count) == (5, 10)
    assert "Circuit breaker open" not in result.error_details.values()


def test_a_document_that_is_named_twice_is_processed_twice() -> None:
    loader = Loader(100)
    result = loader.process_documents_with_resilience(["a", "a", "bad", "bad"])
    assert loader.seen == ["a", "a", "bad", "bad"]
    assert (result.success_count, result.failure_count) == (2, 2)


def test_a_batch_may_be_processed_again() -> None:
    loader = Loader()
    for _ in range(2):
        assert loader.process_documents_with_resilience(["a", "b"]).success_count == 2


def test_a_document_may_be_a_coroutine() -> None:
    class Async(CircuitBreakerDocumentProcessor):
        async def _process_single_document(self, doc_path: str) -> str:  # type: ignore[override]
            await asyncio.sleep(0)
            if doc_path == "bad":
                raise ValueError(doc_path)
            return doc_path

    result = Async().process_documents_with_resilience(["a", "bad"])
    assert (result.success_count, result.failed_documents) == (1, ["bad"])


def test_by_default_a_document_is_a_file_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    result = CircuitBreakerDocumentProcessor().process_documents_with_resilience(
        [str(tmp_path / "a.txt"), str(tmp_path / "missing.txt")]
    )
    assert result.success_count == 1
    assert "FileNotFoundError" in result.error_details[str(tmp_path / "missing.txt")]


def test_a_ledger_carries_what_was_held_up_to_another_process(tmp_path: Path) -> None:
    first = Loader(1, ledger=tmp_path / "l.db")
    first.process_documents_with_resilience(["a", "bad", "b"])
    second = Loader(1, ledger=tmp_path / "l.db")
    result = second.process_documents_with_resilience(["a", "b"])
    assert (second.seen, result.success_count, result.skipped_count) == (["b"], 1, 1)


def test_several_threads_may_share_it() -> None:
    loader = Loader(10_000)
    batches = [[f"{batch}-{number}" for number in range(50)] for batch in range(8)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(loader.process_documents_with_resilience, batches))
    assert [result.success_count for result in results] == [50] * 8
    assert sorted(loader.seen) == sorted(name for batch in batches for name in batch)


def test_an_interrupt_loses_no_deferred_document() -> None:
    clock = Clock()
    loader = Loader(1, clock=clock)
    loader.process_documents_with_resilience(["bad", "a", "b"])
    clock.now += 61

    def documents() -> list[str]:
        raise KeyboardInterrupt

    class Broken:
        def __iter__(self) -> object:
            return iter(documents())

    with pytest.raises(KeyboardInterrupt):
        loader.process_documents_with_resilience(Broken())  # type: ignore[arg-type]
    assert set(loader.deferred_documents) <= {"a", "b"}
    assert {*loader.seen, *loader.deferred_documents} == {"bad", "a", "b"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=25), st.integers(1, 4))
def test_like_a_naive_breaker(plan: list[tuple[int, bool]], threshold: int) -> None:
    """Sequential, consecutive failures, clock at rest: what a page of plain code would do."""
    documents = [f"{'bad' if fails else 'ok'}-{number}" for number, fails in plan]
    in_a_row, expected = 0, []
    for name in documents:
        if in_a_row >= threshold:
            expected.append("held")
        elif name.startswith("bad"):
            in_a_row += 1
            expected.append("failed")
        else:
            in_a_row = 0
            expected.append("ok")
    loader = Loader(threshold)
    result = loader.process_documents_with_resilience(documents)
    assert result.success_count == expected.count("ok")
    assert result.failure_count == expected.count("failed") + expected.count("held")
    assert result.failed_documents == [name for name, how in zip(documents, expected, strict=True) if how != "ok"]
    assert len(loader.seen) == len(expected) - expected.count("held")
    assert threading.active_count() < 200
