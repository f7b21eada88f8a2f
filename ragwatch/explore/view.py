"""What an answer looks like in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ragwatch.explore.asked import Asked
from ragwatch.explore.difference import Difference
from ragwatch.record import Document, QueryRecord, Step

Draw = Callable[[QueryRecord, int], list[str]]
Seconds = Callable[[float], str]
ID_WIDTH = 36
NOT_SEEN = "its steps are not seen in this process"
NO_STEPS = "no step was seen: ragwatch.retrieve, ragwatch.generate, … in the app show where its time goes"
NO_TEXT = "no text is kept: RAGWATCH_CONTENT=full shows it"
NO_TEXT_CAME = "the app gave no text with them; of other libraries' spans none is read"


class Line(NamedTuple):
    """A line with its style, as rich names them."""

    text: str
    style: str = ""


def welcome(target: str) -> list[Line]:
    """What stands above the first prompt."""
    return [Line(f"{target}: ask it something. /help lists commands, Ctrl-C cancels a query, Ctrl-D leaves.", "dim")]


class View:
    """Draws; ``draw`` makes the waterfall of a record, ``seconds`` a duration to read.

    ``no_text`` says why documents have no text, where none has any.
    """

    def __init__(self, draw: Draw, seconds: Seconds, width: int = 100, no_text: str = NO_TEXT) -> None:
        self._draw, self._seconds, self.width, self._no_text = draw, seconds, width, no_text

    def asked(self, asked: Asked, breakers: Mapping[str, str]) -> Iterator[Line]:
        """What stands below an answer: error, steps, documents, totals, trace id; ``breakers`` are those of now."""
        error = asked.answer.error
        if error is not None:
            yield Line(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", "red")
        if asked.record is not None:
            yield from self._waterfall(asked.record)
        yield from self.documents(asked)
        facts = list(self._facts(asked))
        said = asked.breakers
        facts += [f"breaker {name} is {state} now" for name, state in breakers.items() if said.get(name) != state]
        if facts:
            yield Line(", ".join(facts), "dim")
        if asked.answer.trace_id:
            yield Line(f"trace {asked.answer.trace_id}", "dim")

    def cancelled(self, record: QueryRecord | None) -> Iterator[Line]:
        """How far a query came that was cancelled, and in which step it was."""
        return iter(()) if record is None else self._waterfall(record)

    def _waterfall(self, record: QueryRecord) -> Iterator[Line]:
        for number, line in enumerate(self._draw(record._replace(steps=_bare(record)), self.width)):
            yield Line(line, "bold" if number == 0 else "cyan" if line.startswith("critical path") else "")

    def documents(self, asked: Asked) -> Iterator[Line]:
        """Rank, score, id and a passage of each document."""
        documents = asked.documents
        if not documents:
            return
        for document in documents:
            yield Line(self._document(document))
        if not any(document.text for document in documents):
            yield Line(f"     ({self._no_text})", "dim")

    def whole(self, document: Document) -> Iterator[Line]:
        """A document's whole text."""
        yield Line(self._document(document._replace(text=None)), "bold")
        yield Line(document.text or self._no_text, "" if document.text else "dim")

    def difference(self, found: Difference, before: str, after: str) -> Iterator[Line]:
        """What two answers differ in."""
        first, second = (self._seconds(value) for value in found.seconds)
        yield Line(f"{before} → {after}: {first} → {second}", "bold")
        for key, rank in found.gained:
            yield Line(f"  + {rank:>2}. {key}", "green")
        for key, rank in found.lost:
            yield Line(f"  - {rank:>2}. {key}", "red")
        for move in found.moved:
            yield Line(f"    {move.before:>2}. → {move.after}. {move.id}", "yellow")
        if found.unseen:
            yield Line("  documents that one of them does not show cannot be compared", "dim")
        elif not (found.gained or found.lost or found.moved):
            yield Line("  the same documents in the same order")
        for step, was, now in found.steps:
            yield Line(f"  {'own time' if step == 'query' else step:<10} {self._time(was)} → {self._time(now)}")
        if found.cache[0] != found.cache[1]:
            yield Line(f"  cache      {found.cache[0] or 'not asked'} → {found.cache[1] or 'not asked'}")
        yield Line("  the same answer" if found.same_answer else "  another answer")

    def _time(self, seconds: float) -> str:
        return self._seconds(seconds) if seconds else "–"

    def _facts(self, asked: Asked) -> Iterator[str]:
        if asked.cache:
            yield f"cache {asked.cache}"
        known = [
            f"{int(value)} {name}"
            for name, value in (("in", asked.total("input_tokens")), ("out", asked.total("output_tokens")))
            if value is not None
        ]
        if known:
            yield f"tokens {' / '.join(known)}"
        cost = asked.total("cost_usd")
        if cost is not None:
            yield f"cost ${cost:.4f}"
        for step in asked.record.steps if asked.record else ():
            if step.attempts and step.attempts > 1:
                yield f"{step.step} {step.attempts} attempts"
        if asked.answer.first_s is not None:
            yield f"first chunk {self._seconds(asked.answer.first_s)}"
        if asked.record is None or not asked.record.steps:
            why = NOT_SEEN if "://" in asked.target else NO_STEPS
            yield why if asked.record else f"{self._seconds(asked.answer.seconds)}, {why}"

    def _document(self, document: Document) -> str:
        number = document.score if document.score is not None else document.distance
        score = "      –" if number is None else f"{number:>7.3f}"
        name = document.id or "(no id)"
        head = f"{document.rank:>3}. {score}  {name:<{ID_WIDTH}}"
        room = self.width - len(head) - 2
        text = " ".join((document.text or "").split())
        if not text or room < 10:
            return head.rstrip()
        return f"{head}  {text if len(text) <= room else text[: room - 1] + '…'}"


def _bare(record: QueryRecord) -> tuple[Step, ...]:
    """The steps without their documents: those of the answer are listed below."""
    return tuple(step._replace(documents=None) for step in record.steps)
