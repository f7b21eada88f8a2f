"""The sending half of the worker: a bounded queue of encoded requests, retried until delivered.

It has a thread of its own because a slow receiver may hold a request for its whole time-out, and KPIs and log lines
must not wait for that; one for each receiver, so that one that is down does not hold up the others' signals. What does
not fit or is refused is counted as lost with a reason; that delivery fails is said once.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, thread_time
from typing import Any
from urllib.parse import urlsplit

from ragwatch.config.otel_env import Endpoint, Signal
from ragwatch.sdk.export import Answer, Transport, is_http, transport
from ragwatch.sdk.guard import fault, logger, say_once
from ragwatch.sdk.otel_private import without_instrumentation

MAX_BYTES = 16 << 20
FIRST_DELAY_S = 0.5
MAX_DELAY_S = 30.0


class Batch:
    """One encoded request."""

    __slots__ = ("body", "items", "signal")

    def __init__(self, signal: Signal, body: bytes, items: int) -> None:
        self.signal = signal
        self.body = body
        self.items = items


class Senders:
    """One sender for each receiver that the signals go to."""

    def __init__(self, endpoints: dict[Signal, Endpoint], lose: Callable[[str, str, int], None]) -> None:
        receivers: dict[str, dict[Signal, Endpoint]] = {}
        for signal, endpoint in endpoints.items():
            receivers.setdefault(_receiver(endpoint), {})[signal] = endpoint
        self._senders = [Sender(group, lose) for group in receivers.values()]
        self._of = {
            signal: sender for sender, group in zip(self._senders, receivers.values(), strict=True) for signal in group
        }

    @property
    def sent(self) -> dict[str, int]:
        """Items that were delivered, by signal."""
        return {signal: amount for sender in self._senders for signal, amount in sender.sent.items()}

    def take_cpu_s(self) -> float:
        """The CPU time that sending has cost since this was last asked."""
        spent = 0.0
        for sender in self._senders:
            spent, sender.cpu_s = spent + sender.cpu_s, 0.0
        return spent

    def put(self, batch: Batch) -> None:
        """Queue a request for its receiver."""
        self._of[batch.signal].put(batch)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is delivered; False when something was not."""
        until = monotonic() + timeout_s
        for sender in self._senders:
            sender.hurry()
        delivered = [sender.flush(max(0.0, until - monotonic())) for sender in self._senders]
        return all(delivered)

    def stop(self, timeout_s: float) -> None:
        """Deliver what can be delivered in that time; count the rest as lost."""
        until = monotonic() + timeout_s
        for sender in self._senders:
            sender.hurry()
        for sender in self._senders:
            sender.stop(max(0.0, until - monotonic()))


def _receiver(endpoint: Endpoint) -> str:
    """What tells receivers apart; endpoints that are none are one, so that they are complained of once."""
    if not is_http(endpoint.url):
        return endpoint.url if endpoint.protocol == "grpc" else ""
    return urlsplit(endpoint.url).netloc


class Sender:
    """Delivers batches to one receiver in order on a thread of its own."""

    def __init__(self, endpoints: dict[Signal, Endpoint], lose: Callable[[str, str, int], None]) -> None:
        self._endpoints = endpoints
        self._lose = lose
        self._transports: dict[Signal, Transport] = {}
        self._queue: deque[Batch] = deque()
        self._bytes = 0
        self._ready = threading.Condition()
        self._sending = False
        self._stopping = False
        self._hurry = False
        self._failures = 0
        self._refused = 0
        self._reached = True
        self._thread: threading.Thread | None = None
        self.cpu_s = 0.0
        self.sent: dict[str, int] = {}
        self.down_since: float | None = None

    def put(self, batch: Batch) -> None:
        """Queue a request. Metrics are cumulative: a newer request takes the place of one that still waits.

        Its very place in the queue: one that went to the end each time would never be sent while others keep coming.
        One that is being sent keeps its own, or metrics alone would be sent.
        """
        with self._ready:
            if batch.signal == "metrics" and not self._stopping:
                for place, held in enumerate(self._queue):
                    if held.signal == "metrics" and not (place == 0 and self._sending):
                        self._queue[place] = batch
                        self._bytes += len(batch.body) - len(held.body)
                        return
            if self._stopping or self._bytes + len(batch.body) > MAX_BYTES:
                self._lose(batch.signal, "shutdown" if self._stopping else "send_queue_full", batch.items)
                return
            self._queue.append(batch)
            self._bytes += len(batch.body)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ragwatch-sender", daemon=True)
                self._thread.start()
            self._ready.notify_all()

    def hurry(self) -> None:
        """Try at once what waits for another try."""
        with self._ready:
            if self._queue:
                self._hurry = True
                self._ready.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is delivered; what waits for another try is tried at once.

        False when time ran out, when something was refused for good, or at once where no receiver can be reached.
        """
        until = monotonic() + timeout_s
        refused = self._refused
        self.hurry()
        with self._ready:
            while (self._queue or self._sending) and self._thread is not None:
                left = until - monotonic()
                if left <= 0 or (not self._reached and not self._hurry):
                    return not self._queue and not self._sending
                self._ready.wait(min(left, 0.1))
            return not self._queue and self._refused == refused

    def stop(self, timeout_s: float) -> None:
        """Deliver what can be delivered in that time; count the rest as lost."""
        self.flush(timeout_s)
        with self._ready:
            self._stopping = True
            for batch in self._queue:
                self._lose(batch.signal, "shutdown", batch.items)
            if self._queue:
                items = {signal: sum(b.items for b in self._queue if b.signal == signal) for signal in self._endpoints}
                logger.warning("ragwatch: shut down before these were delivered, they are lost: %s", items)
            self._queue.clear()
            self._bytes = 0
            self._ready.notify_all()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)
        for held in self._transports.values():
            held.close()

    def _run(self) -> None:
        with without_instrumentation():
            while True:
                batch = self._next()
                if batch is None:
                    return
                started = thread_time()
                try:
                    answer = self._transport(batch.signal).send(batch.body)
                except OSError as error:  # a certificate that cannot be read; it may be there later
                    answer = Answer(False, again=True, problem=str(error), reached=False)
                except Exception as error:  # noqa: BLE001
                    fault("send", error)
                    answer = Answer(False, problem=repr(error))
                self.cpu_s += thread_time() - started
                self._settle(batch, answer)

    def _next(self) -> Batch | None:
        with self._ready:
            while not self._queue and not self._stopping:
                self._ready.wait()
            if self._stopping:
                return None
            self._sending = True
            return self._queue[0]

    def _settle(self, batch: Batch, answer: Answer) -> None:
        with self._ready:
            self._sending = False
            self._reached = answer.reached
            if answer.delivered or not answer.again:
                if self._queue and self._queue[0] is batch:
                    self._queue.popleft()
                    self._bytes -= len(batch.body)
                if not self._stopping:  # else it has been counted as lost
                    self._account(batch, answer)
                self._ready.notify_all()
                return
            self._failures += 1
            self._say_down(answer.problem)
            hurried, self._hurry = self._hurry, False
            self._ready.notify_all()
            delay_s = answer.after_s
            if delay_s is None:
                delay_s = random.uniform(0, min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(self._failures, 10)))  # noqa: S311
            if hurried and delay_s < 0.2:
                delay_s = 0.2
            until = monotonic() + min(delay_s, MAX_DELAY_S)
            while not self._stopping and not self._hurry and monotonic() < until:
                self._ready.wait(until - monotonic())

    def _account(self, batch: Batch, answer: Answer) -> None:
        if not answer.delivered:
            self._refused += 1
            self._lose(batch.signal, "refused", batch.items)
            say_once(
                f"refused:{batch.signal}:{answer.problem}",
                "ragwatch: %s are refused for good (%s); they are lost, and counted in ragwatch.telemetry()",
                batch.signal,
                answer.problem,
            )
            return
        rejected = min(answer.rejected, batch.items)
        if rejected:
            self._lose(batch.signal, "rejected", rejected)
        if rejected or answer.problem:
            say_once(
                f"rejected:{batch.signal}",
                "ragwatch: the receiver of %s took all but %d of %d and says %r",
                batch.signal,
                rejected,
                batch.items,
                answer.problem,
            )
        self.sent[batch.signal] = self.sent.get(batch.signal, 0) + batch.items - rejected
        self._failures = 0
        if self.down_since is not None:
            logger.warning("ragwatch: telemetry is delivered again, after %.0f s", monotonic() - self.down_since)
            self.down_since = None

    def _say_down(self, problem: str) -> None:
        if self.down_since is None:
            self.down_since = monotonic()
            logger.warning(
                "ragwatch: telemetry cannot be delivered (%s); the app goes on, up to %d MiB are kept and tried again",
                problem,
                MAX_BYTES >> 20,
            )

    def _transport(self, signal: Signal) -> Any:
        held = self._transports.get(signal)
        if held is None:
            held = self._transports[signal] = transport(signal, self._endpoints[signal])
        return held
