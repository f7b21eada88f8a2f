"""``python -m ragwatch.agent``: the agent, with settings that ``ragwatch agent`` has checked."""

from __future__ import annotations

import sys

from ragwatch.agent.app import run_agent
from ragwatch.agent.process import say
from ragwatch.config.agent_values import from_environment
from ragwatch.errors import ConfigError


def main() -> int:
    """Run until SIGTERM; 2 for a setting that cannot be used."""
    settings, sources = from_environment()
    try:
        return run_agent(settings, sources)
    except ConfigError as error:
        say("cannot start", str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
