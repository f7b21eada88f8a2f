"""Where calls of one model are counted: label values admitted once, cells looked up once."""

from __future__ import annotations

from typing import Final

from ragwatch import catalogue
from ragwatch.kpi.bounds import OTHER, LabelBounds
from ragwatch.kpi.state import Histogram, Key, State, Tally
from ragwatch.semconv import STEP_OPERATIONS, TOKEN_INPUT, TOKEN_OUTPUT

MAX_KEPT: Final = 4096
Asked = tuple[str, str, str, str | None, str | None, str | None, str | None, str | None]
"""Service, environment, step, operation, model, response model, provider, error type: as the step says."""


class ModelCall:
    """The cells of calls that differ in nothing but their numbers."""

    __slots__ = ("_first_chunk", "_input", "_key", "_output", "_place", "_state", "_tallies", "duration")

    def __init__(self, state: State, place: Key, key: Key) -> None:
        self._state = state
        self._key = key
        self._place = place
        """Service, environment, model."""
        self.duration = state.histogram("gen_ai.client.operation.duration", key)
        self._first_chunk: Histogram | None = None
        self._input: Histogram | None = None
        self._output: Histogram | None = None
        self._tallies: dict[tuple[bool, bool], tuple[Tally, Tally]] = {}
        """Of calls and of their cost, by whether usage and cost are known."""

    def first_chunk(self, seconds: float) -> None:
        """Count the time to a stream's first chunk."""
        held = self._first_chunk
        if held is None:
            name = "gen_ai.client.operation.time_to_first_chunk"
            held = self._first_chunk = self._state.histogram(name, self._key)
        held.observe(seconds)

    def tokens(self, given: int | None, written: int | None) -> bool:
        """Count the tokens of a call; whether any are known."""
        if given is not None:
            held = self._input
            if held is None:
                held = self._input = self._state.histogram("gen_ai.client.token.usage", (*self._key, TOKEN_INPUT))
            held.observe(given)
        if written is not None:
            held = self._output
            if held is None:
                held = self._output = self._state.histogram("gen_ai.client.token.usage", (*self._key, TOKEN_OUTPUT))
            held.observe(written)
        return given is not None or written is not None

    def answered(self, cost_usd: float | None, *, usage: bool) -> None:
        """Count a call that was answered, and what it cost; ``usage`` is whether its tokens are known."""
        known = (usage, cost_usd is not None)
        held = self._tallies.get(known)
        if held is None:
            said = ["true" if one else "false" for one in known]
            held = self._tallies[known] = (
                Tally(self._state, "rag.usage.calls", (*self._place, said[0])),
                Tally(self._state, "rag.cost", (*self._place, said[1])),
            )
        held[0].add()
        held[1].add(cost_usd or 0.0)


class ModelCalls:
    """The calls that were seen, by what their steps say; bounded. A value over its label's bound is counted anew."""

    def __init__(self, state: State, bounds: LabelBounds) -> None:
        self._state = state
        self._bounds = bounds
        self._known: dict[Asked, ModelCall] = {}

    def of(self, asked: Asked) -> ModelCall:
        """Where a call is counted; service and environment are admitted already."""
        held = self._known.get(asked)
        return self._new(asked) if held is None else held

    def _new(self, asked: Asked) -> ModelCall:
        service, environment, kind, operation, model, response_model, provider, error_type = asked
        given = (operation or STEP_OPERATIONS[kind], provider, model or response_model, error_type)
        labels = (catalogue.GEN_OPERATION, catalogue.GEN_PROVIDER, catalogue.GEN_MODEL, catalogue.ERROR_TYPE)
        admitted = tuple(self._bounds.admit(label, value) for label, value in zip(labels, given, strict=True))
        call = ModelCall(self._state, (service, environment, admitted[2]), (service, environment, *admitted))
        if not any(value == OTHER and said != OTHER for value, said in zip(admitted, given, strict=True)):
            if len(self._known) >= MAX_KEPT:
                self._known.clear()
            self._known[asked] = call
        return call
