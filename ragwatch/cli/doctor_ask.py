"""The doctor asks an app in a process of its own, the demo or the user's function, and its query is followed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragwatch.cli.doctor_app import Check
from ragwatch.cli.doctor_hops import Canary

BUILD_S = 300.0
"""The first time the demo's index is built: half a minute on a usual machine; a model may be loaded as well."""


def asking(target: str, question: str | None, cache_dir: Path | None) -> Canary:
    """The app's own query in place of the doctor's."""
    if target == "demo" and sys.stderr.isatty():
        print("the demo is asked; its index is built where it is not kept yet, in up to a minute", file=sys.stderr)
    name = "the demo" if target == "demo" else target
    given = ("ask", target, question or "", str(cache_dir or ""))
    return Canary(given, BUILD_S, lambda found, words: checks(name, found, words), goes_unsent=target == "demo")


def checks(name: str, found: dict[str, Any] | None, words: str) -> Iterator[Check]:
    """What the process that asked says."""
    again = "mend that, then run the doctor again"
    if found is None:
        yield Check("app", "wrong", f"{name} ended its process as it was asked: {words}", again)
    elif "fails" in found:
        yield Check("app", "wrong", f"{name}: {found['fails']}", again)
    elif found["error"] is not None:
        yield Check("app", "wrong", f"{name} failed to answer {found['question']!r}: {found['error']}", again)
    else:
        said = f"{name} answered {found['question']!r} in {found['seconds'] * 1e3:.0f} ms"
        if found["steps"]:
            said += f" from {found['documents']} documents: {', '.join(found['steps'])}"
        yield Check("app", "ok", said)
