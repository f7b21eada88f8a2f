"""What came of one question: text as it streams, documents, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from ragwatch.record import Document
from ragwatch.sdk.documents import to_documents
from ragwatch.sdk.results import answer_of

_DOCUMENTS = ("documents", "source_documents", "sources", "contexts", "context", "docs", "source_nodes", "chunks")
_DELTAS = ("delta", "token", "chunk")


class Answer:
    """Fed chunk by chunk; ``text`` and ``documents`` are what they add up to.

    ``first_s`` is the time to the first text of a stream, ``seconds`` that to the end; ``error`` is what was raised.

    >>> answer = Answer()
    >>> answer.add("It is "), answer.add({"answer": "so.", "documents": ["a", "b"]})
    ('It is ', 'so.')
    >>> answer.text, [document.id for document in answer.documents]
    ('It is so.', ['a', 'b'])
    """

    __slots__ = (
        "_clock",
        "_on_text",
        "_parts",
        "begun",
        "documents",
        "error",
        "first_s",
        "seconds",
        "trace_id",
        "value",
    )

    def __init__(self, on_text: Callable[[str], None] | None = None, clock: Callable[[], float] = perf_counter) -> None:
        self._on_text = on_text
        self._clock = clock
        self._parts: list[str] = []
        self.begun = clock()
        self.first_s: float | None = None
        self.seconds = 0.0
        self.trace_id: str | None = None
        self.documents: tuple[Document, ...] | None = None
        self.error: BaseException | None = None
        self.value: Any = None

    @property
    def text(self) -> str:
        """The whole answer so far."""
        return "".join(self._parts)

    def add(self, chunk: Any) -> str:
        """Take a chunk: its text is returned."""
        text = text_of(chunk)
        self._read_documents(chunk)
        if text:
            if self.first_s is None:
                self.first_s = self._clock() - self.begun
            self._parts.append(text)
            if self._on_text is not None:
                self._on_text(text)
        return text

    def whole(self, value: Any) -> None:
        """Take what was returned: the whole answer, or, after chunks, what else there is to say."""
        self.value = value
        streamed = bool(self._parts)
        if streamed:
            self._read_documents(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], str):  # (answer, documents)
            self.add(value[0])
            if len(value) > 1 and isinstance(value[1], list | tuple):
                self.documents = to_documents(value[1], keep_text=_kept)
        else:
            self.add(value)
        if not streamed:
            self.first_s = None  # nothing came before the whole

    def ended(self) -> None:
        """The call is over."""
        self.seconds = self._clock() - self.begun

    def _read_documents(self, value: Any) -> None:
        if value is None or isinstance(value, str | bytes | int | float):
            return
        for name in _DOCUMENTS:
            found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
            if isinstance(found, list | tuple):
                self.documents = to_documents(found, keep_text=_kept)
                return


def text_of(value: Any) -> str:
    """The text in whatever an app hands out: a string, a mapping or object with an answer, a delta of a stream.

    >>> text_of({"delta": "so"}), text_of({"choices": [{"delta": {"content": "it"}}]}), text_of(None)
    ('so', 'it', '')
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    found = answer_of(value)
    if found is not None:
        return found
    if isinstance(value, Mapping):
        choices = value.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
            return text_of(choices[0].get("delta") or choices[0].get("text"))
        for name in _DELTAS:
            if value.get(name) is not None:
                return text_of(value[name])
        return ""
    return "" if isinstance(value, list | tuple) else str(value) if isinstance(value, int | float) else ""


def _kept(text: str | None) -> str | None:
    """What the app itself hands to its caller may be shown to that caller."""
    return text
