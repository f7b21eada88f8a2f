"""Which step gives way: whose time a query grew most between a light load and one that was too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WAITING = "waiting"
LEAST_SHARE = 0.1


_CALLED = {"waiting": "waiting for a free thread or the event loop", "query": "the app outside of its steps"}


def called(step: str) -> str:
    """What people call the step that gave way.

    >>> called("query"), called("retrieve")
    ('the app outside of its steps', 'retrieve')
    """
    return _CALLED.get(step, step)


def grown(light: Mapping[str, Any], heavy: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """(step, seconds a query at a light load, at a heavy one), the one that grew most first.

    A step's seconds are what it owns of the critical path; ``waiting`` is the time before the app was called at all
    (every thread was taken, or the event loop held), ``query`` the app's own time outside of its steps.

    >>> def figures(retrieve):
    ...     return {"steps": {"retrieve": {"share_s": retrieve}}, "own_s": 0.01}
    >>> grown(figures(0.02), figures(0.3))[0]
    ('retrieve', 0.02, 0.3)
    """
    before, after = _shares(light), _shares(heavy)
    rows = [(name, before.get(name, 0.0), after.get(name, 0.0)) for name in dict.fromkeys((*before, *after))]
    return sorted(rows, key=lambda row: row[1] - row[2])


def saturated(light: Mapping[str, Any], heavy: Mapping[str, Any]) -> dict[str, Any] | None:
    """The step that gave way, with its seconds before and after and its part of what all grew by; None where none did.

    It is ``waiting`` only where the app itself hardly grew: behind a full app everything waits.
    """
    rows = grown(light, heavy)
    total = sum(max(0.0, after - before) for _, before, after in rows)
    if not rows or total <= 0:
        return None
    own = [row for row in rows if row[0] != WAITING and row[2] - row[1] >= LEAST_SHARE * total]
    name, before, after = (own or rows)[0]
    return {"step": name, "light_s": before, "heavy_s": after, "share": (after - before) / total}


def _shares(figures: Mapping[str, Any]) -> dict[str, float]:
    found = {
        name: step["share_s"] for name, step in figures.get("steps", {}).items() if step.get("share_s") is not None
    }
    if figures.get("own_s") is not None:
        found["query"] = figures["own_s"]
    waited = (figures.get("client", {}).get("wait_s") or {}).get("mean")
    if waited is not None:
        found[WAITING] = waited
    return found
