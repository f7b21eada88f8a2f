"""The state machine that drives a breaker and its model side by side; also the judge of planted faults."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ragwatch.errors import CircuitOpen
from ragwatch.resilience.breaker import CircuitBreaker
from tests.resilience.breaker_model import Call, Model, Rules

RULES = st.builds(
    Rules,
    failure_threshold=st.none() | st.integers(1, 4),
    failure_rate=st.none() | st.sampled_from((0.25, 0.5, 0.75, 1.0)),
    slow_call_rate=st.none() | st.sampled_from((0.5, 1.0)),
    slow_call_duration=st.just(3.0),
    window=st.integers(4, 6),
    minimum_calls=st.integers(2, 4),
    reset_timeout=st.just(10.0),
    half_open_permits=st.integers(1, 3),
    success_threshold=st.integers(1, 3),
    half_open_timeout=st.just(20.0),
    reset_backoff=st.sampled_from((1.0, 2.0)),
    max_reset_timeout=st.just(40.0),
).map(lambda rules: _within(rules))


def _within(rules: Rules) -> Rules:
    rules.success_threshold = min(rules.success_threshold, rules.half_open_permits)
    return rules


class BreakerMachine(RuleBasedStateMachine):
    """Calls that begin, end, fail, are cancelled, in any order, while time goes on; both must agree on every answer."""

    breaker_class: type[CircuitBreaker] = CircuitBreaker

    @initialize(rules=RULES)
    def start(self, rules: Rules) -> None:
        self.now = 100.0
        self.model = Model(rules)
        options: dict[str, Any] = dict(vars(rules))
        self.breaker = self.breaker_class("machine", clock=lambda: self.now, **options)
        self.running: list[tuple[Call, tuple[int, float]]] = []

    @rule()
    def begin(self) -> None:
        expected = self.model.admit(self.now)
        try:
            ticket = self.breaker.acquire()
        except CircuitOpen as error:
            assert expected is None, "turned away where the model lets it through"
            self.check_retry_after(error.retry_after_s)
        else:
            assert expected is not None, "let through where the model turns it away"
            self.running.append((expected, ticket))
        self.agree()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failed=st.booleans())
    def end(self, data: st.DataObject, failed: bool) -> None:
        call, ticket = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.model.result(call, self.now, failed=failed)
        self.breaker.record(ticket, ConnectionError() if failed else None)
        self.agree()

    @rule(failed=st.booleans(), times=st.integers(1, 4), took=st.sampled_from((0.0, 0.0, 3.0, 4.0)))
    def burst(self, failed: bool, times: int, took: float) -> None:
        before = len(self.running)
        for _ in range(times):
            self.begin()
        self.now += took
        while len(self.running) > before:
            call, ticket = self.running.pop()
            self.model.result(call, self.now, failed=failed)
            self.breaker.record(ticket, ConnectionError() if failed else None)
            self.agree()

    @rule()
    def probes_that_never_come_back(self) -> None:
        self.now += 80.0
        for _ in range(3):
            self.begin()
        self.running.clear()
        self.now += 20.0
        self.begin()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call, ticket = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.model.give_back(call)
        self.breaker.record(ticket, GeneratorExit())
        self.agree()

    @rule(seconds=st.sampled_from((1.0, 3.0, 4.0, 9.0, 10.0, 20.0, 40.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(state=st.sampled_from(("forced_open", "disabled", "metrics_only", "closed", "closed")))
    def by_hand(self, state: str) -> None:
        self.model.by_hand(state)
        act = {"forced_open": self.breaker.force_open, "disabled": self.breaker.disable, "closed": self.breaker.reset}
        act.get(state, self.breaker.metrics_only)()
        self.agree()

    def agree(self) -> None:
        assert self.breaker.state == self.model.state
        assert self.breaker.epoch >= 0

    def check_retry_after(self, given: float | None) -> None:
        if self.model.state == "open":
            assert given == self.model.until - self.now
        if self.model.state == "forced_open":
            assert given is None
