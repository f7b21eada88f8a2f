"""For what is measured against the clock while other tests want the same cores: a true fault fails each time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")
TRIES = 4


def patient(test: Callable[P, None]) -> Callable[P, None]:
    """Try a test a few times; the last failure stands."""

    @functools.wraps(test)
    def tried(*args: P.args, **kwargs: P.kwargs) -> None:
        for _ in range(TRIES - 1):
            try:
                return test(*args, **kwargs)
            except AssertionError:
                continue
        return test(*args, **kwargs)

    return tried
