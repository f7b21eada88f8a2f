"""The one place that keeps label sets bounded: what is over the bound becomes ``other``, and is counted."""

from __future__ import annotations

from typing import Final

from ragwatch.catalogue import Label, Metric
from ragwatch.kpi.state import Cell, Key, State

OTHER: Final = "other"
OVERFLOW: Final = "ragwatch.agent.label_overflow"
MAX_VALUE_LENGTH: Final = 128
"""A longer label value is cut: a model name is never longer, a stray prompt is."""


class LabelBounds:
    """Admits label values up to each label's bound.

    >>> from ragwatch.catalogue import Label
    >>> bounds = LabelBounds(State())
    >>> model = Label("model", bound=2)
    >>> [bounds.admit(model, name) for name in ("a", "b", "c", "a", "")]
    ['a', 'b', 'other', 'a', '']
    """

    __slots__ = ("_admitted", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._admitted: dict[str, dict[str, str]] = {}

    def admit(self, label: Label, value: str | None) -> str:
        """The value that may stand on a series: itself, or ``other``; unknown is the empty string."""
        if not value:
            return ""
        known = self._admitted.get(label.name)
        if known is None:
            known = self._admitted[label.name] = {}
        held = known.get(value)
        if held is not None:
            return held
        return self._first_seen(label, known, value)

    def _first_seen(self, label: Label, known: dict[str, str], value: str) -> str:
        if label.values:
            if value in label.values:
                known[value] = value
                return value
        else:
            short = value[:MAX_VALUE_LENGTH]
            if short in known or len(known) < label.bound:
                return known.setdefault(short, short)
        self._state.increment(OVERFLOW, (label.name,))
        return OTHER

    def admit_key(self, metric: Metric, key: Key) -> Key:
        """A whole key with each value admitted."""
        return tuple(self.admit(label, value) for label, value in zip(metric.labels, key, strict=True))

    def add(self, target: State, other: State) -> None:
        """Add ``other`` to ``target`` under these bounds."""
        for metric, key, cell in other.cells():
            self.add_cell(target, metric, key, cell)

    def add_cell(self, target: State, metric: Metric, key: Key, cell: Cell) -> None:
        """Add one series to ``target`` under these bounds."""
        target.add_cell(metric, self.admit_key(metric, key), cell)
