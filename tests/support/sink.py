"""A real OTLP receiver for tests and benchmarks: HTTP/1.1 (protobuf, JSON, gzip, chunked) and gRPC on free ports.

In the same process, on threads of its own:

    with Sink() as sink:
        export(sink.http_url)
        wait_until(lambda: sink.counts()["traces"]["items"] == 6)

or in another process, so that its CPU time is not the measured one's (``sink_process.SinkProcess``).
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, NamedTuple, Self

from google.protobuf.json_format import MessageToJson, ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.endpoints import Endpoints

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


class Signal(NamedTuple):
    """What differs between traces, metrics and logs."""

    request: Any
    response: Any
    groups: str
    scopes: str
    items: str
    rejected: str

    def count(self, message: Any) -> int:
        """How many spans, metrics or log records a request holds."""
        return sum(
            len(getattr(scope, self.items))
            for group in getattr(message, self.groups)
            for scope in getattr(group, self.scopes)
        )


SIGNALS = {
    "traces": Signal(
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
        "resource_spans",
        "scope_spans",
        "spans",
        "rejected_spans",
    ),
    "metrics": Signal(
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
        "resource_metrics",
        "scope_metrics",
        "metrics",
        "rejected_data_points",
    ),
    "logs": Signal(
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
        "resource_logs",
        "scope_logs",
        "log_records",
        "rejected_log_records",
    ),
}


@dataclass(frozen=True)
class Answer:
    """What to say to a request: yes as it is. ``status`` is HTTP's; gRPC gets the code that means the same."""

    status: int = 200
    retry_after_s: float | None = None
    delay_s: float = 0.0
    drop: bool = False
    rejected: int = 0
    message: str = ""

    @property
    def accepts(self) -> bool:
        """Whether the request counts as received."""
        return self.status == 200 and not self.drop

    def body(self, signal: Signal) -> Any:
        """The response message of a success."""
        response = signal.response()
        if self.rejected or self.message:
            setattr(response.partial_success, signal.rejected, self.rejected)
            response.partial_success.error_message = self.message
        return response


OK = Answer()
UNAVAILABLE = Answer(503, retry_after_s=1)
BAD_REQUEST = Answer(400, message="bad data")


@dataclass(frozen=True)
class Received:
    """A request that was accepted."""

    signal: str
    body: bytes
    content_type: str
    protocol: str
    headers: Mapping[str, str]

    @cached_property
    def message(self) -> Any:
        """The request as ``opentelemetry.proto`` reads it."""
        request = SIGNALS[self.signal].request
        if self.content_type.startswith(JSON):
            return ParseDict(_base64_ids(json.loads(self.body)), request(), ignore_unknown_fields=True)
        return request.FromString(self.body)


class SinkReader(Endpoints):
    """What can be asked of a sink, in whatever process it is."""

    @property
    def received(self) -> list[Received]:
        """The accepted requests."""
        raise NotImplementedError

    def messages(self, signal: str) -> list[Any]:
        """The accepted requests of a signal, decoded."""
        return [item.message for item in self.received if item.signal == signal]

    def spans(self) -> list[Any]:
        """Every span received."""
        return [
            span
            for message in self.messages("traces")
            for group in message.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        """The last of every metric received, by name."""
        return {
            metric.name: metric
            for message in self.messages("metrics")
            for group in message.resource_metrics
            for scope in group.scope_metrics
            for metric in scope.metrics
        }

    def log_records(self) -> list[Any]:
        """Every log record received."""
        return [
            record
            for message in self.messages("logs")
            for group in message.resource_logs
            for scope in group.scope_logs
            for record in scope.log_records
        ]


class Sink(SinkReader):
    """The receiver. ``keep=False`` counts and forgets (benchmarks); ``grpc=False`` leaves gRPC out."""

    def __init__(self, *, keep: bool = True, grpc: bool = True) -> None:
        self._received: list[Received] = []
        self.http_port = 0
        self.grpc_port = 0
        self._keep = keep
        self._lock = threading.Lock()
        self._counts = {name: {"attempts": 0, "requests": 0, "items": 0, "bytes": 0} for name in SIGNALS}
        self._answers: deque[Answer] = deque()
        self._always = OK
        self._stopped = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sink-http", daemon=True)
        self._with_grpc = grpc
        self._grpc: Any = None
        self._server: Any = None

    @property
    def received(self) -> list[Received]:
        """The accepted requests."""
        with self._lock:
            return list(self._received)

    def answer(self, answer: Answer, times: int | None = None) -> None:
        """Answer like this: the next ``times`` requests, or all until told otherwise."""
        with self._lock:
            if times is None:
                self._always = answer
                self._answers.clear()
            else:
                self._answers.extend([answer] * times)

    def counts(self) -> dict[str, dict[str, int]]:
        """By signal: attempts (refused ones too), and requests, items and bytes that were accepted."""
        with self._lock:
            return {name: dict(held) for name, held in self._counts.items()}

    def reset(self) -> None:
        """Forget what came, and say yes again."""
        with self._lock:
            self._received.clear()
            self._answers.clear()
            self._always = OK
            for held in self._counts.values():
                held.update(dict.fromkeys(held, 0))

    def take(self, signal: str, body: bytes, content_type: str, protocol: str, headers: Mapping[str, str]) -> Answer:
        """Count and keep a request; how it is to be answered."""
        received = Received(signal, body, content_type, protocol, headers)
        with self._lock:
            answer = self._answers.popleft() if self._answers else self._always
            held = self._counts[signal]
            held["attempts"] += 1
            if not answer.accepts:
                return answer
        try:
            items = SIGNALS[signal].count(received.message)
        except Exception as error:
            return Answer(400, message=str(error))
        with self._lock:
            held["requests"] += 1
            held["items"] += items
            held["bytes"] += len(body)
            if self._keep:
                self._received.append(received)
        return answer

    def wait_stopped(self, timeout_s: float) -> None:
        """Be slow, but not after the end."""
        self._stopped.wait(timeout_s)

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        self.http_port = self._server.sockets[0].getsockname()[1]
        if self._with_grpc:
            from tests.support.sink_grpc import start_grpc

            self._grpc, self.grpc_port = start_grpc(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopped.set()
        if self._grpc is not None:
            self._grpc.stop(None).wait(5)
        asyncio.run_coroutine_threadsafe(_end(self._server), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # -- HTTP/1.1 -----------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        except asyncio.CancelledError:
            pass  # the sink ends; a task that says so itself is no error to asyncio's streams
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:-2])}
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _read_body(reader, headers)
        if path.startswith("/control/"):
            _write(writer, 200, JSON, json.dumps(self._control(path, body)).encode())
            return True
        signal = path.rsplit("/", 1)[-1]
        if method != "POST" or path != f"/v1/{signal}" or signal not in SIGNALS:
            _write(writer, 404, "text/plain", b"")
            return True
        content_type = headers.get("content-type", "").split(";")[0].strip()
        if content_type not in {JSON, PROTOBUF}:
            _write(writer, 415, "text/plain", b"")
            return True
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        answer = self.take(signal, body, content_type, "http", headers)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.drop:
            writer.transport.abort()
            return False
        if answer.accepts:
            message = answer.body(SIGNALS[signal])
        else:
            from google.rpc.status_pb2 import Status

            message = Status(message=answer.message)
        payload = MessageToJson(message).encode() if content_type == JSON else message.SerializeToString()
        _write(writer, answer.status, content_type, payload, answer.retry_after_s)
        return True

    def _control(self, path: str, body: bytes) -> Any:
        verb = path.removeprefix("/control/")
        if verb == "counts":
            return self.counts()
        if verb == "reset":
            self.reset()
        elif verb == "answer":
            given = json.loads(body)
            self.answer(Answer(**given["answer"]), given["times"])
        elif verb == "received":
            return [asdict(item) | {"body": base64.b64encode(item.body).decode()} for item in self.received]
        return None


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    chunks = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(chunks)


def _write(
    writer: asyncio.StreamWriter, status: int, content_type: str, body: bytes, retry_after_s: float | None = None
) -> None:
    retry = f"Retry-After: {retry_after_s:g}\r\n" if retry_after_s is not None else ""
    head = f"HTTP/1.1 {status} -\r\nContent-Type: {content_type}\r\n{retry}Content-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


async def _end(server: asyncio.Server) -> None:
    server.close()
    await asyncio.sleep(0)  # a connection that was taken just now begins, so that it can end
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _base64_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_base64_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in {"traceId", "spanId", "parentSpanId"}
            else _base64_ids(item)
            for key, item in value.items()
        }
    return value


if __name__ == "__main__":
    from tests.support.sink_process import main

    main()
