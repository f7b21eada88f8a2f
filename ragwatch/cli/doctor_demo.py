"""The doctor's look at the bundled demo: its app is built and asked once, and that query is followed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragwatch.cli.doctor_app import Check
from ragwatch.cli.doctor_hops import Canary

BUILD_S = 300.0
"""The first time its index is built: half a minute on a usual machine."""


def demo_canary(cache_dir: Path | None) -> Canary:
    """The demo's own question in place of the doctor's."""
    if sys.stderr.isatty():
        print("the demo is asked; its index is built where it is not kept yet, in up to a minute", file=sys.stderr)
    where = () if cache_dir is None else (str(cache_dir),)
    return Canary(("demo", *where), BUILD_S, _checks, goes_unsent=True)


def _checks(found: dict[str, Any] | None, words: str) -> Iterator[Check]:
    if found is None:
        yield Check("app", "wrong", f"the demo's process ended: {words}", "ragwatch explore demo 'what is a list?'")
        return
    if "fails" in found:
        yield Check("app", "wrong", f"the demo: {found['fails']}", "mend that, then run the doctor again")
        return
    if found["error"] is not None:
        yield Check("app", "wrong", f"the demo failed to answer: {found['error']}", "ragwatch explore demo")
        return
    said = f"the demo answered {found['question']!r} in {found['seconds'] * 1e3:.0f} ms"
    if found["on"]:
        said += f" from {found['documents']} documents: {', '.join(found['steps'])}"
    yield Check("app", "ok", said)
