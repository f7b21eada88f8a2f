"""Breakers by name: one for each dependency, wherever in the program it is asked for."""

from __future__ import annotations

import threading
from typing import Any

from ragwatch.errors import ConfigError
from ragwatch.resilience.at_fork import renewed_after_fork
from ragwatch.resilience.breaker import CircuitBreaker


class _Registry:
    """The breakers that ``breaker`` made, for good, with the options that they were made with."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: dict[str, tuple[CircuitBreaker, dict[str, Any]]] = {}
        renewed_after_fork(self)

    def after_fork(self) -> None:
        self.lock = threading.Lock()


_registry = _Registry()


def breaker(name: str, **options: Any) -> CircuitBreaker:
    """The breaker of this name: made at the first call, the same one ever after.

    Options are those of ``CircuitBreaker``. Later calls may leave them out; other ones than the first are refused,
    since one of two places in the program would not get what it asks for.

    >>> @breaker("pinecone-of-this-doctest", failure_threshold=3)
    ... def search(question): return [question]
    >>> search("why?"), breaker("pinecone-of-this-doctest").policy.failure_threshold
    (['why?'], 3)
    """
    with _registry.lock:
        found = _registry.made.get(name)
        if found is None:
            found = _registry.made[name] = CircuitBreaker(name, **options), options
    made, given = found
    for option, value in options.items():
        if option not in given or given[option] != value:
            problem = f"breaker {name!r} was made with {given.get(option, 'the default')!r}; {value!r} came later"
            raise ConfigError(option, problem, source="breaker")
    return made


def breakers() -> dict[str, CircuitBreaker]:
    """Every breaker that ``breaker`` made, by name: to show them, or to open and close them by hand.

    >>> sorted(breakers()) == sorted(_registry.made)
    True
    """
    with _registry.lock:
        return {name: made for name, (made, _) in _registry.made.items()}
