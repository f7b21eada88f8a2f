"""A program from PATH, or from Debian's package unpacked into ``.cache/tools``; a visible skip without either."""

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


def debian_program(package: str, program: str) -> str:
    """Where ``program`` is; its package is unpacked into ``.cache/tools/<package>`` where it is not on PATH."""
    found = shutil.which(program)
    if found:
        return found
    return str(debian_file(package, f"usr/bin/{program}"))


def debian_file(package: str, path: str) -> Path:
    """A file of Debian's package, unpacked into ``.cache/tools/<package>``."""
    place = TOOLS / package
    unpacked = place / path
    TOOLS.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:  # xdist's workers unpack once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.exists():
            _unpack(package, place)
    return unpacked


def _unpack(package: str, place: Path) -> None:
    missing = f"Debian's package {package!r} is not installed and cannot be had here"
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip(missing)
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        command = ["apt-get", "download", "-q", package]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
        if done.returncode and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False, timeout=100)
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
        packages = list(Path(folder).glob("*.deb"))
        if not packages:
            if os.environ.get("CI"):
                pytest.fail(f"{missing}: {done.stderr}")
            pytest.skip(missing)
        subprocess.run(["dpkg", "-x", packages[0], place], check=True)
