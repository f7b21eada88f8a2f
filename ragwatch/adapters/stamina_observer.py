"""``observe_stamina``: every call that stamina retries becomes the KPIs and step events of ragwatch's own retries.

stamina's own hooks hear of scheduled retries only, not of calls that went well or were given up, and amplification
needs them. stamina runs on tenacity, so each ``Retrying`` that it makes is observed as tenacity's are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ragwatch.adapters.tenacity_observer import watch
from ragwatch.resilience.events import log

_observing: list[Callable[[], None]] = []


def observe_stamina() -> Callable[[], None]:
    """Observe all of stamina in this process, from now on; the function that is returned ends it.

    Operations are called as stamina calls them in its logs. Functions that were decorated before are observed too.
    """
    import stamina  # noqa: F401  (its absence is said here, not at the first call)
    import tenacity

    if _observing:
        return _observing[0]
    original = tenacity.BaseRetrying.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        try:
            if _is_staminas(self.before_sleep):
                watch(self, _name_of(self.before_sleep))
        except Exception as error:  # noqa: BLE001  (guests behave)
            log.warning("ragwatch: a retry of stamina could not be observed: %r", error)

    def stop() -> None:
        if _observing and _observing[0] is stop:
            _observing.clear()
            tenacity.BaseRetrying.__init__ = original  # type: ignore[method-assign]

    tenacity.BaseRetrying.__init__ = init  # type: ignore[method-assign]
    _observing.append(stop)
    return stop


def _is_staminas(strategy: Any) -> bool:
    return str(getattr(strategy, "__module__", "")).partition(".")[0] == "stamina"


def _name_of(strategy: Any) -> str:
    """The name that stamina hands to its hooks."""
    return str(inspect.getclosurevars(strategy).nonlocals.get("name", "stamina"))
