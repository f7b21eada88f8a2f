"""``python -m tests.support.prepare``: have what the stack's tests need before they begin.

Builds and downloads take both cores for minutes, and what is measured in seconds beside them comes too late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.support.debian import debian_program
from tests.support.golang import PROGRAMS, built
from tests.support.paths import ROOT


def demo_index() -> None:
    """The index of the demo's documents, which takes half a minute to build."""
    from ragwatch.demo.cache import open_index
    from ragwatch.demo.corpus import open_corpus

    with open_index(open_corpus(None), ROOT / ".cache" / "demo"):
        pass


PARTS: dict[str, Callable[[], object]] = {
    **{name: partial(built, name) for name in PROGRAMS},
    "prometheus": partial(debian_program, "prometheus", "prometheus"),
    "the demo's index": demo_index,
}


def main() -> None:
    """Say how long each took, or why it is not to be had: its tests then skip, or fail in CI, themselves."""
    for name, prepare in PARTS.items():
        began = time.monotonic()
        try:
            prepare()
        except (pytest.skip.Exception, pytest.fail.Exception) as error:
            print(f"{name}: {error}")  # noqa: T201  (what it is run for)
        else:
            print(f"{name}: there after {time.monotonic() - began:.1f} s", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
