"""The people who read the answers: each says whether it was of use, a little later, as people do."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from time import monotonic

import ragwatch

DELAY_S = 2.0  # longer than a query takes to reach the agent, which says from the query whether a cache answered


def cites(answer: str, relevant: Collection[str]) -> bool:
    """Whether an answer is right: it cites a document that is known to answer the question.

    >>> cites("Recursively copy a tree. [shutil.copytree]", {"shutil.copytree"})
    True
    """
    return any(f"[{key}]" in answer for key in relevant)


class People:
    """Judges answers after ``delay_s`` seconds, with ``ragwatch.feedback``. Safe for threads."""

    def __init__(self, delay_s: float = DELAY_S, clock: Callable[[], float] = monotonic) -> None:
        self._delay_s = delay_s
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[tuple[float, str, bool]] = deque()
        self.judged = 0

    def read(self, trace_id: str | None, good: bool) -> None:
        """Somebody has read the answer of that query; without telemetry there is nobody to tell."""
        if trace_id is not None:
            with self._lock:
                self._waiting.append((self._clock() + self._delay_s, trace_id, good))

    def speak(self, *, all_of_them: bool = False) -> None:
        """Say what is due, or everything."""
        while True:
            with self._lock:
                if not self._waiting or not (all_of_them or self._waiting[0][0] <= self._clock()):
                    return
                _, trace_id, good = self._waiting.popleft()
                self.judged += 1
            ragwatch.feedback(trace_id, good)
