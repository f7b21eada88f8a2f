"""Tests that are coroutines run on an event loop of their own; tests of the compiled build run on nothing else."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
from typing import Any

import pytest

ASKS = "import ragwatch.kpi.engine as held; print(held.__file__)"


def pytest_configure(config: pytest.Config) -> None:
    """With ``RAGWATCH_EXPECT=compiled`` (``make test-compiled``): not one test on the interpreted build."""
    if os.environ.get("RAGWATCH_EXPECT") != "compiled" or hasattr(config, "workerinput"):
        return
    from ragwatch.kpi import engine

    child = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, check=True).stdout.strip()
    for whose, path in (("the tests'", engine.__file__), ("their processes'", child)):
        if path.endswith(".py"):
            raise pytest.UsageError(f"{whose} ragwatch is not compiled: {path} (`make test-compiled` sets the paths)")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**wanted), 60))
    return True
