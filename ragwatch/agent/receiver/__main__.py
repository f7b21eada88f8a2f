"""``python -m ragwatch.agent.receiver``: the receiver process."""

from __future__ import annotations

import socket
import sqlite3
import sys
import threading
from pathlib import Path

import uvicorn

from ragwatch.agent.inbox import Inbox
from ragwatch.agent.process import die_with_parent, say, stop_event
from ragwatch.agent.receiver.grpc_server import serve_grpc
from ragwatch.agent.receiver.http_server import http_app
from ragwatch.config.agent_values import AgentValues, from_environment
from ragwatch.errors import ConfigError


def main() -> int:
    """Receive until SIGTERM; then finish what has begun."""
    settings, _ = from_environment()
    stopping = stop_event()
    die_with_parent()
    token = settings.token
    try:
        inbox = Inbox(
            settings.directory / "inbox.db",
            max_bytes=settings.max_inbox_bytes,
            max_pending_bytes=settings.max_pending_bytes,
            low_water=LowWater(settings),
        )
        listener = _listen(settings.host, settings.http_port)
        address = f"[{settings.host}]" if ":" in settings.host else settings.host
        grpc_server = serve_grpc(
            inbox, f"{address}:{settings.grpc_port}", max_body_bytes=settings.max_body_bytes, token=token
        )
    except (ConfigError, sqlite3.Error) as error:
        say("receiver", str(error))
        return 2
    app = http_app(inbox, max_body_bytes=settings.max_body_bytes, token=token)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    http_thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="otlp-http")
    http_thread.start()
    stopping.wait()
    stopped = grpc_server.stop(grace=1.5)
    server.should_exit = True
    http_thread.join(2.0)
    stopped.wait(2.0)
    inbox.close()
    return 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        raise ConfigError("http_port", f"{host}:{port} cannot be taken: {error.strerror}") from None
    return listener


class LowWater:
    """The row below which no consumer needs anything: the lowest of their cursors, as committed in their own files."""

    def __init__(self, settings: AgentValues) -> None:
        names = ["pipeline.db", *(["forward.db"] if settings.upstream else [])]
        self._paths = [settings.directory / name for name in names]
        self._connections: dict[Path, sqlite3.Connection] = {}

    def __call__(self) -> int | None:
        """The lowest row that is still needed; None while a consumer has not begun, which holds everything."""
        lows = [self._low(path) for path in self._paths]
        return None if None in lows else min(low for low in lows if low is not None)

    def _low(self, path: Path) -> int | None:
        try:
            connection = self._connections.get(path)
            if connection is None:
                connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False, timeout=1)
                self._connections[path] = connection
            found = connection.execute("SELECT keep_from FROM cursor").fetchone()
        except sqlite3.Error:
            return None
        return int(found[0]) if found else None


if __name__ == "__main__":
    sys.exit(main())
