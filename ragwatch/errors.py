"""The exceptions that ragwatch raises, and nothing else.

    RagwatchError
    ├── ConfigError        a setting is wrong; names the setting and where its value came from
    │   └── ConfigErrors       all settings that are wrong, in one go; is a ValueError too
    ├── CatalogueError     a metric or label that the catalogue does not know
    ├── NoAnswer           an agent, or its files, cannot say what was asked for; the command ends with 1
    ├── InboxFull          the agent's disk bound is reached; the sender may try again
    └── Rejected           a call was turned away before it began
        ├── CircuitOpen        by a circuit breaker
        └── LimitExceeded      by a bulkhead, a rate limit or an adaptive limit
    DeadlineExceeded       is a TimeoutError: there is no time left for the call

Nothing here ever reaches the code of an instrumented app: the SDK counts and logs its own faults (``sdk.guard``).
"""

from __future__ import annotations

from collections.abc import Iterable


class RagwatchError(Exception):
    """Whatever ragwatch raises on purpose."""


class NoAnswer(RagwatchError):
    """What was asked for cannot be had now: nobody answers, there are no files, a search takes too long."""


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

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between processes."""
        return _config_error, (self.setting, self.problem, self.source)


def _config_error(setting: str, problem: str, source: str) -> ConfigError:
    return ConfigError(setting, problem, source=source)


class ConfigErrors(ConfigError, ValueError):
    """Every setting that cannot be used: ``faults``, at least one. Its own fields are those of the first.

    >>> one = ConfigError("log_level", "should be a level", source="LOG_LEVEL")
    >>> print(ConfigErrors([one, ConfigError("redis.pool", "is no setting", source="prod.yaml:7")]))
    2 settings cannot be used:
      log_level (from LOG_LEVEL): should be a level
      redis.pool (from prod.yaml:7): is no setting
    >>> print(ConfigErrors([one]))
    log_level (from LOG_LEVEL): should be a level
    """

    def __init__(self, faults: Iterable[ConfigError]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        super().__init__(first.setting, first.problem, source=first.source)

    def __str__(self) -> str:
        if len(self.faults) == 1:
            return str(self.faults[0])
        return "\n  ".join((f"{len(self.faults)} settings cannot be used:", *map(str, self.faults)))

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between processes."""
        return type(self), (self.faults,)


class CatalogueError(RagwatchError):
    """A metric, label or label value that the catalogue does not declare."""


class InboxFull(RagwatchError):
    """The inbox holds as much as its settings allow; ``retry_after_s`` says when to come again."""

    def __init__(self, reason: str, *, retry_after_s: float = 1.0) -> None:
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(f"{reason}; try again in {retry_after_s:g} s")


class Rejected(RagwatchError):
    """A call that was turned away before it began: a query that ends so has the outcome ``rejected``."""

    ragwatch_outcome = "rejected"

    def __init__(self, name: str, reason: str, retry_after_s: float | None = None) -> None:
        self.name = name
        self.reason = reason
        self.retry_after_s = retry_after_s
        again = "" if retry_after_s is None else f"; try again in {retry_after_s:.3g} s"
        super().__init__(f"{name}: {reason}{again}")

    def __reduce__(self) -> tuple[type[Rejected], tuple[str, str, float | None]]:
        """Rejections travel between processes."""
        return type(self), (self.name, self.reason, self.retry_after_s)


class CircuitOpen(Rejected):
    """A circuit breaker is open, or has no permit left while it is half open.

    >>> str(CircuitOpen("vector-db", retry_after_s=12.0))
    'vector-db: circuit breaker open; try again in 12 s'
    """

    def __init__(self, name: str, reason: str = "circuit breaker open", retry_after_s: float | None = None) -> None:
        super().__init__(name, reason, retry_after_s)


class LimitExceeded(Rejected):
    """A bulkhead, rate limit or adaptive limit has no room; ``reason`` says which bound."""


class DeadlineExceeded(TimeoutError):
    """There is no time left: ``deadline_s`` is what the call was given in all."""

    def __init__(self, message: str, *, deadline_s: float | None = None) -> None:
        self.deadline_s = deadline_s
        super().__init__(message)
