"""The exceptions that ragwatch raises, and nothing else.

    RagwatchError
    ├── ConfigError        a setting is wrong; names the setting and where its value came from
    ├── CatalogueError     a metric or label that the catalogue does not know
    └── InboxFull          the agent's disk bound is reached; the sender may try again

Nothing here ever reaches the code of an instrumented app: the SDK counts and logs its own faults (``sdk.guard``).
"""

from __future__ import annotations


class RagwatchError(Exception):
    """Whatever ragwatch raises on purpose."""


class ConfigError(RagwatchError):
    """A setting that cannot be used.

    >>> str(ConfigError("http_port", "port 4318 is taken", source="RAGWATCH_AGENT_HTTP_PORT"))
    'http_port (from RAGWATCH_AGENT_HTTP_PORT): port 4318 is taken'
    """

    def __init__(self, setting: str, problem: str, *, source: str = "default") -> None:
        self.setting = setting
        self.problem = problem
        self.source = source
        super().__init__(f"{setting} (from {source}): {problem}")


class CatalogueError(RagwatchError):
    """A metric, label or label value that the catalogue does not declare."""


class InboxFull(RagwatchError):
    """The inbox holds as much as its settings allow; ``retry_after_s`` says when to come again."""

    def __init__(self, reason: str, *, retry_after_s: float = 1.0) -> None:
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(f"{reason}; try again in {retry_after_s:g} s")
