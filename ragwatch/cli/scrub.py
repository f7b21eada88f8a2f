"""What is taken out before anything is put into an archive: texts of people and documents, and secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ragwatch.config.masking import named_like_a_secret
from ragwatch.config.urls import MASK

LEAST = 4
"""A shorter secret would take half of the report with it."""
_PATTERNS = (
    re.compile(r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{4,}"),
    re.compile(r"\b(?:sk|pk|rk|ghp|gho|xox[abp]|glpat)[-_][\w-]{8,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"),
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"),
    re.compile(r"(?i)(?<=[?&;,\s\"'])(?:api[_-]?key|token|password|passwd|secret)=[^&\s\"',;\\]+"),
    re.compile(r"(?<=://)[^/\s@\"']+(?=@)"),
)
_QUERY_TEXTS = ("question", "answer", "error_message", "extra", "user", "session")
_STEP_TEXTS = ("error_message", "extra")


class Scrub:
    """Replaces known secrets, and whatever looks like one, by ``***``.

    >>> Scrub({"s3cret-value"})("token is s3cret-value, Authorization: Bearer abcdef, redis://me:pw@host")
    'token is ***, Authorization: ***, redis://***@host'
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({secret for secret in secrets if len(secret) >= LEAST}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        for pattern in _PATTERNS:
            text = pattern.sub(MASK, text)
        return text

    def all_of(self, value: Any) -> Any:
        """The plain value with every text in it without secrets.

        >>> Scrub({"s3cret"}).all_of({"a": ["my s3cret", 7, None]})
        {'a': ['my ***', 7, None]}
        """
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {key: self.all_of(held) for key, held in value.items()}
        if isinstance(value, list | tuple):
            return [self.all_of(held) for held in value]
        return value


def known_secrets(environ: Mapping[str, str] | None = None) -> set[str]:
    """Every secret that the environment and the settings' files hold.

    >>> sorted(known_secrets({"OPENAI_API_KEY": "sk-1234", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=abcd"}))
    ['abcd', 'sk-1234']
    """
    from ragwatch.config.variables import Variables

    found: set[str] = set()
    variables = Variables(environ)
    names = {name.upper() for layer in variables.layers for name in layer.names()}
    for name in names:
        for text in variables.texts(name):
            found |= _secrets_in(name, text.value)
    if environ is None:
        found |= _of_agent()
    return found


def _secrets_in(name: str, value: str) -> set[str]:
    found: set[str] = set()
    if named_like_a_secret(name):
        found |= {value, value.strip()}
    if name.endswith("HEADERS"):
        for part in value.split(","):
            held = unquote(part.partition("=")[2].strip())
            found |= {held, held.rpartition(" ")[2], part.partition("=")[2].strip()}
    if "://" in value:
        try:
            password = urlsplit(value).password
        except ValueError:
            password = None
        if password:
            found |= {password, unquote(password)}
    return found


def _of_agent() -> set[str]:
    """What the agent's settings file holds."""
    from ragwatch.config.agent import PREFIX, AgentSettings
    from ragwatch.config.loader import attempt

    named = os.environ.get(f"{PREFIX}CONFIG")
    made, _ = attempt(
        AgentSettings, {}, prefix=PREFIX, file=Path(named) if named else None, file_source=f"{PREFIX}CONFIG"
    )
    if not isinstance(made, AgentSettings):
        return set()
    found = {made.token.get_secret_value()} if made.token else set()
    for held in made.upstream_headers.values():
        found |= {held.get_secret_value(), held.get_secret_value().rpartition(" ")[2]}
    return found | (_secrets_in("", made.upstream) if made.upstream else set())


def without_text(query: Mapping[str, Any]) -> dict[str, Any]:
    """A query as ``/api/queries`` gives it, less what people and documents said: ids, hashes, scores, times stay."""
    kept = {key: value for key, value in query.items() if key not in _QUERY_TEXTS}
    kept["steps"] = [
        {
            key: _documents(value) if key == "documents" else value
            for key, value in step.items()
            if key not in _STEP_TEXTS
        }
        for step in query["steps"]
    ]
    return kept


def _documents(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in document.items() if key != "text"} for document in documents]
