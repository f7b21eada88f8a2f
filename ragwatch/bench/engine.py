"""Carries a load out: hands each question over when it is due, and collects what came of it."""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from time import perf_counter, process_time, sleep
from typing import Any, Self

from ragwatch.bench.drivers import Driver, Loop, Threads
from ragwatch.bench.load import Phase, Think
from ragwatch.bench.priority import Priority
from ragwatch.bench.schedule import arrivals
from ragwatch.bench.shot import Job, Shot, judged
from ragwatch.bench.tally import Tally
from ragwatch.demo.golden import Golden
from ragwatch.record import QueryRecord
from ragwatch.sdk.failure import class_of, message_of, outcome_of
from ragwatch.sdk.setup import running
from ragwatch.target.answer import Answer
from ragwatch.target.asking import ask, ask_async
from ragwatch.target.target import Target

TICK_S = 0.05
LONG_S = 0.1
"""Below this a plain sleep waits for the next question: it ends nearer to its time than waiting for an event does."""
LATE_S = 0.05
"""Behind its schedule by this much it does not sleep any more."""
SWITCH_INTERVAL_S = 0.0005
"""Python's 5 ms would let one busy thread of the app delay every question by as much."""
MAX_MESSAGE = 200


class Engine:
    """One target under load. Use it in a ``with``; ``run`` carries a phase out, ``tallies`` is what came of each."""

    def __init__(
        self,
        target: Target,
        questions: Iterator[Golden],
        *,
        options: Mapping[str, Any] | None = None,
        dice: Random | None = None,
        think: Think = Think(),  # noqa: B008  (frozen)
        poisson: bool = False,
        limit: int = 256,
        timeout_s: float = 30.0,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.target, self._questions, self._options = target, questions, dict(options or {})
        self._dice = dice or Random()  # noqa: S311  (traffic, not secrets)
        self._think, self._poisson, self._timeout_s = think, poisson, timeout_s
        self.limit = limit
        self.stop = stop or threading.Event()
        self._clock = clock
        self._zero = clock()
        self.phases: list[Phase] = []
        self.tallies: list[Tally] = []
        self.most_in_flight = 0
        self.cpu_s = self.wall_s = 0.0
        self._shots: deque[Shot] = deque()
        self._records: deque[QueryRecord] = deque()
        self._waiting: dict[str, QueryRecord] = {}
        self._collecting = threading.Lock()
        self._taking = threading.Lock()
        self._driver: Driver = (
            Loop(self._shoot_async, self._follow, limit)
            if target.is_async
            else Threads(self._shoot, self._follow, limit)
        )

    # -- the load -----------------------------------------------------------------------------------------------------

    def run(self, phase: Phase, *, drain: bool = False) -> Tally:
        """Carry a phase out. With ``drain`` what waits at its end is dropped and what runs is waited for."""
        number = len(self.phases)
        start = self.now()
        tally = Tally(start, phase.seconds)
        self.phases.append(phase)
        self.tallies.append(tally)
        cpu, wall = process_time(), perf_counter()
        if phase.is_open:
            self._open(number, phase, start, tally)
        else:
            self._closed(number, phase, start, tally)
        if self.stop.is_set():
            tally.seconds = max(1e-3, self.now() - start)
        self.cpu_s += process_time() - cpu
        self.wall_s += perf_counter() - wall
        if drain:
            self.abandon()
            self.settle(self._timeout_s)
        self.collect()
        return tally

    def settle(self, timeout_s: float) -> bool:
        """Wait for what is under way; False where it did not end in that time."""
        until = self.now() + timeout_s
        while self._driver.unfinished() and self.now() < until:
            threading.Event().wait(0.005)
        self.collect()
        return not self._driver.unfinished()

    def abandon(self) -> int:
        """Drop what has not begun."""
        return self._driver.abandon()

    def in_flight(self) -> int:
        """Questions that are due and have no answer yet."""
        return self._driver.unfinished()

    def now(self) -> float:
        """Seconds on the run's clock."""
        return self._clock() - self._zero

    def _open(self, number: int, phase: Phase, start: float, tally: Tally) -> None:
        with Priority() as priority:
            self._hand_over(number, phase, start, tally, priority)
        if not self.stop.is_set():
            self.stop.wait(max(0.0, start + phase.seconds - self.now()))

    def _hand_over(self, number: int, phase: Phase, start: float, tally: Tally, priority: Priority) -> None:
        dice = self._dice if self._poisson else None
        for offset in arrivals(phase, dice):
            due = start + offset
            ahead = due - self.now()
            if ahead > LONG_S and self.stop.wait(ahead - LONG_S):
                return
            if (ahead := due - self.now()) > 0:
                sleep(ahead)
            if self.stop.is_set():
                return
            tally.offered += 1
            self._driver.submit(Job(number, due, self.now(), self._next()))
            self.most_in_flight = max(self.most_in_flight, self._driver.unfinished())
            priority.hold(ahead > -LATE_S)

    def _closed(self, number: int, phase: Phase, start: float, tally: Tally) -> None:
        """Users come one by one over a ramp; each asks, waits, thinks, until the phase is over."""
        most, first = int(max(phase.first, phase.last)), int(min(phase.first, phase.last))
        rises = phase.last >= phase.first
        for user in range(most):
            share = max(0, user - first + 1) / max(1, most - first) if user >= first else 0.0
            begins = start + (share * phase.seconds if rises and share < 1 else 0.0)
            leaves = start + phase.seconds * (1 - share if not rises else 1.0)
            ahead = begins - self.now()
            if ahead > 0 and self.stop.wait(ahead):
                return
            now = self.now()
            with self._taking:
                tally.offered += 1
            self._driver.submit(Job(number, now, now, self._next(), leaves))
        self.stop.wait(max(0.0, start + phase.seconds - self.now()))

    def _follow(self, job: Job) -> tuple[float, Job] | None:
        """What the user of a closed loop does after an answer."""
        phase = self.phases[job.phase]
        if phase.is_open or self.stop.is_set():
            return None
        with self._taking:
            pause = self._think.pause_s(self._dice.random())
            due = self.now() + pause
            if due >= job.until_s:
                return None
            self.tallies[job.phase].offered += 1
        return pause, Job(job.phase, due, due, self._next(), job.until_s)

    def _next(self) -> Golden:
        with self._taking:
            return next(self._questions)

    # -- one question -------------------------------------------------------------------------------------------------

    def _shoot(self, job: Job) -> None:
        begun = self.now()
        answer = ask(self.target, job.golden.question, self._options, relevant=job.golden.relevant)
        self._shots.append(self._shot(job, begun, self.now(), answer))

    async def _shoot_async(self, job: Job) -> None:
        begun = self.now()
        answer = await ask_async(
            self.target,
            job.golden.question,
            self._options,
            relevant=job.golden.relevant,
            timeout_s=self._timeout_s,
        )
        self._shots.append(self._shot(job, begun, self.now(), answer))

    def _shot(self, job: Job, begun: float, ended: float, answer: Answer) -> Shot:
        outcome, error = "ok", None
        if answer.error is not None:
            outcome = outcome_of(answer.error)
            kind = "rejected" if outcome == "rejected" else class_of(answer.error)
            message = " ".join(message_of(answer.error).split())[:MAX_MESSAGE]
            error = (kind, f"{type(answer.error).__name__}: {message}".rstrip(": "))
        wanted = job.golden.relevant
        label = None if answer.documents is None else judged(answer.documents, wanted)
        return Shot(
            job.phase,
            job.due_s,
            job.sent_s,
            begun,
            ended,
            outcome,
            error,
            answer.first_s,
            answer.trace_id,
            label,
            wanted,
        )

    # -- what came of it ----------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Bring the tallies up to date."""
        with self._collecting:
            shots = [self._shots.popleft() for _ in range(len(self._shots))]
            process = running()
            if process is not None:
                process[1].drain()
            for _ in range(len(self._records)):
                record = self._records.popleft()
                self._waiting[record.trace_id] = record
            for shot in shots:
                seen = self._waiting.pop(shot.trace_id, None) if shot.trace_id else None
                self.tallies[shot.phase].shot(shot, seen)

    def snapshot(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and figures of each part so far; the throughput of one that is not over yet is that until now."""
        with self._collecting:
            now = self.now()
            return [
                (phase.name, {**tally.figures(), "throughput": tally.throughput_until(now)})
                for phase, tally in zip(self.phases, self.tallies, strict=False)
            ]

    def __enter__(self) -> Self:
        process = running()
        if process is not None and self.target.in_process:
            process[0].on_record = self._records.append
        gc.collect()
        gc.freeze()  # what was there before need not be looked through while questions are due
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="bench-collector", daemon=True)
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._ticker.join()
        self._driver.close()
        self.collect()
        sys.setswitchinterval(self._interval)
        gc.unfreeze()
        process = running()
        if process is not None:
            process[0].on_record = None

    def _tick(self) -> None:
        while not self._over.wait(TICK_S):
            self.collect()


@contextmanager
def interrupted_by(stop: threading.Event) -> Iterator[None]:
    """Within it the first Ctrl-C sets ``stop``; the second one raises ``KeyboardInterrupt``."""
    import signal

    def stopped(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, stopped) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
