"""JSON that stands in attributes: by orjson where it is installed (the agent brings it), else by the standard library.

Both read the same, but for whole numbers of more than 64 bits, which orjson makes floats. What orjson refuses (NaN,
lone surrogates, nesting deeper than 1024) the standard library is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

_fast: Callable[[str], Any] | None
try:
    from orjson import loads as _fast
except ImportError:
    _fast = None
_slow: Final = json.JSONDecoder().raw_decode
"""Without the two calls around it in ``json.loads``: a third of the time of a small value."""


def read_json(text: str) -> Any:
    """The value that a text which begins with it holds; ``ValueError`` or ``RecursionError`` where it holds none.

    >>> read_json('{"a": [1, NaN]} ')
    {'a': [1, nan]}
    """
    if _fast is not None:
        try:
            return _fast(text)
        except ValueError:
            pass
    found, end = _slow(text)
    if end != len(text) and text[end:].strip():
        raise ValueError("something stands behind the value")
    return found
