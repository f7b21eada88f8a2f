"""A real Redis, from PATH or unpacked from Debian's packages into ``.cache/tools``, for one test on its own port.

Where neither can be had the tests are skipped, visibly, and fail in CI.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.wait import wait_until

TOOLS = ROOT / ".cache" / "tools"
HOME = TOOLS / "redis"
PACKAGES = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1", "libssl3", "libsystemd0")
_tried: list[str] = []


class RedisServer:
    """One server; ``kill`` and ``start`` may follow each other. It keeps nothing on disk unless told to."""

    def __init__(self, folder: Path, *, port: int | None = None, persistent: bool = False) -> None:
        self.folder = folder
        self.port = port or _free_port()
        self._persistent = persistent
        self._process: subprocess.Popen[bytes] | None = None
        self._binary, self._environment = redis_server()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Run, and answer."""
        command = [
            self._binary,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            "--save",
            "",
        ]
        if self._persistent:
            command += ["--appendonly", "yes", "--appendfsync", "always"]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        wait_until(self._answers, 20, what="redis-server answers")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            pytest.fail((self.folder / "redis.log").read_text(encoding="utf-8"))
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                line.sendall(b"PING\r\n")
                return line.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def redis_running(folder: Path, *, persistent: bool = False) -> Iterator[RedisServer]:
    """A server for a test, killed at its end."""
    server = RedisServer(folder, persistent=persistent)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def redis_server() -> tuple[str, dict[str, str]]:
    """Where redis-server is, and the environment that it needs."""
    found = shutil.which("redis-server")
    if found:
        return found, dict(os.environ)
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "redis.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (HOME / "usr" / "bin" / "redis-server").exists():
            _unpack()
    libraries = sorted({str(path.parent) for path in HOME.rglob("*.so.*")})
    return str(HOME / "usr" / "bin" / "redis-server"), {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


def _unpack() -> None:
    missing = "redis-server is not on PATH, and Debian's package cannot be had here"
    if _tried:
        _cannot(_tried[0])
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        _cannot(missing)
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        command = ["apt-get", "download", "-q", *PACKAGES]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
        if done.returncode and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False, timeout=100)
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
        packages = sorted(Path(folder).glob("*.deb"))
        if not any(path.name.startswith("redis-tools") for path in packages):
            _tried.append(f"{missing}: {done.stderr.strip()[-300:]}")
            _cannot(_tried[0])
        fresh = Path(folder) / "root"
        for package in packages:
            subprocess.run(["dpkg", "-x", package, fresh], check=True)
        fresh.rename(HOME)


def _cannot(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
