"""A question and all that came of it; and the asker, who sees to it that ragwatch's record is at hand at once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

from ragwatch.record import Document, QueryRecord
from ragwatch.sdk.failure import class_of, message_of
from ragwatch.sdk.setup import metrics, running
from ragwatch.target.answer import Answer
from ragwatch.target.asking import ask, ask_async
from ragwatch.target.target import Target

KEPT_RECORDS = 100
"""Records of queries that the app makes on its own; the one that was asked for is taken at once."""


class Asked(NamedTuple):
    """What was asked, of which target and with which options; ``record`` is None where ragwatch is off."""

    target: str
    question: str
    options: Mapping[str, Any]
    answer: Answer
    record: QueryRecord | None

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents of the answer: of the last rerank or retrieval that says which, else what the app returned.

        Else those that its cache held with the answer.
        """
        steps = [] if self.record is None else self.record.steps
        found = [step for step in steps if step.step in {"retrieve", "rerank"} and step.documents is not None]
        if found:
            last = max(found, key=lambda step: (step.step == "rerank", step.start_ns))
            texts = {document.id: document.text for document in self.answer.documents or ()}
            return tuple(
                document if document.text is not None else document._replace(text=texts.get(document.id))
                for document in last.documents or ()
            )
        if self.answer.documents is not None:
            return self.answer.documents
        return next((step.documents for step in steps if step.step == "cache" and step.documents is not None), ())

    @property
    def shows_documents(self) -> bool:
        """Whether it is known which documents were found, be it none; an answer out of a cache may not say it."""
        steps = [] if self.record is None else self.record.steps
        return self.answer.documents is not None or any(step.documents is not None for step in steps)

    @property
    def cache(self) -> str | None:
        """hit, miss, or None where no cache was asked."""
        steps = [] if self.record is None else self.record.steps
        return next((step.cache_result for step in steps if step.cache_result and step.step == "cache"), None)

    @property
    def breakers(self) -> dict[str, str]:
        """The state of each breaker when the query last asked it."""
        if self.record is None:
            return {}
        found = dict(self.record.breakers)
        for step in self.record.steps:
            found |= step.breakers
        return found

    def total(self, name: str) -> float | None:
        """The sum of a figure over the steps (``input_tokens``, ``cost_usd``, …); None where no step knows it."""
        steps = [] if self.record is None else self.record.steps
        known = [value for step in steps if (value := getattr(step, name)) is not None]
        return sum(known) if known else None

    def seconds_by_step(self) -> dict[str, float]:
        """Seconds that each step owned of the query; they add up to it."""
        return {} if self.record is None else dict(self.record.critical_path)

    def to_dict(self) -> dict[str, Any]:
        """One JSON object: ``answer``, ``documents``, ``latency_s``, ``trace_id`` and what else is known."""
        error = self.answer.error
        steps = [] if self.record is None else self.record.steps
        return {
            "question": self.question,
            "answer": self.answer.text,
            "documents": [
                {key: value for key, value in document._asdict().items() if value is not None}
                for document in self.documents
            ],
            "latency_s": self.answer.seconds,
            "first_chunk_s": self.answer.first_s,
            "trace_id": self.answer.trace_id,
            "target": self.target,
            "options": dict(self.options),
            "cache": self.cache,
            "tokens": {"input": _whole(self.total("input_tokens")), "output": _whole(self.total("output_tokens"))},
            "cost_usd": self.total("cost_usd"),
            "attempts": {step.step: step.attempts for step in steps if step.attempts and step.attempts > 1},
            "breakers": self.breakers,
            "steps_s": self.seconds_by_step(),
            "error": None
            if error is None
            else {"class": class_of(error), "type": type(error).__name__, "message": message_of(error)},
        }


class Asker:
    """Asks targets, one question after the other, on the calling thread; use it in a ``with``."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, QueryRecord] = OrderedDict()
        self._runner: asyncio.Runner | None = None
        self.cancelled: QueryRecord | None = None
        """The query that Ctrl-C ended last, if it was the last that was asked and ragwatch saw it."""

    def ask(
        self,
        target: Target,
        question: str,
        options: Mapping[str, Any],
        on_text: Callable[[str], None] | None = None,
    ) -> Asked:
        """Ask; ``KeyboardInterrupt`` ends the query and is raised, ``cancelled`` has what was seen of it until then."""
        self._records.clear()  # else one of these might be taken for that of a query that is cancelled
        self.cancelled = None
        try:
            if target.is_async:
                if self._runner is None:
                    self._runner = asyncio.Runner()  # one event loop for all: clients are bound to theirs
                answer = self._runner.run(ask_async(target, question, options, on_text=on_text))
            else:
                answer = ask(target, question, options, on_text=on_text)
        except KeyboardInterrupt:
            self._drain()
            held = reversed(self._records.values())
            self.cancelled = next((record for record in held if record.outcome == "cancelled"), None)
            raise
        self._drain()
        record = self._records.pop(answer.trace_id, None) if answer.trace_id else None
        return Asked(target.name, question, dict(options), answer, record)

    def _drain(self) -> None:
        process = running()
        if process is not None:
            process[1].drain()

    def breakers(self) -> dict[str, str]:
        """The state of each breaker of the app in this process."""
        return {name: "/".join(states) for name, states in metrics().breaker_states.items()}

    def __enter__(self) -> Self:
        process = running()
        if process is not None:
            process[0].on_record = self._keep
        return self

    def __exit__(self, *_: object) -> None:
        process = running()
        if process is not None:
            process[0].on_record = None
        if self._runner is not None:
            self._runner.close()

    def _keep(self, record: QueryRecord) -> None:
        self._records[record.trace_id] = record
        while len(self._records) > KEPT_RECORDS:
            self._records.popitem(last=False)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
