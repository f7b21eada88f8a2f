"""A parser with faults, for trying out ``ragwatch ingest`` on Python's own sources.

    ragwatch ingest --function faulty_parser:parse --glob '*.py' --breaker-reset 1 /usr/lib/python3.11

It counts definitions with ``ast``. One file in fifty is taken for malformed, and of every 300 calls the last 12 find
the vector store away, so that the circuit breaker opens, waits, probes and closes again.
"""

from __future__ import annotations

import ast
import itertools
import zlib
from pathlib import Path

_calls = itertools.count()


def parse(path: str) -> int:
    """How many functions and classes a file defines."""
    if next(_calls) % 300 >= 288:
        raise ConnectionError("the vector store is away")
    if zlib.crc32(path.encode()) % 50 == 0:
        raise ValueError("malformed")
    tree = ast.parse(Path(path).read_bytes())
    return sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in ast.walk(tree))
