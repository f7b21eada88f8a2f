"""What every child process of the agent does: read its settings, watch its parent, end on SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from types import FrameType

from ragwatch.config.agent import AgentSettings

SETTINGS_VARIABLE = "RAGWATCH_AGENT_CHILD_SETTINGS"
ORPHANED = 3
"""Exit code of a child whose supervisor has gone."""


def child_environment(settings: AgentSettings) -> dict[str, str]:
    """The environment of a child: the settings travel in it, where a process list does not show the token."""
    plain = settings.model_dump(mode="json")
    plain["token"] = settings.token.get_secret_value() if settings.token else None
    plain["upstream_headers"] = {key: held.get_secret_value() for key, held in settings.upstream_headers.items()}
    import json

    return {**os.environ, SETTINGS_VARIABLE: json.dumps(plain)}


def child_settings(environ: Mapping[str, str] = os.environ) -> AgentSettings:
    """The settings that the supervisor handed down."""
    import json

    return AgentSettings(**json.loads(environ[SETTINGS_VARIABLE]))


def stop_event() -> threading.Event:
    """An event that SIGTERM or SIGINT sets."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return stopping


def die_with_parent() -> None:
    """End at once when the supervisor is gone: our standard input is its pipe, and a pipe ends with its writer.

    A child that lived on would hold the ports against the next start. Nothing is lost: what was acked is on disk.
    """

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def say(role: str, message: str) -> None:
    """One line to standard error."""
    print(f"ragwatch agent {role}: {message}", file=sys.stderr, flush=True)  # noqa: T201
