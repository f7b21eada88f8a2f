"""The sink in a process of its own, so that what it costs is not measured with what is tested.

``python -m tests.support.sink [--count-only] [--no-grpc]`` prints one JSON line, ``{"pid", "http_port", "grpc_port"}``,
and ends when its stdin does. It is steered over its HTTP port, under ``/control/``.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http.client import HTTPConnection
from types import TracebackType
from typing import Any, Self

from tests.support.procs import Process
from tests.support.sink import Answer, Received, Sink, SinkReader


class SinkProcess(SinkReader):
    """The same receiver in another process, with the same questions."""

    def __init__(self, *, keep: bool = True, grpc: bool = True, env: Mapping[str, str] | None = None) -> None:
        options = [*([] if keep else ["--count-only"]), *([] if grpc else ["--no-grpc"])]
        self._process = Process.python("-m", "tests.support.sink", *options, env=env)

    def answer(self, answer: Answer, times: int | None = None) -> None:
        """Answer like this: the next ``times`` requests, or all until told otherwise."""
        self._ask("answer", {"answer": asdict(answer), "times": times})

    def counts(self) -> dict[str, dict[str, int]]:
        """By signal: attempts (refused ones too), and requests, items and bytes that were accepted."""
        found: dict[str, dict[str, int]] = self._ask("counts")
        return found

    def reset(self) -> None:
        """Forget what came, and say yes again."""
        self._ask("reset")

    @property
    def received(self) -> list[Received]:
        """The accepted requests."""
        return [Received(**{**item, "body": base64.b64decode(item["body"])}) for item in self._ask("received")]

    def __enter__(self) -> Self:
        try:
            ports = json.loads(self._process.wait_line(r"^\{"))
        except BaseException:
            self._process.close()
            raise
        self.http_port, self.grpc_port = ports["http_port"], ports["grpc_port"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.close()

    def _ask(self, verb: str, body: object = None) -> Any:
        connection = HTTPConnection("127.0.0.1", self.http_port, timeout=20)
        try:
            connection.request("POST", f"/control/{verb}", json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count-only", action="store_true", help="count requests and forget them")
    parser.add_argument("--no-grpc", action="store_true")
    options = parser.parse_args(arguments)
    with Sink(keep=not options.count_only, grpc=not options.no_grpc) as sink:
        print(json.dumps({"pid": os.getpid(), "http_port": sink.http_port, "grpc_port": sink.grpc_port}), flush=True)  # noqa: T201
        sys.stdin.buffer.read()
