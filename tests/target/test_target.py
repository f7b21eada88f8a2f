"""What a target answers, whatever kind of thing it is."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ragwatch.errors import ConfigError
from ragwatch.target.asking import ask, ask_async
from ragwatch.target.target import Target, function_target
from ragwatch.target.url import Mapped, url_target
from tests.support.known_app import as_json, served
from tests.support.procs import Process


def chunks(question: str) -> Iterator[Any]:
    yield f"{question}: "
    yield {"delta": "so"}
    yield {"documents": [{"id": "a", "score": 0.5, "text": "long"}]}


async def achunks(question: str) -> AsyncIterator[Any]:
    for chunk in chunks(question):
        yield chunk


async def coroutine(question: str) -> dict[str, Any]:
    return {"answer": f"{question}: so", "sources": ["a"]}


class Callable:
    async def __call__(self, question: str) -> tuple[str, list[dict[str, str]]]:
        return f"{question}: so", [{"id": "a"}]


@pytest.mark.parametrize("function", [chunks, achunks, coroutine, Callable(), lambda q: (f"{q}: so", ["a"])])
def test_text_and_documents_are_read_from_every_kind_of_function(function: Any) -> None:
    target = function_target("test:f", function)
    answer = asyncio.run(ask_async(target, "why", {})) if target.is_async else ask(target, "why", {})
    assert answer.error is None
    assert answer.text == "why: so"
    assert answer.documents is not None
    assert [document.id for document in answer.documents] == ["a"]


def test_what_the_app_raises_is_in_the_answer_with_what_came_before() -> None:
    def breaks(question: str) -> Iterator[str]:
        yield question
        raise ValueError("half way")

    answer = ask(function_target("test:f", breaks), "why", {})
    assert (answer.text, repr(answer.error)) == ("why", "ValueError('half way')")


def test_a_plain_function_that_returns_a_coroutine_is_waited_for() -> None:
    assert ask(Target("test:f", lambda question: coroutine(question)), "why", {}).text == "why: so"


def test_a_function_without_a_question_is_refused() -> None:
    with pytest.raises(ConfigError, match="takes no question"):
        function_target("test:f", lambda: "")
    with pytest.raises(ConfigError, match=r"takes more than a question.*; wrap it: def ask\(question\): return f\("):
        function_target("test:f", lambda question, top_k: "")


def test_a_parameter_that_must_be_given_may_be_set() -> None:
    def answer(question: str, tenant: str, *, top_k: int = 2) -> str:
        return f"{question} of {tenant}"

    target = function_target("test:f", answer, given=["tenant", "misspelt"])
    assert ask(target, "why", target.checked({"tenant": "acme"})).text == "why of acme"
    with pytest.raises(
        ConfigError, match=r"missing a required argument: 'tenant'; --set gives it, or wrap it: def ask"
    ):
        function_target("test:f", answer, given=[])
    with pytest.raises(ConfigError, match="takes no question"):
        function_target("test:f", lambda *, question: "", given=["question"])


@pytest.mark.parametrize(
    ("mapping", "reply", "text"),
    [
        ({}, as_json({"answer": "so", "documents": [{"id": "a"}]}), "so"),
        ({}, as_json({"choices": [{"message": {"content": "so"}}], "documents": ["a"]}), "so"),
        ({"answer": "data.0.t", "documents": "data.0.d"}, as_json({"data": [{"t": "so", "d": ["a"]}]}), "so"),
        (
            {},
            (
                200,
                "text/event-stream",
                b'data: {"delta": "s"}\n\ndata: {"delta": "o", "documents": ["a"]}\n\ndata: [DONE]\n\n',
            ),
            "so",
        ),
        (
            {},
            (
                200,
                "text/event-stream",
                b'data: It is\n\ndata:  12\n\ndata:  true\n\ndata: {"documents": ["a"]}\n\n',
            ),
            "It is 12 true",
        ),
        ({}, (200, "application/x-ndjson", b'{"token": "s"}\n{"token": "o"}\n{"documents": ["a"]}\n'), "so"),
    ],
)
def test_answers_are_found_in_what_a_url_sends(mapping: dict[str, str], reply: Any, text: str) -> None:
    with served(lambda body: reply) as url:
        target = url_target(Mapped(url, **mapping))
        answer = ask(target, "why", {})
        target.close()
    assert answer.error is None
    assert answer.text == text
    assert answer.documents is not None
    assert [document.id for document in answer.documents] == ["a"]


def test_the_question_goes_where_the_mapping_says() -> None:
    seen: list[dict[str, Any]] = []

    def reply(body: dict[str, Any]) -> tuple[int, str, bytes]:
        seen.append({key: value for key, value in body.items() if key != "headers"})
        return as_json({"answer": "so"})

    with served(reply) as url:
        body = json.dumps({"messages": [{"role": "user", "content": "{question}"}], "k": 3})
        for mapped in (Mapped(url), Mapped(url, body=body), Mapped(url + "?q={question}")):
            target = url_target(mapped)
            assert ask(target, 'a "b"', {}).error is None
            target.close()
    assert seen == [
        {"question": 'a "b"'},
        {"messages": [{"role": "user", "content": 'a "b"'}], "k": 3},
        {"q": "a%20%22b%22"},
    ]


class Slow(BaseHTTPRequestHandler):
    """A server that sends a word at a time, and says how much there is by closing the connection."""

    release = threading.Event()

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", self.path.strip("/").replace("-", "/", 1))
        self.end_headers()
        first, second = ("data: so\n\n", "data:  it is\n\n") if "event" in self.path else ("so", " it is")
        self.wfile.write(first.encode())
        assert self.release.wait(20), "the first word was not read before the second"
        self.wfile.write(second.encode())

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.mark.parametrize("kind", ["text-event-stream", "text-plain"])
def test_a_word_is_there_when_it_was_sent(kind: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Slow.release.clear()
    target = url_target(Mapped(f"http://127.0.0.1:{server.server_port}/{kind}"))
    try:
        answer = ask(target, "why", {}, on_text=lambda _: Slow.release.set())
    finally:
        target.close()
        server.shutdown()
        server.server_close()
    assert (answer.text, answer.error) == ("so it is", None)


def test_an_app_that_leaves_is_an_error_of_the_app() -> None:
    answer = ask(Target("test:f", lambda question: sys.exit(3)), "why", {})
    assert isinstance(answer.error, SystemExit)


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port/ask", "http://:80/ask"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="should read http://host:port/path"):
        url_target(Mapped(url))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((200, "text/html; charset=utf-8", b"<html>"), "answers a web page (HTML), not JSON"),
        ((200, "application/json", b"{nothing"), "answers no JSON"),
        (as_json({"foo": 1}), "no answer is found: it has 'foo'; name it with --answer"),
        ((404, "text/plain", b"no such path"), "HTTP 404: no such path"),
    ],
)
def test_what_is_no_answer_is_said_in_one_line(reply: Any, said: str) -> None:
    with served(lambda body: reply) as url:
        target = url_target(Mapped(url))
        error = ask(target, "why", {}).error
        target.close()
    assert said in str(error)
    assert "\n" not in str(error)


def test_connections_are_used_again() -> None:

    def reply(body: dict[str, Any]) -> tuple[int, str, bytes]:
        return as_json({"answer": "so"})

    with served(reply) as url:
        target = url_target(Mapped(url))
        import urllib3

        for _ in range(5):
            ask(target, "why", {})
        pools = [cell.cell_contents for cell in target.call.__closure__ or ()]
        pool = next(item for item in pools if isinstance(item, urllib3.PoolManager))
        host = pool.connection_from_url(url)
        assert (host.num_requests, host.num_connections) == (5, 1)
        target.close()


def test_the_first_question_loads_nothing_while_its_time_is_taken() -> None:
    code = """
import sys
import ragwatch
from ragwatch.target.asking import ask, switch_on
from ragwatch.target.target import function_target
@ragwatch.query
def answer(question):
    with ragwatch.retrieve() as step:
        step.documents(["a"])
    return question
switch_on("test")
target = function_target("app", answer)
before = set(sys.modules)
assert ask(target, "why", {}).text == "why"
print(sorted(name for name in set(sys.modules) - before if name.startswith("ragwatch")))
"""
    with Process.python("-c", code) as process:
        assert process.wait(30) == 0, process.output
    assert process.stdout == ["[]"]
