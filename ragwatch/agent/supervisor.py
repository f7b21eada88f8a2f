"""The supervisor: starts the agent's processes, again when they die, ends them all on SIGTERM, serves the web.

It does nothing else, so that there is little to go wrong: what the web shows is read from the files of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from time import monotonic

import uvicorn

from ragwatch.agent.process import say
from ragwatch.agent.view import View
from ragwatch.agent.web import web_app
from ragwatch.config.agent_values import AgentValues, to_environment
from ragwatch.errors import ConfigError

MODULES = {
    "receiver": "ragwatch.agent.receiver",
    "pipeline": "ragwatch.agent.pipeline",
    "forward": "ragwatch.agent.forward",
}
FIRST_DELAY_S, MAX_DELAY_S = 0.1, 10.0
STEADY_S = 10.0
"""A child that has run this long is started again at once when it dies."""
GRACE_S = 3.0
PROBE_S = 1.0
POLL_S = 0.05
SETTING_WRONG = 2


@dataclass(slots=True)
class Child:
    """One process of the agent."""

    role: str
    process: asyncio.subprocess.Process | None = None
    started_at: float = 0.0
    delay_s: float = 0.0
    starts: int = 0
    problem: str = "is starting"
    stopped: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Runs the agent until SIGTERM or SIGINT."""

    def __init__(self, settings: AgentValues, web_socket: socket.socket) -> None:
        self._settings = settings
        self._web_socket = web_socket
        roles = ["receiver", "pipeline", *(["forward"] if settings.upstream else [])]
        self.children = {role: Child(role) for role in roles}
        self._stopping = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Run everything; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        token = self._settings.token
        app = web_app(View(self._settings.directory), token=token, problems=self.problems)
        server = _Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
        web = asyncio.create_task(server.serve(sockets=[self._web_socket]))
        keepers = [asyncio.create_task(self._keep(child)) for child in self.children.values()]
        saying = asyncio.create_task(self._say_when_up())
        await self._stopping.wait()
        server.should_exit = True
        # the receiver first: what it has acked is on disk, what it has not the sender keeps
        for role in ("receiver", "pipeline", "forward"):
            if role in self.children:
                await self._end(self.children[role])
        await asyncio.gather(saying, *keepers, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(web, 1.0)
        return self._exit_code

    def problems(self) -> dict[str, str]:
        """The processes that do not run, and why; a receiver that cannot be reached yet is among them. Blocks."""
        found = {role: child.problem for role, child in self.children.items() if child.problem}
        if "receiver" not in found:
            for port in (self._settings.grpc_port, self._settings.http_port):
                try:
                    socket.create_connection((self._settings.host, port), PROBE_S).close()
                except OSError as error:
                    found["receiver"] = f"port {port} does not answer: {error.strerror or error}"
        return found

    async def _say_when_up(self) -> None:
        """One line as soon as every part works and every port answers."""
        while await asyncio.to_thread(self.problems):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), POLL_S)
                return
        at = self._settings
        say(
            "is up",
            f"OTLP gRPC {at.host}:{at.grpc_port}, OTLP HTTP {at.host}:{at.http_port}, "
            f"http://{at.host}:{at.web_port}/metrics, files in {at.directory}",
        )

    async def _keep(self, child: Child) -> None:
        while not self._stopping.is_set():
            child.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULES[child.role],
                stdin=asyncio.subprocess.PIPE, env=to_environment(self._settings, {}), start_new_session=True,
            )  # fmt: skip
            child.started_at, child.problem = monotonic(), ""
            child.starts += 1
            self._write_state()
            code = await child.process.wait()
            if self._stopping.is_set():
                return
            if code == SETTING_WRONG and child.starts == 1:
                self._exit_code = SETTING_WRONG
                self._stopping.set()
                return
            steady = monotonic() - child.started_at > STEADY_S
            child.delay_s = FIRST_DELAY_S if steady or not child.delay_s else min(MAX_DELAY_S, child.delay_s * 2)
            child.problem = f"ended with {code}; starts again in {child.delay_s:.1f} s"
            say("supervisor", f"{child.role} {child.problem}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), child.delay_s)

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), GRACE_S)
        except TimeoutError:
            say("supervisor", f"{child.role} does not end; it is killed")
            process.kill()
            await process.wait()

    def _write_state(self) -> None:
        """Say in ``agent.json`` where the agent listens and which processes it is."""
        settings = self._settings
        pids = {role: child.process.pid for role, child in self.children.items() if child.process}
        state = {
            "host": settings.host,
            "grpc_port": settings.grpc_port,
            "http_port": settings.http_port,
            "web_port": settings.web_port,
            "pids": {"supervisor": os.getpid(), **pids},
        }
        path = settings.directory / "agent.json"
        partial = path.with_suffix(".tmp")
        partial.write_text(json.dumps(state), encoding="utf-8")
        partial.replace(path)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the supervisor has its own."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


def bind(setting: str, host: str, port: int, source: str) -> socket.socket:
    """A socket that listens on the port; ``ConfigError`` when it is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        reason = "is taken by another process" if error.errno == 98 else f"cannot be used: {error.strerror}"
        raise ConfigError(setting, f"{host}:{port} {reason}", source=source) from None
    return listener
