"""A RAG app whose latency, stalls and capacity are known, in process and as a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from time import perf_counter, sleep
from typing import Any

import ragwatch


class KnownApp:
    """Answers after ``draw()`` seconds, ``places`` at a time; stalls as a whole between the given seconds.

    The clock starts at the first question. The wait for a place is the retrieval's, so its step is what gives way.
    """

    def __init__(
        self, draw: Callable[[], float], *, places: int | None = None, stall: tuple[float, float] | None = None
    ) -> None:
        self._draw, self._stall = draw, stall
        self._places = threading.Semaphore(places) if places else None
        self._begun: float | None = None
        assert ragwatch.retrieve is not ragwatch.generate  # loads them now, and not under the first questions
        self._lock = threading.Lock()

    def answer(self, question: str) -> str:
        with self._lock:
            self._begun = self._begun or perf_counter()
            service = self._draw()
        at = perf_counter() - self._begun
        if self._stall and self._stall[0] <= at < self._stall[1]:
            sleep(self._stall[1] - at)
        with ragwatch.retrieve() as step:
            if self._places:
                with self._places:
                    sleep(service)
            else:
                sleep(service)
            step.documents([{"id": "a", "score": 1.0}])
        with ragwatch.generate(model="known") as step:
            step.tokens(input=10, output=5).cost(usd=0.001)
            return f"answer to {question}"


def lognormal(seed: int, median_s: float = 0.02, sigma: float = 0.5) -> Callable[[], float]:
    dice = Random(seed)
    from math import log

    return lambda: dice.lognormvariate(log(median_s), sigma)


@contextmanager
def served(answer: Callable[[dict[str, Any]], tuple[int, str, bytes]]) -> Iterator[str]:
    """A server on loopback that answers each JSON body (or the query, as ``q``) by a function; its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_GET(self) -> None:
            self._answer({"q": self.path.partition("?q=")[2]})

        def _answer(self, body: dict[str, Any]) -> None:
            status, kind, data = answer({**body, "headers": dict(self.headers)})
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/ask"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def as_json(value: object) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(value).encode()
