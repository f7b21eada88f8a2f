"""One run of a ``DocumentProcessor``: the coordinator's loop, read top to bottom in ``results``."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from ragwatch.processing.book import Book, Work
from ragwatch.processing.failure import HANG, Failure
from ragwatch.processing.intake import Intake
from ragwatch.processing.item import EMPTY, Item
from ragwatch.processing.ledger import Ledger, Row, Settled
from ragwatch.processing.result import DocResult
from ragwatch.processing.tally import IngestTally
from ragwatch.processing.telemetry import record_step
from ragwatch.processing.threads import Threads, TooManyHang
from ragwatch.processing.work import Done
from ragwatch.processing.workers import Workers
from ragwatch.resilience.retry_tally import tally_of
from ragwatch.resilience.retryable import retry_test

if TYPE_CHECKING:
    from ragwatch.processing.processor import DocumentProcessor

BREAKER_OPEN = "Circuit breaker open"
STOPPED = "the run was stopped"
MAX_WAITING = 10_000
"""Documents that wait for another try in this run; above it no more input is read."""
POLL_S = 0.25
AHEAD_S = 0.25
STOP_GRACE_S = 5.0


class Run:
    """State of one run. ``results`` yields each document's outcome once the ledger has it."""

    def __init__(
        self, owner: DocumentProcessor, ledger: Ledger, workers: Workers, tally: IngestTally, stop: threading.Event
    ) -> None:
        self._owner = owner
        self._ledger = ledger
        self._workers = workers
        self._stop = stop
        self._book = Book(ledger, tally, tally_of(owner.retry.name) if owner.retry else None)
        self._ready: deque[Work] = deque()
        self._suspects: deque[Work] = deque()
        policy = owner.retry
        self._retryable = retry_test(policy.retry_on) if policy is not None and policy.retry_on is not None else None
        self._max_wait_s = policy.max_retry_after if policy is not None else owner.breaker_wait
        self._later: list[tuple[float, int, Work]] = []
        self._running: dict[int, tuple[Work, Any]] = {}
        self._tokens = count()
        self._adapts = owner.is_local
        self._seconds = 0.0
        """A document's time, smoothed."""
        self._window = min(owner.max_in_flight, 4 * owner.workers) if self._adapts else owner.max_in_flight
        """How many may be in flight."""
        self._started_at = 0.0
        self._paused_until = 0.0
        self._waited_s = 0.0
        self._deferring = False
        self._alone = False
        """A suspect runs: nothing else may."""

    def results(self, documents: Iterable[Any]) -> Iterator[DocResult]:
        """Read, lease, hand out, record, until nothing is left."""
        self._started_at = time.time()
        self._ledger.recover(self._owner.max_attempts, self._started_at)
        intake = self._intake = Intake(documents, self._book, self._owner.key, self._owner.max_bytes)
        grace_s = STOP_GRACE_S
        try:
            while not self._stop.is_set():
                self._read()
                blocked = self._hand_out()
                blocked = blocked or (not intake.at_end and self._gate() > 0 and not self._deferring)
                if not self._running and not self._later and not self._held() and intake.at_end:
                    break
                yield from self._book.tell()
                if blocked and not self._running:
                    if not self._wait_for_breaker():
                        self._defer_all()
                    continue
                if not self._running and not blocked and not intake.at_end and len(self._later) < MAX_WAITING:
                    continue  # all that was read needed nothing
                self._collect(self._workers.poll(self._patience(blocked)))
                yield from self._book.tell()
        except GeneratorExit:
            for _ in self._finish():
                pass
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and self._stop.is_set():
                grace_s = 0.0  # told twice
            yield from self._finish(grace_s)
            raise
        yield from self._finish()
        if intake.error is not None:
            raise intake.error

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Take documents from the input while there is room for them."""
        items = self._intake.take(self._room())
        if not items:
            return
        known = self._ledger.known(items)
        poison = self._ledger.poison(items)
        for item in items:
            self._sort(item, known.get(item.source), poison)

    def _room(self) -> int:
        """How many documents may be read now."""
        room = self._window - len(self._running) - self._held()
        if self._intake.at_end or room <= 0 or len(self._later) >= MAX_WAITING:
            return 0
        closed = self._gate() <= 0
        if closed:
            self._deferring = False
        return room if closed or self._deferring else 0

    def _sort(self, item: Item, row: Row | None, poison: dict[str, str]) -> None:
        """Decide what a document needs."""
        busy = self._book.busy.get(item.source)
        if busy is not None and busy != item.digest:
            self._intake.parked.append(item)
            return
        if busy is not None:
            self._book.say(item.source, "unchanged", reason="a second time in this run")
            return
        same = row is not None and row.digest == item.digest and row.version == self._owner.version
        if row is not None and same:
            if row.state == "ok":
                self._book.say(item.source, "unchanged", row.attempts)
                return
            if row.state == "failed" and row.updated_at >= self._started_at:
                self._book.say(item.source, "unchanged", row.attempts, "a second time in this run")
                return
            if row.state == "dead":
                self._book.say(item.source, "dead", row.attempts, row.reason or "dead", row.error_type)
                return
        elif item.too_large:
            reason = f"{item.too_large} bytes, more than max_bytes={self._owner.max_bytes}"
            self._book.settle(Work(item), "dead", reason, error_type="DocumentTooLarge")
            return
        elif item.digest in poison and item.digest != EMPTY:
            reason = f"same content as {poison[item.digest]}, which is dead"
            self._book.settle(Work(item), "dead", reason, error_type="Poison")
            return
        if self._deferring:
            attempts = row.attempts if row is not None and same else 0
            self._book.settle(Work(item, attempts), "deferred", BREAKER_OPEN)
            return
        wait = row.retry_at - time.time() if row is not None and same and row.retry_at is not None else 0.0
        if row is not None and wait > self._max_wait_s:
            reason = row.reason or ""
            self._book.say(item.source, "failed", row.attempts, reason, row.error_type, retry_at=row.retry_at)
            return
        self._book.busy[item.source] = item.digest
        if row is None or not same:
            self._ready.append(Work(item))
            return
        work = Work(item, row.attempts, 0, row.fingerprint, bool(row.suspect))
        if work.suspect:
            self._suspects.append(work)
        elif wait > 0:
            heapq.heappush(self._later, (row.retry_at or 0.0, next(self._tokens), work))
        else:
            self._ready.append(work)

    def _held(self) -> int:
        return len(self._ready) + len(self._suspects) + len(self._intake.parked)

    # -- handing out --------------------------------------------------------------------------------------------------

    def _hand_out(self) -> bool:
        """Lease and submit what may run now; True where a breaker is in the way."""
        now = time.time()
        while self._later and self._later[0][0] <= now:
            work = heapq.heappop(self._later)[2]
            (self._suspects if work.suspect else self._ready).append(work)
        chosen: list[tuple[Work, Any]] = []
        blocked = False
        while (queue := self._next(len(chosen))) is not None:
            ticket = self._ticket()
            if ticket is False:
                blocked = True
                break
            chosen.append((queue.popleft(), ticket))
            self._alone = queue is self._suspects
        if not chosen:
            return blocked
        leased = [(work._replace(attempts=work.attempts + 1, tries=work.tries + 1), ticket) for work, ticket in chosen]
        self._ledger.write(self._book.take_notes(), [(work.item, work.attempts) for work, _ in leased], now)
        batch = []
        for work, ticket in leased:
            token = next(self._tokens)
            self._running[token] = (work, ticket)
            batch.append((token, work.item.document))
        self._workers.submit(batch)
        return blocked

    def _next(self, chosen: int) -> deque[Work] | None:
        """Where the next document waits: a suspect runs alone, so that no innocent neighbour is condemned with it."""
        busy = len(self._running) + chosen
        if self._alone or (self._suspects and busy):
            return None
        if self._suspects:
            return self._suspects
        return self._ready if self._ready and busy < self._window else None

    def _ticket(self) -> Any:
        """The breaker's leave for one call, or False."""
        if self._gate() > 0:
            return False
        breaker = self._owner.breaker
        if breaker is None:
            return None
        return breaker.try_acquire() or False

    def _gate(self) -> float:
        """Seconds until something may run; infinite while a breaker is forced open."""
        wait = self._paused_until - time.monotonic() if self._paused_until else 0.0
        breaker = self._owner.breaker
        if breaker is not None and breaker.state != "closed":
            after = breaker.retry_after()
            wait = max(wait, float("inf") if after is None else after)
        return max(0.0, wait)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _patience(self, blocked: bool) -> float:
        """How long to wait for results before looking around."""
        if not self._running:
            waits = [POLL_S]
            if self._later:
                waits.append(max(0.0, self._later[0][0] - time.time()))
            return min(waits)
        if self._room():
            return 0.0  # reading waits by itself
        late = self._workers.next_timeout()
        return min(POLL_S if blocked or self._later else 1.0, late if late is not None else 1.0)

    def _wait_for_breaker(self) -> bool:
        """Wait until a probe may go, within the run's patience; False when there is none left."""
        wait = self._gate()
        left = self._owner.breaker_wait - self._waited_s
        if wait > left:
            return False
        started = time.monotonic()
        self._stop.wait(min(wait, POLL_S) if wait > 0 else 0.001)
        self._waited_s += time.monotonic() - started
        return True

    def _defer_all(self) -> None:
        """The run's patience is over: what waits is for the next run, and uses up no attempt."""
        for work in (*self._suspects, *self._ready, *(entry[2] for entry in self._later)):
            if work.suspect:
                self._book.say(work.item.source, "deferred", work.attempts, BREAKER_OPEN)
                self._book.busy.pop(work.item.source, None)
            else:
                self._book.settle(work, "deferred", BREAKER_OPEN)
        self._suspects.clear()
        self._ready.clear()
        self._later.clear()
        self._paused_until = 0.0
        self._deferring = True

    # -- recording ----------------------------------------------------------------------------------------------------

    def _collect(self, found: list[Done]) -> None:
        for done in found:
            if done.token not in self._running:
                continue  # it was withdrawn
            work, ticket = self._running.pop(done.token)
            self._alone = False
            self._judge(work, ticket, done)
            if not isinstance(self._workers, Threads):
                record_step(self._owner.pipeline, work.item, done)
        if found and self._adapts:
            self._adapt(found)

    def _adapt(self, found: list[Done]) -> None:
        """Let as many be in flight as the workers do in ``AHEAD_S``: few slow ones are redone after a crash."""
        took_s = sum(done.end_ns - done.start_ns for done in found) / len(found) / 1e9
        self._seconds += (max(took_s, 1e-6) - self._seconds) / 4
        workers = self._owner.workers
        ahead = int(workers * AHEAD_S / self._seconds)
        self._window = min(self._owner.max_in_flight, max(4 * workers, ahead))

    def _judge(self, work: Work, ticket: Any, done: Done) -> None:
        """What an attempt means: for the breaker, and for the document."""
        failure = done.failure
        seconds = max(0, done.end_ns - done.start_ns) / 1e9
        breaker = self._owner.breaker
        if breaker is not None and ticket is not None:
            if failure is not None and failure.fingerprint == work.fingerprint == HANG:
                breaker.release(ticket)  # it hung before: that is the document; a resumed run meets all such in a row
            else:
                took = (ticket[0], breaker.clock() - seconds)  # the wait in a queue is not the dependency's time
                breaker.record(took, None if failure is None else done.raised())
        if failure is None:
            self._book.settle(work, "ok", value=done.value, seconds=seconds)
        elif failure.rejected:
            self._paused_until = time.monotonic() + min(failure.retry_after_s or 0.1, 60.0)
            back = work._replace(attempts=work.attempts - 1, tries=work.tries - 1)
            self._book.note(Settled(back.item, "deferred", back.attempts, reason=failure.message))
            if self._waited_s >= self._owner.breaker_wait:
                self._book.settle(back, "deferred", failure.message)
            else:
                self._ready.append(back)
        else:
            self._fail(work, failure, seconds, done)

    def _fail(self, work: Work, failure: Failure, seconds: float, done: Done) -> None:
        if failure.lost and not work.suspect:  # perhaps one beside it did it: at least once it is tried alone
            work = work._replace(attempts=min(work.attempts, self._owner.max_attempts - 1))
        passes = failure.transient
        if self._retryable is not None and not failure.lost and (error := done.raised()) is not None:
            passes = self._retryable(error)
        reason = f"{failure.error_type}: {failure.message}" if failure.message else failure.error_type
        twice = not passes and not failure.transient and failure.fingerprint == work.fingerprint
        if work.attempts >= self._owner.max_attempts or twice:
            why = f"poison, the same failure twice: {reason}" if twice else reason
            self._book.settle(work, "dead", why, failure=failure, seconds=seconds, suspect=failure.lost)
            return
        policy = self._owner.retry
        wait = failure.retry_after_s or 0.0
        if passes and policy is not None:
            wait = max(wait, policy.delay(max(1, work.tries), 0.0, random.uniform))
        retry_at = time.time() + wait if wait else None
        again = work._replace(fingerprint=failure.fingerprint, suspect=failure.lost)
        if (
            passes and policy is not None and work.tries <= policy.max_retries and not self._stop.is_set()
            and wait <= self._max_wait_s
        ):  # fmt: skip
            state = Settled(
                work.item, "failed", work.attempts, retry_at, failure.error_type, reason, failure.fingerprint,
                failure.trace_id, again.suspect,
            )  # fmt: skip
            self._book.note(state)
            heapq.heappush(self._later, (retry_at or 0.0, next(self._tokens), again))
            return
        self._book.settle(
            work, "failed", reason, failure=failure, seconds=seconds, retry_at=retry_at, suspect=again.suspect
        )

    def _finish(self, grace_s: float = STOP_GRACE_S) -> Iterator[DocResult]:
        """Take back what has not begun, wait a little for what runs (not when told twice), and defer what is left."""
        until = time.monotonic() + grace_s
        self._stop.set()
        for token in self._workers.withdraw():
            work, ticket = self._running.pop(token)
            self._put_back(ticket)
            self._left(work._replace(attempts=work.attempts - 1), STOPPED)
        interrupt = None
        try:
            while self._running and time.monotonic() < until:
                with suppress(TooManyHang):
                    self._collect(self._workers.poll(0.1))
        except KeyboardInterrupt as error:  # told twice: what is known is recorded all the same
            interrupt = error
        for work, ticket in self._running.values():
            self._put_back(ticket)
            self._left(work, "still running when the run was stopped")
        self._running.clear()
        for work in (*self._suspects, *self._ready, *(entry[2] for entry in self._later)):
            self._book.say(work.item.source, "deferred", work.attempts, STOPPED)
        for item in self._intake.parked:
            self._book.say(item.source, "deferred", reason=STOPPED)
        yield from self._book.tell(at_the_end=True)
        if interrupt is not None:
            raise interrupt

    def _put_back(self, ticket: Any) -> None:
        if self._owner.breaker is not None and ticket is not None:
            self._owner.breaker.give_back(ticket)

    def _left(self, work: Work, reason: str) -> None:
        """A leased document that this run leaves to the next, where it is no suspect: nothing crashed."""
        self._book.note(Settled(work.item, "deferred", work.attempts, reason=reason, suspect=work.suspect))
        self._book.say(work.item.source, "deferred", work.attempts, reason)

    def close(self) -> None:
        """End the workers."""
        self._workers.close()
