"""What one breaker has counted: calls by result, transitions, seconds open, and its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ragwatch.resilience.events import BreakerState
from ragwatch.resilience.tallies import Series

RESULTS = ("ok", "failure", "slow", "ignored", "rejected", "late")
_OPEN = frozenset({"open", "forced_open"})


class BreakerTally:
    """Counters that the breaker adds to under its own lock."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.state: BreakerState = "closed"
        self.shared: bool | None = None
        """Whether its store answers; None without a store."""
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Begin again at zero; the state stays."""
        self.ok = self.failure = self.slow = self.ignored = self.rejected = self.late = 0
        self.transitions: Counter[tuple[str, str]] = Counter()
        self._open_s = 0.0
        self._open_since = self._clock() if self.state in _OPEN else None

    def went(self, before: BreakerState, after: BreakerState) -> None:
        """A transition."""
        self.transitions[before, after] += 1
        self.state = after
        if after in _OPEN:
            if self._open_since is None:
                self._open_since = self._clock()
        elif self._open_since is not None:
            self._open_s += max(0.0, self._clock() - self._open_since)
            self._open_since = None

    @property
    def open_s(self) -> float:
        """Seconds that the breaker was open or forced open, this time included."""
        since = self._open_since
        return self._open_s + (max(0.0, self._clock() - since) if since is not None else 0.0)

    def totals(self) -> dict[Series, float]:
        """Counters of the catalogue; a breaker that was never called shows a zero: its rate is then 0, not absent."""
        found: dict[Series, float] = {
            ("rag.breaker.calls", (self.name, result)): count
            for result in RESULTS
            if (count := getattr(self, result)) or result in {"ok", "rejected"}
        }
        for (before, after), count in self.transitions.copy().items():
            found["rag.breaker.transitions", (self.name, before, after)] = count
        found["rag.breaker.open_time", (self.name,)] = self.open_s
        return found

    def levels(self) -> dict[Series, float]:
        """The state as a one, and whether it is shared."""
        found: dict[Series, float] = {("rag.breaker.state", (self.name, self.state)): 1.0}
        if self.shared is not None:
            found["rag.breaker.shared", (self.name,)] = float(self.shared)
        return found
