"""One breaker in many processes: what they tell each other through a store, and what each decides alone.

Every process decides by itself, from its own calls and its own clock. Only transitions go to the store, each as one
compare-and-set on the epoch that the process knew: who comes second takes over what the first one wrote. A call waits
for the store in two cases only, both off the closed path: may this open breaker go half open, and is a permit left in
this half-open epoch. While the store does not answer (``SharedAway``) the local breaker goes on by itself; when it
answers again the two are brought together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ragwatch.resilience.breaker_policy import BreakerPolicy
from ragwatch.resilience.breaker_tally import BreakerTally
from ragwatch.resilience.events import BreakerState, Listener, Sharing, tell

Counter = Literal["permits", "successes"]


class SharedAway(Exception):
    """The store did not answer; the local breaker goes on."""


@dataclass(frozen=True, slots=True)
class SharedView:
    """What the store holds of a breaker; ``left_s`` is what is left of its time in this state, by the store's clock."""

    epoch: int
    state: BreakerState
    left_s: float
    reopened: int


@dataclass(frozen=True, slots=True)
class Change:
    """A transition that a process wants, from the epoch that it knows.

    ``due`` has the store refuse it while the time of the present state is not over; ``by_hand`` wins in any case.
    """

    name: str
    expected: int
    state: BreakerState
    for_s: float
    reopened: int
    due: bool = False
    by_hand: bool = False


class SharedState(Protocol):
    """A store that processes share. ``change`` and ``count`` take a fraction of a second at most, or ``SharedAway``.

    The store's epochs only grow, also over a loss of its data: a new one is above what was expected.
    """

    def change(self, change: Change) -> tuple[bool, SharedView]:
        """Compare and set: whether the change was made, and what the store holds now."""

    def count(self, name: str, epoch: int, what: Counter, by: int, most: int, ttl_s: float) -> int:
        """Add to a counter of this epoch: its sum, or -1 where the epoch is over or the sum would be above ``most``."""

    def join(self, member: Member) -> None:
        """From now on call ``member.exchange`` at every refresh, on a thread of the store's own."""

    def wake(self) -> None:
        """Refresh soon: a member has something to tell."""

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Do work that waits for the store on a thread of the store's own."""


class Member(Protocol):
    """A breaker of this process as its store sees it."""

    name: str
    known: int

    def exchange(self, view: SharedView | None, known: int) -> None:
        """Take what the store holds (None: nothing) and tell what is new here; ``known`` is as before the reading."""

    def away(self, reason: str) -> None:
        """The store did not answer."""


class Shares:
    """The part of ``CircuitBreaker`` that speaks with a store; idle where there is none."""

    name: str
    policy: BreakerPolicy
    tally: BreakerTally
    listeners: tuple[Listener, ...]
    clock: Callable[[], float]
    release: Callable[[Any], None]
    _lock: threading.Lock
    _epoch: int
    _until: float
    _reopened: int
    _permits: int
    _admit: Callable[..., Any]
    _go: Callable[..., None]

    def _share(self, store: SharedState | None) -> None:
        self._store = store
        self.known = 0
        """The store's epoch that this breaker last agreed with."""
        self._untold: Literal["", "changed", "by hand"] = ""
        """Whether this breaker went on since, and how."""
        self._refused = False
        """Whether the store had no permit for this process since the last refresh."""
        self._asking = False
        self._unsent: dict[Counter, int] = {"permits": 0, "successes": 0}
        self._alone: str | None = ""
        """Why this breaker decides alone; None while the store answers."""
        if store is not None:
            self.tally.shared = False
            store.join(self)

    @property
    def shared(self) -> bool:
        """Whether this breaker and its store are in touch; False as well where it has none."""
        return self._store is not None and self._alone is None

    # -- on the way of a call; not under the lock ---------------------------------------------------------------------

    def _ask(self, now: float, happened: list[Any]) -> Any:
        """A ticket or None, from the store where only the store can tell."""
        store = self._store
        if store is not None and self._alone is None:
            wanted = self._wants_half_open(now)
            if wanted is not None:
                self._change_now(store, wanted, happened)
                now = self.clock()
        with self._lock:
            if self._refused and self.shared and self.tally.state == "half_open" and now < self._until:
                return None
            ticket = self._admit(now, happened)
            if ticket is None or store is None or self._alone is not None or self.tally.state != "half_open":
                return ticket
            known = self.known
        try:
            number = store.count(self.name, known, "permits", 1, self.policy.half_open_permits, self._counters_live_s)
        except SharedAway as error:
            self._lost(str(error), happened)
            return ticket
        if number >= 0:
            return ticket
        with self._lock:
            if ticket[0] == self._epoch:
                self._permits += 1
                self._refused = True
                if now >= self._until:
                    self._permits = 0  # other processes have the permits, and did not come back in time
                    self._admit(now, happened)
        return None

    async def _ask_async(self, now: float, happened: list[Any]) -> Any:
        """The same; what waits for the store waits on a thread of the store's."""
        store = self._store
        if store is None or self._alone is not None:
            return self._ask(now, happened)
        import asyncio

        asked = store.submit(lambda: self._ask(now, happened))
        try:
            return await asyncio.shield(asyncio.wrap_future(asked))
        except asyncio.CancelledError:
            asked.add_done_callback(self._unclaimed)
            raise

    def _unclaimed(self, asked: Future[Any]) -> None:
        """The caller was cancelled while the store was asked."""
        if not asked.cancelled() and asked.exception() is None and asked.result() is not None:
            self.release(asked.result())

    def _wants_half_open(self, now: float) -> Change | None:
        with self._lock:
            if self.tally.state != "open" or now < self._until or self._asking:
                return None
            self._asking = True
            return Change(self.name, self.known, "half_open", self.policy.half_open_timeout, self._reopened, due=True)

    def _change_now(self, store: SharedState, wanted: Change, happened: list[Any]) -> None:
        try:
            made, view = store.change(wanted)
        except SharedAway as error:
            self._lost(str(error), happened)
        else:
            with self._lock:
                if view.epoch == self.known:  # not yet, by the store's clock
                    self._until = self.clock() + view.left_s
                self._adopt(view, happened, "the reset timeout is over" if made else "another process")
        finally:
            self._asking = False

    # -- under the lock -----------------------------------------------------------------------------------------------

    def _went(self) -> None:
        """A new epoch began."""
        self._untold = self._untold or "changed"
        self._refused = False
        self._unsent["permits"] = self._unsent["successes"] = 0

    def _adopt(self, view: SharedView, happened: list[Any], reason: str) -> None:
        """Go where the store is, if that is news."""
        if view.epoch <= self.known:
            return
        self.known, self._reopened = view.epoch, view.reopened
        self._go(view.state, reason, happened, view.left_s if view.state == "open" else None)
        self._until = self.clock() + view.left_s
        self._untold = ""

    # -- on the store's thread ----------------------------------------------------------------------------------------

    def exchange(self, view: SharedView | None, known: int) -> None:
        """Bring this breaker and what the store holds together."""
        happened: list[Any] = []
        try:
            self._exchange(view, known, happened)
        except SharedAway as error:
            self._lost(str(error), happened)
        tell(self.listeners, *happened)

    def away(self, reason: str) -> None:
        """The store did not answer."""
        happened: list[Any] = []
        self._lost(reason, happened)
        tell(self.listeners, *happened)

    def _exchange(self, view: SharedView | None, known: int, happened: list[Any]) -> None:
        store = self._store
        if store is None:
            return
        with self._lock:
            self._refused = False
            has_less = view is None or view.epoch < known  # it lost what it had, or never had anything
            wanted, asked_in = None, self._epoch
            if self._untold or (has_less and self.tally.state != "closed"):
                wanted = self._as_change()
            elif view is not None:
                self._adopt(view, happened, "another process")
            unsent, self._unsent = self._unsent, {"permits": 0, "successes": 0}
            known = self.known
        if wanted is not None:
            self._told(wanted, asked_in, *store.change(wanted), happened)
        else:
            self._send_counts(store, known, unsent, happened)
        with self._lock:
            back, self._alone, self.tally.shared = self._alone is not None, None, True
        if back:
            happened.append(Sharing(self.name, joined=True, reason="the store answers"))

    def _as_change(self) -> Change:
        """The change that tells the store where this breaker is."""
        state = self.tally.state
        for_s = {
            "open": max(0.0, self._until - self.clock()),
            "half_open": self.policy.half_open_timeout,
        }.get(state, 0.0)
        return Change(self.name, self.known, state, for_s, self._reopened, by_hand=self._untold == "by hand")

    def _told(self, wanted: Change, asked_in: int, made: bool, view: SharedView, happened: list[Any]) -> None:
        """Take the store's answer to what this breaker told."""
        with self._lock:
            moved_on = self._epoch != asked_in
            if not made and not (moved_on and self._untold == "by hand"):
                self._adopt(view, happened, "another process")
            elif made and wanted.state == "half_open" and not moved_on:
                self._adopt(view, happened, "shared again")  # probes from before are none of the new epoch's
            else:
                self.known = max(self.known, view.epoch)
                if not moved_on:
                    self._untold = ""

    def _send_counts(self, store: SharedState, known: int, unsent: dict[Counter, int], happened: list[Any]) -> None:
        """Give back the permits of cancelled probes; probes of several processes close a breaker together."""
        ttl_s = self._counters_live_s
        if unsent["permits"]:
            store.count(self.name, known, "permits", -unsent["permits"], self.policy.half_open_permits, ttl_s)
            self._refused = False
        if not unsent["successes"]:
            return
        total = store.count(self.name, known, "successes", unsent["successes"], 1 << 30, ttl_s)
        if total >= self.policy.success_threshold:
            made, view = store.change(Change(self.name, known, "closed", 0.0, 0))
            with self._lock:
                self._adopt(view, happened, f"{total} probes succeeded" if made else "another process")

    @property
    def _counters_live_s(self) -> float:
        return 60.0 + 2 * self.policy.half_open_timeout

    def _lost(self, reason: str, happened: list[Any]) -> None:
        """The store does not answer: go on alone, and say so once."""
        with self._lock:
            before, self._alone, self.tally.shared = self._alone, reason, False
        if not before:
            happened.append(Sharing(self.name, joined=False, reason=reason))
