"""A RAG app behind a URL: the question goes out as JSON or in the address, the answer is found in what comes back."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3
from opentelemetry import propagate

from ragwatch.errors import ConfigError, RagwatchError
from ragwatch.target.answer import text_of
from ragwatch.target.target import Target

QUESTION = "{question}"
DEFAULT_BODY = '{"question": "{question}"}'
SHOWN = 120
MAX_BODY = 8 << 20
MAX_CHUNK = 1024


class UrlError(RagwatchError):
    """An answer that is none: ``status`` is HTTP's, or None where the body was at fault."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = self.status_code = status
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Mapped:
    """How a question becomes a request, and where in the JSON that comes back the answer and the documents are.

    ``body`` is JSON with ``{question}`` in a string; ``answer`` and ``documents`` are paths as ``data.0.text``, and
    the usual names are looked for where they are None.
    """

    url: str
    method: str | None = None
    body: str | None = None
    answer: str | None = None
    documents: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 30.0

    def request(self, question: str, options: Mapping[str, Any]) -> tuple[str, str, bytes | None]:
        r"""(method, URL, body) of a question.

        >>> Mapped("http://h/ask?q={question}").request("a b", {})
        ('GET', 'http://h/ask?q=a%20b', None)
        >>> Mapped("http://h/ask").request('say "hi"', {"top_k": 3})
        ('POST', 'http://h/ask', b'{"question": "say \\"hi\\"", "top_k": 3}')
        """
        url = self.url.replace(QUESTION, quote(question, safe=""))
        if self.body is None and (url != self.url or self.method == "GET"):
            return self.method or "GET", url, None
        filled = _filled(json.loads(self.body or DEFAULT_BODY), question)
        if options and isinstance(filled, dict):
            filled |= options
        return self.method or "POST", url, json.dumps(filled).encode()


def url_target(mapped: Mapped, connections: int = 256) -> Target:
    """The target behind a URL; ``ConfigError`` where the mapping cannot be used."""
    parts = urlsplit(mapped.url)
    try:
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        is_address = False
    if not is_address:
        raise ConfigError(mapped.url, "should read http://host:port/path", source="TARGET")
    if mapped.body is not None:
        try:
            json.loads(mapped.body)
        except ValueError as error:
            raise ConfigError("body", f"is no JSON ({error})", source="--body") from None
        if QUESTION not in mapped.body and QUESTION not in mapped.url:
            raise ConfigError("body", f"has no {QUESTION} in it: where does the question go?", source="--body")
    pool = urllib3.PoolManager(
        maxsize=connections,
        block=False,
        retries=False,
        timeout=urllib3.Timeout(connect=min(5.0, mapped.timeout_s), read=mapped.timeout_s),
    )

    def call(question: str, **options: Any) -> Generator[Any, None, Any]:
        return _call(pool, mapped, question, options)

    return Target(mapped.url, call, in_process=False, close=pool.clear)


def _call(
    pool: urllib3.PoolManager, mapped: Mapped, question: str, options: Mapping[str, Any]
) -> Generator[Any, None, Any]:
    """Chunks of the answer as they come; the JSON document, where it is one, is returned."""
    method, url, body = mapped.request(question, options)
    headers = {"Accept": "application/json, text/event-stream;q=0.9, text/plain;q=0.8", **mapped.headers}
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    if any(name.endswith("cache") for name in options):
        headers.setdefault("Cache-Control", "no-cache")
    propagate.inject(headers)
    answer = pool.request(method, url, body=body, headers=headers, preload_content=False)
    try:
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if answer.status >= 300:
            said = answer.read(SHOWN * 4).decode("utf-8", "replace")
            raise UrlError(f"HTTP {answer.status}: {' '.join(said.split())[:SHOWN]}".rstrip(": "), answer.status)
        if kind in {"text/html", "application/xhtml+xml"}:
            raise UrlError(f"{mapped.url} answers a web page (HTML), not JSON: name the address of the app's API")
        if kind in {"text/event-stream", "application/x-ndjson", "application/jsonl"}:
            yield from _events(_lines(answer), mapped)
            return None
        if kind == "text/plain":
            yield from (chunk.decode("utf-8", "replace") for chunk in _chunks(answer))
            return None
        return _read(answer.read(MAX_BODY), mapped)
    finally:
        answer.close()  # a connection that was read to the end is back in the pool by now


def _read(data: bytes, mapped: Mapped) -> Any:
    try:
        found = json.loads(data)
    except ValueError:
        start = " ".join(data[:SHOWN].decode("utf-8", "replace").split())
        raise UrlError(f"{mapped.url} answers no JSON: {start!r}") from None
    text = at(found, mapped.answer) if mapped.answer else text_of(found)
    if mapped.answer and text is None:
        raise UrlError(f"{mapped.url} answers JSON without {mapped.answer!r} (--answer): {_shape(found)}")
    if not mapped.answer and not text:
        raise UrlError(f"{mapped.url} answers JSON in which no answer is found: {_shape(found)}; name it with --answer")
    out: dict[str, Any] = {"answer": text if isinstance(text, str) else json.dumps(text)}
    if mapped.documents:
        out["documents"] = at(found, mapped.documents)
    elif isinstance(found, dict):
        out = {**found, **out}
    return out


def _events(lines: Iterator[str], mapped: Mapped) -> Iterator[Any]:
    for line in lines:
        text = line.removeprefix("data:").strip()
        if not text or text == "[DONE]" or line.startswith((":", "event:", "id:", "retry:")):
            continue
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict | list | str):  # a token of text, which may read as a number
            yield line.removeprefix("data:").removeprefix(" ")
            continue
        if mapped.answer and isinstance(found, dict):
            part = at(found, mapped.answer)
            yield {**found, "answer": part} if isinstance(part, str) else found
        else:
            yield found


def _chunks(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """What comes, as it comes, chunked or not."""
    if answer.chunked or answer.headers.get("content-encoding"):
        yield from answer.stream(amt=None if answer.chunked else MAX_CHUNK)
        return
    while chunk := answer.read1(MAX_CHUNK):
        yield chunk


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[str]:
    held = b""
    for chunk in _chunks(answer):
        *whole, held = (held + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace").rstrip("\r") for line in whole)
    if held:
        yield held.decode("utf-8", "replace")


def at(value: Any, path: str) -> Any:
    """What stands at a path; None where it leads nowhere.

    >>> at({"data": [{"text": "so"}]}, "data.0.text")
    'so'
    """
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.lstrip("-").isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _filled(value: Any, question: str) -> Any:
    if isinstance(value, str):
        return value.replace(QUESTION, question)
    if isinstance(value, dict):
        return {key: _filled(inner, question) for key, inner in value.items()}
    return [_filled(inner, question) for inner in value] if isinstance(value, list) else value


def _shape(value: Any) -> str:
    return f"it has {', '.join(map(repr, list(value)[:8]))}" if isinstance(value, dict) else f"a {type(value).__name__}"
