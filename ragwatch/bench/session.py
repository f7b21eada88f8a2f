"""One bench: the load that was asked for, or the search for the knee, and the report of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from ragwatch.bench.engine import Engine
from ragwatch.bench.figures import Condition
from ragwatch.bench.knee import has_peaked, ladder, promises_broken, search
from ragwatch.bench.load import Phase, Think, warm_up
from ragwatch.bench.report import phase_figures, report
from ragwatch.bench.saturation import grown, saturated
from ragwatch.bench.tally import Tally
from ragwatch.bench.usl import fit
from ragwatch.demo.golden import Golden
from ragwatch.target.target import Target

LADDER_S = 0.5
"""How long each number of users is measured, as a share of ``--duration``."""
LIGHT_SHARE = 0.3
"""The load that is called light: a share of the highest throughput."""
SLO_FACTOR = 3.0
"""Without ``--slo`` the p95 may be three times what it is for one user."""
FALSE_PROMISE_S = 0.005
"""… and this much more, so that an app of microseconds is not judged by the scheduler's whims."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: phases ``runs`` times over, or, with ``find_knee``, a search that starts from them."""

    phases: tuple[Phase, ...]
    runs: int = 1
    warm_up_s: float = 0.0
    think: Think = field(default_factory=Think)
    poisson: bool = False
    limit: int = 256
    timeout_s: float = 30.0
    seed: int = 0
    find_knee: bool = False
    slo: tuple[Condition, ...] = ()
    today: float | None = None
    """The rate of today, for the headroom."""
    more: Mapping[str, Any] = field(default_factory=dict)


class Session:
    """Carries a plan out. ``engine`` is there while it runs, for a live table; ``trials`` are those of the knee."""

    def __init__(
        self,
        target: Target,
        questions: Callable[[Random], Iterator[Golden]],
        plan: Plan,
        *,
        options: Mapping[str, Any] | None = None,
        stop: threading.Event | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.target, self.plan = target, plan
        self.stop = stop or threading.Event()
        self._questions, self._options = questions, dict(options or {})
        self._now = now
        self.engine: Engine | None = None
        self.doing = ""
        self.trials: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """The report. What was asked for is ended early where ``stop`` is set, and reported all the same."""
        plan, started = self.plan, self._now().isoformat(timespec="seconds")
        dice = Random(plan.seed)  # noqa: S311  (traffic, not secrets)
        engine = self.engine = Engine(
            self.target,
            self._questions(dice),
            options=self._options,
            dice=dice,
            think=plan.think,
            poisson=plan.poisson,
            limit=max(plan.limit, *(int(p.first) for p in plan.phases if not p.is_open), 1),
            timeout_s=plan.timeout_s,
            stop=self.stop,
        )
        knee: dict[str, Any] | None = None
        bounds: list[tuple[int, int]] = []
        with engine:
            if plan.find_knee:
                knee = self._knee(engine)
                bounds = [(number, number + 1) for number in knee.pop("phases")][:1]
            for number in range(0 if plan.find_knee else plan.runs):
                first = len(engine.phases)
                self._once(engine, number)
                bounds.append((first, len(engine.phases)))
            self.doing = "waiting for the last answers"
            engine.settle(2.0 if self.stop.is_set() else plan.timeout_s)
        pairs = list(zip(engine.phases, engine.tallies, strict=True))
        found = report(
            target=self.target.name,
            started=started,
            load=self._load(),
            runs=[pairs[first:last] for first, last in bounds],
            client={
                "cpu_share": engine.cpu_s / engine.wall_s if engine.wall_s else None,
                "most_in_flight": engine.most_in_flight,
                "limit": engine.limit,
            },
            interrupted=self.stop.is_set(),
        )
        if knee is not None:
            found["knee"] = knee
        return found

    def _load(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "phases": [phase.name for phase in plan.phases],
            "is_open": all(phase.is_open for phase in plan.phases),
            "arrivals": "poisson" if plan.poisson else "constant",
            "runs": plan.runs,
            "warm_up_s": plan.warm_up_s,
            "think_s": [plan.think.low, plan.think.high],
            "seed": plan.seed,
            "timeout_s": plan.timeout_s,
            "in_process": self.target.in_process,
            "options": self._options,
            **plan.more,
        }

    def _once(self, engine: Engine, number: int) -> None:
        for phase in (*warm_up(self.plan.phases[0], self.plan.warm_up_s), *self.plan.phases):
            if self.stop.is_set():
                return
            self.doing = phase.name + (f", run {number + 1} of {self.plan.runs}" if self.plan.runs > 1 else "")
            engine.run(phase, drain=not phase.is_counted and not phase.is_open)
        if number + 1 < self.plan.runs:
            engine.settle(self.plan.timeout_s)

    # -- the knee -----------------------------------------------------------------------------------------------------

    def _knee(self, engine: Engine) -> dict[str, Any]:
        seconds = self.plan.phases[0].seconds
        self._warm(engine)
        rungs = self._ladder(engine, seconds * LADDER_S)
        law = fit([(tally.concurrency or 0.0, tally.throughput or 0.0) for _, tally in rungs])
        best = max((tally.throughput or 0.0 for _, tally in rungs), default=0.0)
        found: dict[str, Any] = {
            "rate": None, "broken_at": None, "slo": [], "usl": law.to_dict() if law else None,
            "users": [[users, tally.throughput, tally.latency.quantile(95)] for users, tally in rungs],
            "most_throughput": best or None, "saturates": None, "headroom": None, "trials": self.trials, "phases": [],
        }  # fmt: skip
        if self.stop.is_set() or not best:
            found["phases"] = [number for number, phase in enumerate(engine.phases) if phase.is_counted][:1]
            return found
        usual = rungs[0][1].latency.quantile(95) or 0.0
        slo = list(self.plan.slo) or _usual_promises(usual)
        found["slo"] = [condition.text for condition in slo]
        light = self._trial(engine, LIGHT_SHARE * best, seconds, slo)
        tries = search(0.7 * best)
        rate = next(tries)
        at: dict[bool, tuple[int, dict[str, Any]]] = {}
        while not self.stop.is_set():
            trial = self._trial(engine, rate, seconds, slo)
            if self.stop.is_set():
                break
            held = not trial["broken"]
            if held is False or True not in at or rate >= at[True][1]["rate"]:
                at[held] = (len(engine.phases) - 1, trial)
            try:
                rate = tries.send(held)
            except StopIteration as stop:
                found["rate"], found["broken_at"] = stop.value
                break
        if False in at:
            found["saturates"] = saturated(light, at[False][1])
            found["grown"] = [list(row) for row in grown(light, at[False][1])]
        if found["rate"] and self.plan.today:
            found["headroom"] = found["rate"] / self.plan.today - 1
        shown = at.get(True) or at.get(False)
        found["phases"] = [shown[0]] if shown else []
        return found

    def _warm(self, engine: Engine) -> None:
        self.doing = "warm-up"
        engine.run(Phase(1, 1, self.plan.warm_up_s or 1.0, is_open=False, is_counted=False), drain=True)

    def _ladder(self, engine: Engine, seconds: float) -> list[tuple[int, Tally]]:
        rungs: list[tuple[int, Tally]] = []
        for users in ladder(engine.limit):
            self.doing = f"throughput of {users} users"
            rungs.append((users, engine.run(Phase(users, users, seconds, is_open=False), drain=True)))
            if self.stop.is_set() or has_peaked([tally.throughput or 0.0 for _, tally in rungs]):
                break
        return rungs

    def _trial(self, engine: Engine, rate: float, seconds: float, slo: list[Condition]) -> dict[str, Any]:
        """A rate, tried: its figures, and which promises it broke."""
        self.doing = f"does it keep its promises at {rate:.3g}/s?"
        phase = Phase(rate, rate, seconds)
        tally = engine.run(phase)
        left = engine.in_flight()
        engine.abandon()
        engine.settle(self.plan.timeout_s)
        figures = phase_figures(phase, tally)
        del figures["slices"]
        usual = rate * (self.trials[0]["service_s"]["mean"] if self.trials else 0.0)
        usual = max(usual, rate * (tally.service.quantile(50) or 0.0) if not self.trials else 0.0)
        broken = promises_broken(figures, slo, offered=tally.offered, left=left, usual=usual)
        trial = {"rate": rate, "broken": broken, "left": left, **figures}
        self.trials.append(trial)
        return trial


def _usual_promises(p95_s: float) -> list[Condition]:
    bound = SLO_FACTOR * p95_s + FALSE_PROMISE_S
    shown = f"{bound * 1e3:.0f}ms" if bound < 1 else f"{bound:.2f}s"
    return [
        Condition("p95", "<", bound, f"p95<{shown}"),
        Condition("errors", "<", 0.01, "errors<1%"),
    ]
