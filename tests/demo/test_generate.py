"""The writers; the chat server is a real HTTP server on the loopback that speaks server-sent events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from ragwatch.demo.generate import (
    ChatServer,
    Extractive,
    GenerationError,
    Usage,
    writer_from_environment,
)

DOCS = [
    {"id": "shutil.copytree", "text": "copytree(src, dst)\n\nRecursively copy a directory tree. Symlinks are kept."},
    {"id": "shutil.move", "text": "move(src, dst)\n\nMove a file."},
]


class Server(ThreadingHTTPServer):
    """Sends what it is told to, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        self.status = 200
        self.lines: list[str] = []
        self.length: int | None = None
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/event-stream")
        if self.server.length is not None:
            self.send_header("Content-Length", str(self.server.length))
        self.end_headers()
        for line in self.server.lines:
            self.wfile.write(f"{line}\n".encode())
            self.wfile.flush()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def chat(server: Server) -> Iterator[ChatServer]:
    writer = ChatServer(server.url, "tiny", "key")
    yield writer
    writer.close()


def read(stream: Any) -> tuple[list[str], Usage]:
    chunks = []
    while True:
        try:
            chunks.append(next(stream))
        except StopIteration as end:
            return chunks, end.value


def delta(text: str) -> str:
    return "data: " + json.dumps({"model": "tiny-1", "choices": [{"delta": {"content": text}}]})


def test_chunks_come_as_the_server_sends_them_with_usage_at_the_end(server: Server, chat: ChatServer) -> None:
    usage = {"model": "tiny-1", "choices": [], "usage": {"prompt_tokens": 31, "completion_tokens": 2}}
    first = 'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}'
    server.lines = [first, "", ": ping", "", delta("Use "), "", delta("it."), "", f"data: {json.dumps(usage)}", ""]
    server.lines += ["data: [DONE]", ""]
    chunks, cost = read(chat.write("how to copy?", DOCS))
    assert chunks == ["Use ", "it."]
    assert cost == Usage("tiny-1", 31, 2)
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer key"
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["model"] == "tiny"
    assert "[shutil.copytree]" in body["messages"][1]["content"]


def test_usage_is_unknown_where_the_server_does_not_say(server: Server, chat: ChatServer) -> None:
    server.lines = [delta("Yes."), "", "data: [DONE]", ""]
    assert read(chat.write("q", DOCS)) == (["Yes."], Usage("tiny-1", None, None))


def test_an_error_of_the_server_is_raised_with_its_words(server: Server, chat: ChatServer) -> None:
    server.status, server.lines = 429, ['{"error": {"message": "slow down"}}']
    with pytest.raises(httpx.HTTPStatusError) as caught:
        read(chat.write("q", DOCS))
    assert caught.value.response.status_code == 429
    assert "slow down" in caught.value.response.text


def test_an_error_within_the_stream_is_raised(server: Server, chat: ChatServer) -> None:
    server.lines = [delta("Half"), "", 'data: {"error": {"message": "overloaded"}}', ""]
    stream = chat.write("q", DOCS)
    assert next(stream) == "Half"
    with pytest.raises(GenerationError, match="overloaded"):
        next(stream)


def test_a_stream_that_breaks_off_is_raised(server: Server, chat: ChatServer) -> None:
    server.length, server.lines = 10_000, [delta("Half"), ""]
    with pytest.raises(httpx.RemoteProtocolError):
        read(chat.write("q", DOCS))


def test_a_server_that_is_down_is_raised(server: Server) -> None:
    writer = ChatServer("http://127.0.0.1:1/v1", "tiny")
    with pytest.raises(httpx.ConnectError):
        read(writer.write("q", DOCS))
    writer.close()


def test_the_environment_chooses_the_writer(server: Server) -> None:
    assert isinstance(writer_from_environment({}), Extractive)
    assert isinstance(writer_from_environment({"OPENAI_BASE_URL": " "}), Extractive)
    server.lines = [delta("Hello."), "", "data: [DONE]", ""]
    writer = writer_from_environment({"OPENAI_BASE_URL": server.url + "/", "OPENAI_MODEL": "m"})
    assert isinstance(writer, ChatServer)
    assert read(writer.write("q", DOCS))[0] == ["Hello."]
    path, headers, body = server.requests[0]
    assert (path, body["model"], "Authorization" in headers) == ("/v1/chat/completions", "m", False)
    writer.close()


def test_the_extract_is_made_of_sentences_with_their_documents() -> None:
    chunks, cost = read(Extractive().write("copy a directory tree", DOCS))
    assert chunks[0] == "Recursively copy a directory tree. [shutil.copytree]"
    assert all(chunk.rstrip().endswith("]") for chunk in chunks)
    assert cost == Usage("extractive", 21, 11)


def test_the_extract_says_nothing_twice_and_no_signature() -> None:
    text = "f(x)\n\nf(x) -> int\n\nCount the words."
    chunks, _ = read(Extractive().write("count words", [{"id": "a.f", "text": text}, {"id": "b.f", "text": text}]))
    assert chunks == ["Count the words. [a.f]"]
