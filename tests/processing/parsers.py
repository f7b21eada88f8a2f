"""Functions that other processes can import."""

from __future__ import annotations

import os
import threading


def parse(document: str) -> str:
    """Hangs, dies, fails or works, as the document's name says."""
    if document.startswith("hang"):
        threading.Event().wait(600)
    if document.startswith("die"):
        os._exit(3)
    if document.startswith("bad"):
        raise ValueError(document)
    return document.upper()
