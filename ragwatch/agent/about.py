"""``about.json``: what this agent is: versions, and its settings in force with their sources. Without secrets.

Written as the agent starts, by ``python -m ragwatch.agent.about``, so that its files say it too when nobody runs any
more.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from time import time
from typing import Any

from ragwatch import __version__
from ragwatch.agent.process import say
from ragwatch.config.agent_values import AgentValues, from_environment
from ragwatch.config.urls import MASK, mask_url
from ragwatch.errors import NoAnswer

FILE = "about.json"
_SECRETS = frozenset({"token"})
_NAME = re.compile(r"[\w.-]+")


def about(values: AgentValues, sources: Mapping[str, str]) -> dict[str, Any]:
    """Versions of ragwatch, Python and the libraries; each setting with value and source, and the hash of them all.

    A secret is shown as ``***`` and is no part of the hash.
    """
    settings = [
        {"name": name, "value": _shown(name, getattr(values, name)), "source": sources.get(name, "default")}
        for name in (field.name for field in fields(values))
    ]
    kept = json.dumps([[one["name"], one["value"]] for one in settings], separators=(",", ":"))
    return {
        "ragwatch": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "dependencies": dependencies(),
        "config_hash": hashlib.sha256(kept.encode()).hexdigest()[:12],
        "settings": settings,
        "started_s": time(),
    }


def dependencies() -> dict[str, str]:
    """Version of each library that ragwatch, its extras, and these libraries ask for, where it is installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    found: dict[str, str] = {}
    todo = ["ragwatch"]
    while todo:
        name = todo.pop()
        try:
            held = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = held.version
        for text in held.requires or ():
            named = _NAME.match(text)
            other = named[0].lower().replace("_", "-") if named else name
            if other not in found and (name == "ragwatch" or "extra ==" not in text):
                todo.append(other)
    found.pop("ragwatch", None)
    return dict(sorted(found.items()))


def write(directory: Path, found: Mapping[str, Any]) -> None:
    """Write the file whole, or not at all; ``OSError`` where it cannot be."""
    path = directory / f".{FILE}.new"
    with path.open("w", encoding="utf-8") as file:
        json.dump(found, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    path.replace(directory / FILE)


def read(directory: Path) -> dict[str, Any]:
    """What the agent of that directory is; ``NoAnswer`` where it does not say."""
    try:
        found = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoAnswer(f"{directory} has no {FILE}: an earlier ragwatch ran there last") from None
    except (OSError, ValueError) as error:
        raise NoAnswer(f"{directory / FILE} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise NoAnswer(f"{directory / FILE} is not what an agent writes")
    return found


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):  # headers to an upstream: any of them may be its key
        return dict.fromkeys(sorted(value), MASK)
    if name in _SECRETS:
        return None if value is None else MASK
    return mask_url(value) if isinstance(value, str) else value


def main() -> int:
    """Write what the agent with these settings is; without it, it works all the same."""
    settings, sources = from_environment()
    try:
        write(settings.directory, about(settings, sources))
    except OSError as error:
        say("warning", f"{settings.directory / FILE} cannot be written: {error.strerror}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
