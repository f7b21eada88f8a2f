"""What a tool asks: a callable with its options, and the questions that come with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ragwatch.demo.golden import Golden
from ragwatch.errors import ConfigError

NO_CACHE = (("no_cache", True), ("bypass_cache", True), ("skip_cache", True), ("use_cache", False), ("cache", False))
"""What parameters that pass by a cache are usually called, with the value that does it."""


@dataclass(frozen=True, slots=True)
class Target:
    """``call(question, **options)`` answers: a string, a mapping, an object, or either kind of iterator over chunks.

    ``in_process`` says that the app's steps can be seen here; ``golden`` are the questions that come with it, of
    popularity ``zipf`` unless the user says otherwise (0: each in turn). ``close`` frees what it holds.
    """

    name: str
    call: Callable[..., Any]
    is_async: bool = False
    in_process: bool = True
    golden: Sequence[Golden] = ()
    zipf: float = 0.0
    close: Callable[[], None] = lambda: None
    more_options: frozenset[str] | None = None
    """Options that ``call`` takes beside its parameters; None: any."""
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def checked(self, options: Mapping[str, Any], source: str = "--set") -> dict[str, Any]:
        """The options, if the function has parameters of those names; ``ConfigError`` otherwise.

        >>> Target("app", lambda question, top_k=5: "").checked({"top_k": 3})
        {'top_k': 3}
        >>> Target("app", lambda question, top_k=5: "").checked({"topk": 3})
        Traceback (most recent call last):
        ragwatch.errors.ConfigError: topk (from --set): app has no such parameter; did you mean 'top_k'?
        """
        known = self._options()
        for name in options:
            if known is not None and name not in known:
                near = get_close_matches(name, known, 1)
                others = f"it has {', '.join(sorted(known))}" if known else "it takes the question alone"
                hint = f"did you mean {near[0]!r}?" if near else others
                raise ConfigError(name, f"{self.name} has no such parameter; {hint}", source=source)
        return dict(options)

    def without_cache(self, source: str = "--no-cache") -> dict[str, Any]:
        """The option that passes by the app's cache; ``ConfigError`` where the function has none.

        >>> Target("app", lambda question, use_cache=True: "").without_cache()
        {'use_cache': False}
        """
        known = self._options()
        for name, value in NO_CACHE:
            if known is None or name in known:
                return {name: value}
        names = ", ".join(name for name, _ in NO_CACHE)
        raise ConfigError(self.name, f"has no parameter that passes by its cache ({names}): add one", source=source)

    def _options(self) -> frozenset[str] | None:
        """The names of the parameters after the question; None where any is taken."""
        try:
            parameters = list(inspect.signature(self.call).parameters.values())
        except (TypeError, ValueError):
            return None
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return self.more_options
        named = [p.name for p in parameters[1:] if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
        return frozenset(named)


def function_target(
    name: str, function: Callable[..., Any], source: str = "TARGET", *, given: Collection[str] | None = None
) -> Target:
    """The user's function as a target; ``ConfigError`` where it cannot be called with one question.

    ``given`` are the parameters that ``--set`` gives it beside the question; None where there is no ``--set``.

    >>> function_target("mod:f", lambda question, k: "")
    Traceback (most recent call last):
    ragwatch.errors.ConfigError: mod:f (from TARGET): takes more than a question: missing a required argument: 'k'; \
wrap it: def ask(question): return f(…)
    """
    try:
        signature = inspect.signature(function)
        others = list(signature.parameters)[1:]
        signature.bind("a question", **dict.fromkeys(key for key in given or () if key in others))
    except TypeError as error:
        is_short = "missing" in str(error)
        hint = "--set gives it, or wrap it" if is_short and given is not None else "wrap it"
        raise ConfigError(
            name,
            f"takes {'more than a question' if is_short else 'no question'}: {error}; "
            f"{hint}: def ask(question): return {name.rpartition(':')[2]}(…)",
            source=source,
        ) from None
    except ValueError:  # a builtin without a signature
        pass
    called = function if inspect.isfunction(function) or inspect.ismethod(function) else type(function).__call__
    is_async = any(
        test(candidate)
        for candidate in (function, called)
        for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    )
    return Target(name, function, is_async=is_async)
