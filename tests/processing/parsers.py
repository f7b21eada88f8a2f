"""Functions that other processes can import."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def parse(document: str) -> str:
    """Hangs, dies, fails or works, as the document's name says."""
    if document.startswith("hang"):
        threading.Event().wait(600)
    if document.startswith("die"):
        os._exit(3)
    if document.startswith("bad"):
        raise ValueError(document)
    return document.upper()


def hang_and_tell(path: str) -> None:
    """Writes its process's id into ``path``, then hangs."""
    Path(path).write_text(f"{os.getpid()}\n")
    threading.Event().wait(600)


def guarded(document: dict[str, str]) -> str:
    """Asks a store that is away while ``folder/down`` is there, behind a breaker that all processes share."""
    import ragwatch

    folder = Path(document["folder"])
    store = ragwatch.RedisState(document["redis"], refresh_s=0.05)
    breaker = ragwatch.breaker("vector-db", failure_threshold=3, reset_timeout=0.5, shared=store)

    def ask() -> str:
        with (folder / "asked").open("a") as asked:
            asked.write(f"{os.getpid()}\n")
        if (folder / "down").exists():
            raise ConnectionError("the store is away")
        return document["id"]

    answer: str = breaker.call(ask)
    return answer
