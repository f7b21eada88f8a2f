"""The agent's wiring, from settings to running processes."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import ipaddress
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TextIO

from ragwatch.agent.process import say
from ragwatch.agent.supervisor import Supervisor, bind
from ragwatch.config.agent_values import AgentValues, to_environment
from ragwatch.errors import ConfigError

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "262144", "MALLOC_ARENA_MAX": "2"}
"""What the agent's processes tell glibc unless the environment does: requests of 100 kB come and go at random, and in
the heap they left holes of 15 MB."""


def hand_over(settings: AgentValues, sources: Mapping[str, str]) -> None:
    """Become the agent: this process is replaced by one without what only the checking of settings needs."""
    sys.stdout.flush()
    environment = {**ALLOCATOR, **to_environment(settings, sources)}
    os.execve(sys.executable, [sys.executable, "-m", "ragwatch.agent"], environment)  # noqa: S606


def run_agent(settings: AgentValues, sources: Mapping[str, str]) -> int:
    """Run the agent until SIGTERM; the exit code. ``ConfigError`` for what cannot be used, before anything starts."""
    _check_exposure(settings, sources)
    lock = _own_directory(settings, sources)
    try:
        settings, web_socket = _choose_ports(settings, sources)
        return asyncio.run(_run(settings, sources, web_socket))
    finally:
        lock.close()


async def _run(settings: AgentValues, sources: Mapping[str, str], web_socket: object) -> int:
    # a process of its own: looking through the libraries takes a quarter of a second, and 7 MB that would stay
    describing = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ragwatch.agent.about",
        stdin=asyncio.subprocess.DEVNULL, env=to_environment(settings, sources),
    )  # fmt: skip
    code = await Supervisor(settings, web_socket).run()  # type: ignore[arg-type]
    await describing.wait()
    return code


def _check_exposure(settings: AgentValues, sources: Mapping[str, str]) -> None:
    try:
        loopback = settings.host == "localhost" or ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        raise ConfigError("host", f"{settings.host!r} is no address", source=sources["host"]) from None
    if loopback or settings.token is not None:
        return
    if not settings.insecure:
        raise ConfigError(
            "host",
            f"{settings.host} can be reached by others: set a token (--token), or say --insecure",
            source=sources["host"],
        )
    say("warning", f"listening on {settings.host} without a token: whoever reaches it can send and read")


def _own_directory(settings: AgentValues, sources: Mapping[str, str]) -> TextIO:
    """Make the directory and hold its lock: two agents in one would count everything twice."""
    source = sources["directory"]
    path = settings.directory
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (path / "agent.lock").open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigError("directory", f"{path} cannot be written: {error.strerror}", source=source) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            raise ConfigError("directory", f"{path} is in use by another agent", source=source) from None
        raise
    os.set_inheritable(lock.fileno(), False)
    return lock


def _choose_ports(settings: AgentValues, sources: Mapping[str, str]) -> tuple[AgentValues, object]:
    """Free ports where 0 was asked for; the receiver's are let go of again, and kept over its restarts."""
    chosen: dict[str, Any] = {}
    held = []
    for name in ("grpc_port", "http_port"):
        listener = bind(name, settings.host, getattr(settings, name), sources[name])
        chosen[name] = listener.getsockname()[1]
        held.append(listener)
    web_socket = bind("web_port", settings.host, settings.web_port, sources["web_port"])
    chosen["web_port"] = web_socket.getsockname()[1]
    for listener in held:
        listener.close()
    return replace(settings, **chosen), web_socket
