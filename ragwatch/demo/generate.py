"""Writing the answer: the best sentences of the documents, cited; or a chat server that speaks OpenAI's protocol.

A generator yields the answer in chunks as they come and returns its ``Usage`` (``usage = yield from …``).
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ragwatch.demo.rerank import body_of
from ragwatch.demo.text import query_words, sentences, stem, words

SENTENCES = 3
MAX_PROMPT_TEXT = 1500  # characters of each document that the model reads
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0  # between two chunks
NOTHING_FOUND = "No document answers this."
_INSTRUCTION = (
    "Answer the question from the documents below and from nothing else, in at most four sentences. "
    "Cite the id of a document in square brackets after what it says, like [shutil.copytree]. "
    "If the documents do not answer the question, say so."
)


_SIGNATURE = re.compile(r"^[\w.]+\s*\(.*\)(\s*->.*)?$")


class Usage(NamedTuple):
    """What an answer cost: the model that wrote it, and tokens; None where the server did not say."""

    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None


Answer = Generator[str, None, Usage]


class GenerationError(RuntimeError):
    """The server began an answer and then said that it failed."""


class Writer(Protocol):
    """What writes an answer from a question and hits."""

    model: str

    def write(self, question: str, docs: Sequence[Mapping[str, Any]]) -> Answer:
        """The answer in chunks."""


class Extractive:
    """The sentences that share most with the question, each cited. No model, no server; its tokens are words."""

    model = "extractive"

    def write(self, question: str, docs: Sequence[Mapping[str, Any]]) -> Answer:
        """One chunk a sentence; the document's order is kept."""
        wanted = {stem(word) for word in query_words(question)}
        read = len(words(question)) + sum(len(words(str(doc["text"]))) for doc in docs)
        found: list[tuple[float, int, int, str, str]] = []
        seen: set[str] = set()  # an alias has the text of what it names
        for rank, doc in enumerate(docs):
            for place, sentence in enumerate(sentences(body_of(str(doc["text"])))[:12]):
                if sentence in seen or _SIGNATURE.match(sentence):
                    continue
                seen.add(sentence)
                shared = len(wanted & {stem(word) for word in query_words(sentence)})
                # A better rank and an earlier sentence speak for a sentence: documentation says the main thing first.
                score = shared / (len(wanted) or 1) + 1 / (2 + rank) + 1 / (2 + place)
                found.append((-score, rank, place, sentence, str(doc["id"])))
        best = sorted(found)[:SENTENCES]
        if not best:
            yield NOTHING_FOUND
        written = 0
        for number, (_, _, _, sentence, key) in enumerate(sorted(best, key=lambda item: item[1:3])):
            yield f"{' ' if number else ''}{sentence} [{key}]"
            written += len(words(sentence))
        return Usage(self.model, read, written)


class ChatServer:
    """Any server with OpenAI's ``/chat/completions``, streamed by server-sent events.

    Errors of the connection and of the server are raised as ``httpx`` raises them.
    """

    def __init__(self, base_url: str, model: str, api_key: str | None = None) -> None:
        import httpx

        self.model = model
        self._client = httpx.Client(
            base_url=base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )

    def close(self) -> None:
        """Close the connections to the server."""
        self._client.close()

    def write(self, question: str, docs: Sequence[Mapping[str, Any]]) -> Answer:
        """One chunk each time the server sends text."""
        request = {
            "model": self.model,
            "messages": prompt(question, docs),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        model, counted = self.model, dict[str, Any]()
        with self._client.stream("POST", "chat/completions", json=request) as response:
            if response.is_error:
                response.read()  # so that the error carries the server's words
            response.raise_for_status()
            for event in events(response.iter_lines()):
                if event.get("error"):
                    raise GenerationError(str(event["error"]))
                model = event.get("model") or model
                counted = event.get("usage") or counted
                for choice in event.get("choices") or ():
                    if text := (choice.get("delta") or {}).get("content"):
                        yield text
        return Usage(model, counted.get("prompt_tokens"), counted.get("completion_tokens"))


def writer_from_environment(environment: Mapping[str, str] = os.environ) -> Extractive | ChatServer:
    """The chat server of ``OPENAI_BASE_URL`` (``OPENAI_MODEL``, ``OPENAI_API_KEY``), else the extractive writer."""
    base_url = environment.get("OPENAI_BASE_URL", "").strip()
    if not base_url:
        return Extractive()
    return ChatServer(base_url, environment.get("OPENAI_MODEL") or "default", environment.get("OPENAI_API_KEY"))


def prompt(question: str, docs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The messages that ask a chat model to answer from the documents."""
    texts = "\n\n".join(f"[{doc['id']}]\n{str(doc['text'])[:MAX_PROMPT_TEXT]}" for doc in docs)
    return [
        {"role": "system", "content": _INSTRUCTION},
        {"role": "user", "content": f"Documents:\n\n{texts}\n\nQuestion: {question}"},
    ]


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events, up to ``[DONE]`` (WHATWG HTML, section 9.2).

    >>> list(events(iter(['data: {"a": 1}', "", ": ping", "", "data: [DONE]", ""])))
    [{'a': 1}]
    """
    data: list[str] = []
    for line in itertools.chain(lines, ("",)):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            text, data = "\n".join(data), []
            if text == "[DONE]":
                return
            event = json.loads(text)
            if isinstance(event, dict):
                yield event
