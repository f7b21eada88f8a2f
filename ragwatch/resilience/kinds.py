"""Which of the four kinds a callable is: functions, methods, ``functools.partial`` and objects with ``__call__``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["function", "coroutine", "generator", "async generator"]


def kind_of(function: Callable[..., Any]) -> Kind:
    """What a call of it gives.

    >>> class Search:
    ...     async def __call__(self, question): return []
    >>> kind_of(Search()), kind_of(len), kind_of(Search)
    ('coroutine', 'function', 'function')
    """
    seen = (function,) if isinstance(function, type) else (function, getattr(function, "__call__", None))  # noqa: B004
    for code in seen:
        if inspect.isasyncgenfunction(code):
            return "async generator"
        if inspect.isgeneratorfunction(code):
            return "generator"
        if inspect.iscoroutinefunction(code):
            return "coroutine"
    return "function"
