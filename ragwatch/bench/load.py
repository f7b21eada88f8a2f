"""What load is put on a target: phases of a rate or a number of users, each constant or rising."""

from __future__ import annotations

from dataclasses import dataclass

from ragwatch.bench.units import number, positive
from ragwatch.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Phase:
    """``seconds`` of load: ``rate`` questions a second (open loop) or ``users`` who each wait (closed).

    It goes from ``first`` to ``last`` in a line. ``is_counted`` is False for a warm-up.
    """

    first: float
    last: float
    seconds: float
    is_open: bool = True
    is_counted: bool = True

    @property
    def name(self) -> str:
        """The phase in a word: ``50/s``, ``10→100/s``, ``8 users``."""
        unit = "/s" if self.is_open else " users"
        middle = f"{self.first:.4g}" if self.first == self.last else f"{self.first:.4g}→{self.last:.4g}"
        return f"{middle}{unit}" if self.is_counted else f"warm-up {middle}{unit}"


def phases(text: str, seconds: float, *, is_open: bool, source: str) -> list[Phase]:
    """The phases that ``10,10..100,100`` writes, each ``seconds`` long; ``ConfigError`` for anything else.

    >>> [phase.name for phase in phases("10,10..100,100", 5, is_open=True, source="--rate")]
    ['10/s', '10→100/s', '100/s']
    >>> phases("0", 5, is_open=True, source="--rate")
    Traceback (most recent call last):
    ragwatch.errors.ConfigError: 0 (from --rate): must be above 0
    """
    found = []
    for part in text.split(","):
        low, ramp, high = part.partition("..")
        first = positive(low, source)
        last = positive(high, source) if ramp else first
        if not is_open and (first != int(first) or last != int(last)):
            raise ConfigError(part, "should be a whole number of users", source=source)
        found.append(Phase(first, last, seconds, is_open=is_open))
    return found


def warm_up(first: Phase, seconds: float) -> list[Phase]:
    """The phase before the first: its load, not counted; none for 0 seconds."""
    return [Phase(first.first, first.first, seconds, is_open=first.is_open, is_counted=False)] if seconds > 0 else []


@dataclass(frozen=True, slots=True)
class Think:
    """How long a user pauses between an answer and the next question: between ``low`` and ``high`` seconds, evenly."""

    low: float = 0.0
    high: float = 0.0

    def pause_s(self, uniform: float) -> float:
        """The pause for a draw from [0, 1)."""
        return self.low + (self.high - self.low) * uniform

    @classmethod
    def read(cls, text: str) -> Think:
        """What ``0.5s`` or ``200ms..1s`` writes.

        >>> Think.read("200ms..1s")
        Think(low=0.2, high=1.0)
        """
        low, _, high = text.partition("..")
        first = number(low, "--think")
        last = number(high, "--think") if high else first
        if first < 0 or last < first:
            raise ConfigError(text, "should read like 0.5s or 200ms..1s", source="--think")
        return cls(first, last)
