"""A process with a shared breaker, driven over a pipe."""

from __future__ import annotations

import multiprocessing
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from ragwatch.adapters.redis_state import RedisState
from ragwatch.errors import CircuitOpen
from ragwatch.resilience.breaker import CircuitBreaker


class Granted(RedisState):
    """Writes down every permit that Redis gave, by epoch."""

    def count(self, name: str, epoch: int, what: Any, by: int, *rest: Any) -> int:
        number = super().count(name, epoch, what, by, *rest)
        if what == "permits" and by > 0 and number >= 0:
            self.granted.append(epoch)
        return number

    granted: list[int]


def serve(pipe: Connection, url: str, options: dict[str, Any]) -> None:
    """Obey until told to end."""
    store = Granted(url, refresh_s=0.05, timeout_s=2.0)
    store.granted = []
    breaker = CircuitBreaker("crowd", shared=store, **options)
    probes: list[float] = []

    def down() -> None:
        probes.append(time.monotonic())
        raise ConnectionError

    def hammer(until: float) -> None:
        while time.monotonic() < until:
            try:
                breaker.call(down)
            except (ConnectionError, CircuitOpen):
                time.sleep(0.001)

    while (command := pipe.recv())[0] != "end":
        if command[0] == "state":
            pipe.send((breaker.state, breaker.shared))
        elif command[0] == "open":
            breaker.open()
            pipe.send(None)
        else:
            threads = [threading.Thread(target=hammer, args=(time.monotonic() + command[1],)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            pipe.send((store.granted, len(probes)))


class Worker:
    """The near end."""

    def __init__(self, url: str, **options: Any) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, far = spawn.Pipe()
        self._process = spawn.Process(target=serve, args=(far, url, options), daemon=True)
        self._process.start()

    def tell(self, *command: Any) -> None:
        self._pipe.send(command)

    def answer(self) -> Any:
        assert self._pipe.poll(30), "the worker does not answer"
        return self._pipe.recv()

    def ask(self, *command: Any) -> Any:
        self.tell(*command)
        return self.answer()

    def end(self) -> None:
        if self._process.is_alive():
            self.tell("end")
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
