"""What may be asked of the stored queries, declared once for the web, the command line and the OpenAPI document.

A parameter knows how to read its text; a fault is a ``ParameterError`` that says what it should look like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from time import time
from typing import Any

from ragwatch.agent.asked import Search
from ragwatch.config.duration import to_seconds
from ragwatch.errors import RagwatchError
from ragwatch.semconv import ERROR_CLASSES, OUTCOMES, STEPS

MAX_LIMIT = 1000
_CURSOR = re.compile(r"(\d{1,19})-(\d{1,19})")


class ParameterError(RagwatchError):
    """A parameter that cannot be used: its name, and what is wrong with it."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(f"{name}{problem}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: which field of ``Search`` it sets, how its text is read, its JSON Schema, an example."""

    name: str
    meaning: str
    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    example: str = ""
    sets: str = ""
    shortcuts: Mapping[str, str] = field(default_factory=dict)
    """Options of the command that set it: ``--errors`` is ``outcome=error``."""

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return f"--{self.name.replace('_', '-')}"


def _one_of(values: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in values:
            near = get_close_matches(text, values, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{text!r}: one of {', '.join(values)}{hint}")
        return text

    return read


def _yes(text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0", ""}:
        raise ValueError(f"{text!r}: true or false")
    return text.lower() in {"true", "1", ""}


def _text(text: str) -> str:
    if not text:
        raise ValueError("it is empty")
    return text


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_LIMIT:
        raise ValueError(f"{text!r}: a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _cursor(text: str) -> tuple[int, int]:
    found = _CURSOR.fullmatch(text)
    if found is None or max(int(found[1]), int(found[2])) >= 1 << 63:
        raise ValueError(f"{text!r}: what `next` of the page before said")
    return int(found[1]), int(found[2])


def _choice(name: str, meaning: str, values: tuple[str, ...], **more: Any) -> Parameter:
    return Parameter(name, meaning, _one_of(values), {"type": "string", "enum": list(values)}, values[0], **more)


def _flag(name: str, meaning: str) -> Parameter:
    return Parameter(
        name, meaning, _yes, {"type": "boolean", "default": False}, "true", shortcuts={f"--{name}": "true"}
    )


def _age(text: str) -> float:
    return time() - to_seconds(text)


_TEXT = {"type": "string", "minLength": 1}
_DURATION = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$"}
SEARCH = (
    Parameter("since", "ended no longer ago than this", _age, _DURATION, "15m", sets="since_s"),
    _choice(
        "outcome", "how it ended", OUTCOMES,
        shortcuts={"--errors": "error", "--degraded": "degraded", "--rejected": "rejected"},
    ),
    _flag("bad", "judged bad: by feedback, by a judge, or by the label that came with it"),
    _flag("empty", "a retrieval of it found nothing"),
    _choice("step", "the step to look at: the cause of the failure, what degraded, else the longest wait", STEPS),
    _choice("error_class", "what kind of failure", ERROR_CLASSES),
    Parameter("document", "was served this document", _text, _TEXT, "doc-17"),
    Parameter("service", "of this app", _text, _TEXT, "support-bot"),
    Parameter("slower_than", "took longer than this", to_seconds, _DURATION, "2s", sets="slower_than_s"),
    _choice("order", "which come first", ("newest", "slowest"), shortcuts={"--slow": "slowest"}),
    Parameter(
        "limit", "so many at the most", _limit,
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}, "50",
    ),
    Parameter("cursor", "go on where a page ended: its `next`", _cursor, {"type": "string"}, sets="after"),
)  # fmt: skip
SERVICE = Parameter("service", "of this app alone; all together without it", _text, _TEXT, "support-bot")


def read(given: Iterable[tuple[str, str]], known: tuple[Parameter, ...]) -> dict[str, Any]:
    """The values of parameters by the names that they set; ``ParameterError`` for what cannot be read.

    >>> read([("service", "bot"), ("limit", "7")], SEARCH)
    {'service': 'bot', 'limit': 7}
    >>> read([("outcome", "eror")], SEARCH)
    Traceback (most recent call last):
    ragwatch.agent.parameters.ParameterError: outcome='eror': one of ok, error, rejected, degraded, cancelled, ...
    """
    by_name = {parameter.name: parameter for parameter in known}
    values: dict[str, Any] = {}
    for name, text in given:
        parameter = by_name.get(name)
        if parameter is None:
            near = get_close_matches(name, by_name, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(by_name)}"
            raise ParameterError(name, f": no such parameter; {hint}")
        try:
            values[parameter.sets or name] = parameter.read(text)
        except ValueError as error:
            raise ParameterError(name, f"={error}") from None
    return values


def search_of(given: Iterable[tuple[str, str]]) -> Search:
    """The search that a query string asks for; ``ParameterError`` for what cannot be read."""
    return Search(**read(given, SEARCH))
