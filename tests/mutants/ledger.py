"""Ledgers with one planted fault each: a test of the ledger that one of these passes is too weak."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ragwatch.processing.item import Item
from ragwatch.processing.ledger import Ledger, Row, Settled


class AttemptsAreNotCountedWhenLeased(Ledger):
    def write(self, settled: Iterable[Settled], leased: Iterable[tuple[Item, int]], now: float) -> None:
        super().write(settled, [(item, attempts - 1) for item, attempts in leased], now)


class ACrashIsForgotten(Ledger):
    def recover(self, max_attempts: int, now: float) -> None:
        self._db.execute("DELETE FROM document WHERE state = 'leased'")
        super().recover(max_attempts, now)


class AKillerIsLeasedForEver(Ledger):
    def recover(self, max_attempts: int, now: float) -> None:
        super().recover(max_attempts * 100, now)


class ANeighbourIsCondemned(Ledger):
    def recover(self, max_attempts: int, now: float) -> None:
        self._db.execute("UPDATE document SET suspect = 1 WHERE state = 'leased'")
        super().recover(max_attempts, now)


class TheUnluckyArePoison(Ledger):
    def poison(self, items: Sequence[Item]) -> dict[str, str]:
        rows = self._db.execute(
            "SELECT digest, source FROM document WHERE state = 'dead' AND version = ?", (self.version,)
        )
        return dict(rows.fetchall())


class ACrashCountsAsDone(Ledger):
    def recover(self, max_attempts: int, now: float) -> None:
        self._db.execute("UPDATE document SET state = 'ok' WHERE state = 'leased'")
        super().recover(max_attempts, now)


class TheLastNoteIsLost(Ledger):
    def write(self, settled: Iterable[Settled], leased: Iterable[tuple[Item, int]], now: float) -> None:
        super().write(list(settled)[1:], leased, now)


class ContentIsNotLookedAt(Ledger):
    def known(self, items: Sequence[Item]) -> dict[str, Row]:
        digests = {item.source: item.digest for item in items}
        return {
            name: row._replace(digest=digests[name]) if row.state == "ok" else row
            for name, row in super().known(items).items()
        }


class TheVersionIsNotLookedAt(Ledger):
    def known(self, items: Sequence[Item]) -> dict[str, Row]:
        return {name: row._replace(version=self.version) for name, row in super().known(items).items()}


class PoisonIsNotKnown(Ledger):
    def poison(self, items: Sequence[Item]) -> dict[str, str]:
        return {}


class TheDeadKeepTheirAttempts(Ledger):
    def revive(self) -> list[str]:
        held = self._db.execute("SELECT source, attempts FROM document").fetchall()
        found = super().revive()
        self._db.executemany("UPDATE document SET attempts = ? WHERE source = ?", [(n, name) for name, n in held])
        return found


MUTANTS = {
    kind.__name__: kind
    for kind in (
        AttemptsAreNotCountedWhenLeased,
        ACrashIsForgotten,
        AKillerIsLeasedForEver,
        ANeighbourIsCondemned,
        TheUnluckyArePoison,
        ACrashCountsAsDone,
        TheLastNoteIsLost,
        ContentIsNotLookedAt,
        TheVersionIsNotLookedAt,
        PoisonIsNotKnown,
        TheDeadKeepTheirAttempts,
    )
}
