"""promtool, from Debian's package of Prometheus."""

from __future__ import annotations

import subprocess

from tests.support.debian import debian_program


def promtool_check(text: str) -> str:
    """What ``promtool check metrics`` has to say of an exposition in text 0.0.4; empty when it is content."""
    found = subprocess.run(
        [promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=30
    )
    return (found.stdout + found.stderr).strip() or ("" if found.returncode == 0 else f"exit code {found.returncode}")


def promtool() -> str:
    """Where promtool is."""
    return debian_program("prometheus", "promtool")
