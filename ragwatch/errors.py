"""The exceptions that ragwatch raises, and nothing else.

    RagwatchError
    ├── ConfigError        a setting is wrong; names the setting and where its value came from
    ├── CatalogueError     a metric or label that the catalogue does not know
    ├── InboxFull          the agent's disk bound is reached; the sender may try again
    └── Rejected           a call was turned away before it began
        ├── CircuitOpen        by a circuit breaker
        └── LimitExceeded      by a bulkhead, a rate limit or an adaptive limit
    DeadlineExceeded       is a TimeoutError: there is no time left for the call

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
