"""promtool, from PATH or unpacked from Debian's package into ``.cache/tools``; a visible skip without either."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

TOOLS = ROOT / ".cache" / "tools"
UNPACKED = TOOLS / "prometheus" / "usr" / "bin" / "promtool"


def promtool_check(text: str) -> str:
    """What ``promtool check metrics`` has to say of an exposition in text 0.0.4; empty when it is content."""
    found = subprocess.run(
        [promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=30
    )
    return (found.stdout + found.stderr).strip() or ("" if found.returncode == 0 else f"exit code {found.returncode}")


def promtool() -> str:
    """Where promtool is."""
    found = shutil.which("promtool")
    if found:
        return found
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "prometheus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not UNPACKED.exists():
            _unpack()
    return str(UNPACKED)


def _unpack() -> None:
    missing = "promtool is not on PATH, and Debian's package 'prometheus' cannot be had here"
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip(missing)
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        command = ["apt-get", "download", "-q", "prometheus"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
        if done.returncode and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False, timeout=100)
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
        packages = list(Path(folder).glob("*.deb"))
        if not packages:
            if os.environ.get("CI"):
                pytest.fail(f"{missing}: {done.stderr}")
            pytest.skip(missing)
        subprocess.run(["dpkg", "-x", packages[0], TOOLS / "prometheus"], check=True)
