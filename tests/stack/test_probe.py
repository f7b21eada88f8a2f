"""The health check of the images: ready is ready, and everything else is said and is a failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.paths import ROOT
from tests.support.procs import Process
from tests.support.production import free_ports

PROBE = ROOT / "deploy" / "probe.py"


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[int]]]:
    """A server that answers so; the list may be changed."""
    held = [status]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(held[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/ready", held
        server.shutdown()
        thread.join()


def test_once_says_what_is_not_ready_and_fails() -> None:
    (closed,) = free_ports(1)
    with answering(200) as (ready, _), answering(503) as (starting, _):
        with Process.python(PROBE, "--once", ready) as process:
            assert (process.wait(), process.stdout) == (0, [])
        with Process.python(PROBE, "--once", ready, starting, f"http://127.0.0.1:{closed}/", "no url") as process:
            assert process.wait() == 1
            assert process.stdout[0] == f"{starting}: HTTP 503"
            assert "refused" in process.stdout[1]
            assert process.stdout[2].startswith("no url: ValueError")
            assert len(process.stdout) == 3


def test_going_on_it_says_what_changes_and_nothing_else() -> None:
    with answering(503) as (url, held), Process.python(PROBE, "--every", "0.02", url) as process:
        process.wait_line("HTTP 503")
        held[0] = 200
        process.wait_line("ready$")
        held[0] = 500
        process.wait_line("HTTP 500")
        assert process.stdout == [f"{url}: HTTP 503", f"{url}: ready", f"{url}: HTTP 500"]
