"""A second, simple breaker: written from the rules alone, slow and plain, to hold the real one against."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Rules:
    """The settings that the model knows."""

    failure_threshold: int | None
    failure_rate: float | None
    slow_call_rate: float | None
    slow_call_duration: float
    window: int
    minimum_calls: int
    reset_timeout: float
    half_open_permits: int
    success_threshold: int
    half_open_timeout: float
    reset_backoff: float
    max_reset_timeout: float


@dataclass
class Call:
    """A call that was let through."""

    epoch: int
    started: float


@dataclass
class Model:
    """Every rule in the plainest way: whole lists, no counters, no lock."""

    rules: Rules
    state: str = "closed"
    epoch: int = 0
    history: list[tuple[bool, bool]] = field(default_factory=list)
    probes_out: list[Call] = field(default_factory=list)
    probes_good: int = 0
    until: float = 0.0
    times_reopened: int = 0

    def admit(self, now: float) -> Call | None:
        """A call, or None where it is turned away."""
        if self.state == "open" and now >= self.until:
            self.go("half_open")
            self.until = now + self.rules.half_open_timeout
        if self.state == "half_open":
            used = len(self.probes_out) + self.probes_good
            if used >= self.rules.half_open_permits:
                if now >= self.until:
                    self.open(now)
                return None
            call = Call(self.epoch, now)
            self.probes_out.append(call)
            return call
        if self.state in {"open", "forced_open"}:
            return None
        return Call(self.epoch, now)

    def result(self, call: Call, now: float, *, failed: bool) -> None:
        """What came of a call."""
        if call.epoch != self.epoch or self.state == "disabled":
            return
        slow = self.rules.slow_call_rate is not None and now - call.started > self.rules.slow_call_duration
        if self.state == "half_open":
            self.probes_out.remove(call)
            if failed or slow:
                self.open(now)
                return
            self.probes_good += 1
            if self.probes_good >= self.rules.success_threshold:
                self.times_reopened = 0
                self.go("closed")
            return
        self.history.append((failed, slow))
        if self.state == "closed" and self.must_open():
            self.open(now)

    def give_back(self, call: Call) -> None:
        """A call that counts neither way."""
        if call.epoch == self.epoch and self.state == "half_open":
            self.probes_out.remove(call)

    def must_open(self) -> bool:
        """The rules of a closed breaker, over everything that it saw."""
        threshold = self.rules.failure_threshold
        if threshold is not None and len(self.history) >= threshold and all(f for f, _ in self.history[-threshold:]):
            return True
        last = self.history[-self.rules.window :]
        if len(last) < self.rules.minimum_calls:
            return False
        failed = sum(f for f, _ in last) / len(last)
        slow = sum(s for _, s in last) / len(last)
        return (self.rules.failure_rate is not None and failed >= self.rules.failure_rate) or (
            self.rules.slow_call_rate is not None and slow >= self.rules.slow_call_rate
        )

    def open(self, now: float) -> None:
        """Open for as long as the rules say."""
        grown = self.rules.reset_timeout * self.rules.reset_backoff**self.times_reopened
        self.times_reopened += 1
        self.until = now + min(grown, max(self.rules.max_reset_timeout, self.rules.reset_timeout))
        self.go("open")

    def by_hand(self, state: str) -> None:
        """A state that an operator asked for."""
        self.times_reopened = 0
        self.go(state)

    def go(self, state: str) -> None:
        """A new epoch, with nothing remembered."""
        self.state = state
        self.epoch += 1
        self.history, self.probes_out, self.probes_good = [], [], 0
