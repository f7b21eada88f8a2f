"""Runs, crashes and changes of documents against a naive ledger: a dict, and rules written down a second time."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ragwatch import CircuitOpen, DocumentProcessor
from ragwatch.processing.item import identify
from ragwatch.processing.ledger import Ledger

MAX_ATTEMPTS = 3
MEMORY = Path("/dev/shm")
"""Where there is one: thousands of ledgers are opened and closed, and a disk would set the pace."""
NAMES = st.sampled_from(("a", "b", "c"))
BEHAVIOURS = ("ok", "bad", "away", "held")


@dataclass
class Known:
    """What the naive ledger knows of a document."""

    content: str
    version: str
    state: str
    attempts: int = 0
    last_error: str | None = None
    suspect: bool = False
    """A process died while it was in flight: the next run tries it alone."""
    poison: bool = False
    """It is dead of its content."""


class LedgerMachine(RuleBasedStateMachine):
    """One document at a time, so that the order is known; ``ledger_class`` is what is tested."""

    ledger_class: type[Ledger] = Ledger

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.path = Path(self.folder.name) / "l.db"
        self.content = dict.fromkeys(("ab", "c"), 0)
        self.version = "1"
        self.behaviour = dict.fromkeys("abc", "ok")
        self.model: dict[str, Known] = {}
        self.calls: Counter[str] = Counter()
        self.expected_calls: Counter[str] = Counter()

    def teardown(self) -> None:
        self.folder.cleanup()

    def document(self, name: str) -> dict[str, str]:
        group = _group(name)
        return {"id": name, "text": f"{group}-{self.content[group]}"}

    # -- what may happen ----------------------------------------------------------------------------------------------

    @rule(name=NAMES)
    def change(self, name: str) -> None:
        self.content[_group(name)] += 1

    @rule()
    def new_version(self) -> None:
        self.version = str(int(self.version) + 1)

    @rule(name=NAMES)
    def crash(self, name: str) -> None:
        """A run leased the document and was killed before it ended."""
        held = self.model.get(name)
        text = self.document(name)["text"]
        if self._settled_without_a_call(held, text) is not None:
            return
        attempts = held.attempts if held is not None and self._same(held, text) else 0
        last = held.last_error if held is not None and self._same(held, text) else None
        ledger = self.ledger_class(self.path, version=self.version)
        ledger.recover(MAX_ATTEMPTS, time.time())
        self._model_recovers()
        ledger.write((), [(identify(self.document(name)), attempts + 1)], time.time())
        ledger.close()
        suspect = held is not None and self._same(held, text) and held.suspect
        self.model[name] = Known(text, self.version, "leased", attempts + 1, last, suspect)

    @rule(name=NAMES, behaviour=st.sampled_from(BEHAVIOURS), times=st.integers(1, 3))
    def run_alone(self, name: str, behaviour: str, times: int) -> None:
        self.behaviour[name] = behaviour
        for _ in range(times):
            self.run([name])

    @rule(name=NAMES, new=st.sampled_from(("content", "version", "nothing")))
    def run_and_run_again(self, name: str, new: str) -> None:
        self.behaviour[name] = "ok"
        self.run([name])
        if new == "content":
            self.change(name)
        elif new == "version":
            self.new_version()
        self.run([name])

    @rule(name=NAMES, attempts=st.integers(0, MAX_ATTEMPTS - 1), crashes=st.integers(1, 2))
    def run_and_crash(self, name: str, attempts: int, crashes: int) -> None:
        self.behaviour[name] = "away"
        for _ in range(attempts):
            self.run([name])
        for _ in range(crashes):
            self.crash(name)
        self.run([name])

    @rule(behaviour=st.sampled_from(("bad", "away")))
    def run_to_death_then_its_twin(self, behaviour: str) -> None:
        self.behaviour["a"] = behaviour
        for _ in range(MAX_ATTEMPTS):
            self.run(["a"])
        self.run(["b"])

    @rule(names=st.lists(NAMES, min_size=1, max_size=5))
    def run(self, names: list[str]) -> None:
        self._model_recovers()
        expected: list[tuple[str, str]] = []
        for name in names:
            again = (name, "failed") in expected
            expected.append((name, "unchanged" if again else self._model_runs(name)))
        found = [(item.source, item.outcome) for item in self._processor().iter(map(self.document, names))]
        assert found == expected

    @rule()
    def revive(self) -> None:
        ledger = self.ledger_class(self.path, version=self.version)
        sources = ledger.revive()
        ledger.close()
        revived = {name for name, held in self.model.items() if held.state in {"dead", "failed", "deferred"}}
        assert set(sources) == revived
        for name in revived:
            held = self.model[name]
            held.state, held.attempts, held.last_error, held.poison = "failed", 0, None, False

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        rows = []
        if self.path.exists():
            with closing(sqlite3.connect(self.path)) as db:
                rows = db.execute("SELECT source, state, attempts, suspect FROM document").fetchall()
        assert {name: (state, attempts, bool(suspect)) for name, state, attempts, suspect in rows} == {
            name: (held.state, held.attempts, held.suspect) for name, held in self.model.items()
        }
        assert self.calls == self.expected_calls

    # -- the rules once more ------------------------------------------------------------------------------------------

    def _same(self, held: Known, text: str) -> bool:
        return (held.content, held.version) == (text, self.version)

    def _settled_without_a_call(self, held: Known | None, text: str) -> str | None:
        if held is not None and self._same(held, text):
            return {"ok": "unchanged", "dead": "dead"}.get(held.state)
        dead = (other for other in self.model.values() if other.state == "dead" and other.poison)
        return "poison" if any(self._same(other, text) for other in dead) else None

    def _model_recovers(self) -> None:
        for held in self.model.values():
            if held.state == "leased" and held.suspect and held.attempts >= MAX_ATTEMPTS:
                held.state, held.poison = "dead", True
            elif held.state == "leased":
                held.state, held.suspect, held.attempts = "failed", True, min(held.attempts, MAX_ATTEMPTS - 1)

    def _model_runs(self, name: str) -> str:
        text = self.document(name)["text"]
        held = self.model.get(name)
        settled = self._settled_without_a_call(held, text)
        if settled == "poison":
            self.model[name] = Known(text, self.version, "dead")
            return "dead"
        if settled is not None:
            return settled
        if held is None or not self._same(held, text):
            held = self.model[name] = Known(text, self.version, "")
        self.expected_calls[name] += 1
        held.suspect = False
        behaviour = self.behaviour[name]
        if behaviour == "ok":
            held.state, held.attempts, held.last_error = "ok", held.attempts + 1, None
            return "ok"
        if behaviour == "held":
            held.state, held.last_error = "deferred", None
            return "deferred"
        held.attempts += 1
        twice = behaviour == held.last_error == "bad"
        held.state = "dead" if twice or held.attempts >= MAX_ATTEMPTS else "failed"
        held.poison = held.state == "dead" and twice
        held.last_error = behaviour
        return held.state

    def _processor(self) -> DocumentProcessor:
        machine = self

        class Processor(DocumentProcessor):
            def _open(self) -> Ledger:
                return machine.ledger_class(machine.path, pipeline=self.pipeline, version=self.version)

        return Processor(
            self._parse,
            version=self.version,
            workers=1,
            max_in_flight=1,
            breaker=None,
            breaker_wait=0.0,
            retry=None,
            max_attempts=MAX_ATTEMPTS,
        )

    def _parse(self, document: dict[str, Any]) -> None:
        name = document["id"]
        self.calls[name] += 1
        behaviour = self.behaviour[name]
        if behaviour == "bad":
            raise ValueError(name)
        if behaviour == "away":
            raise ConnectionError(name)
        if behaviour == "held":
            raise CircuitOpen("vector-db", retry_after_s=0.0)


def _group(name: str) -> str:
    """a and b hold the same content, so that one's poison is the other's."""
    return "ab" if name in "ab" else name
