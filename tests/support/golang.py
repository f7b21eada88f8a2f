"""Programs that the project has as Go modules: built where there is ``go``, otherwise a visible skip, never in CI."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

BUILD_TIMEOUT_S = 1200
"""A cold build of the collector downloads 200 modules and takes four minutes of CPU: its tests need such a timeout."""


PROGRAMS = {
    "otelcol": ("collector", "."),
    "alertmanager": ("alertmanager/build", "github.com/prometheus/alertmanager/cmd/alertmanager"),
    "compose-check": ("compose-check", "."),
}
"""Name → where its module is below ``deploy``, and what is built of it.

That is a program of somebody else's where ``go.mod`` only names its version.
"""


def built(name: str) -> Path:
    """The program of that name as ``.cache/tools/<name>``, built again where its sources are newer."""
    place, package = PROGRAMS[name]
    sources = ROOT / "deploy" / place
    binary = ROOT / ".cache" / "tools" / name
    if _is_current(binary, sources):
        return binary
    go = shutil.which("go")
    if go is None:
        if binary.exists():
            return binary
        if os.environ.get("CI"):
            pytest.fail(f"no {name} and no go to build it with: CI must have one of them")
        pytest.skip(f"no {name}: building it needs go on the path")
    binary.parent.mkdir(parents=True, exist_ok=True)
    with binary.with_suffix(".lock").open("w") as lock:  # xdist's workers build once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(binary, sources):
            fresh = binary.with_suffix(".new")
            command = [go, "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-o", fresh, package]
            done = subprocess.run(command, cwd=sources, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
            if done.returncode:
                pytest.fail(f"{name} does not build:\n{done.stderr[-3000:]}")
            fresh.replace(binary)
    return binary


def _is_current(binary: Path, sources: Path) -> bool:
    files = [*sources.glob("*.go"), sources / "go.mod", sources / "go.sum"]
    return binary.exists() and binary.stat().st_mtime >= max(path.stat().st_mtime for path in files)
