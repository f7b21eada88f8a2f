"""What a convention is: rules, in order, that say which step a span is, and a table of where each field stands.

A rename upstream is a line in one of these tables, and ``docs/conventions.md`` is generated from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ragwatch.conventions.raw import RawSpan

Attributes = Mapping[str, Any]
Row = dict[str, Any]
"""Fields of one step or query by name, as they are found."""

WORKFLOW: Final = "workflow"
"""The span of a whole run: a query where it is on top and something was retrieved or generated below it."""
CHAIN: Final = "chain"
"""A run, or a part of one: only what stands around it tells."""
TASK: Final = "task"
"""Structure between a run and its steps."""
STORE_READ: Final = "store_read"
"""A read from a vector store that is no search."""
EVALUATION: Final = "evaluation"
SERVER: Final = "server"
"""The request that the app serves."""
OTHER: Final = "other"
STRUCTURE: Final = frozenset({WORKFLOW, CHAIN, TASK, STORE_READ, EVALUATION, SERVER, OTHER})


@dataclass(frozen=True, slots=True)
class Rule:
    """A span whose attribute ``key`` has one of ``values`` (compared in lower case) has that role; None goes on.

    A value of several words (``retrieval my_docs``) may stand for its first.
    """

    key: str
    values: Mapping[str, str | None]
    otherwise: str | None = None
    """The role of any other value."""

    def role(self, value: object) -> str | None:
        """The role that this value of the attribute gives."""
        if not isinstance(value, str):
            return None
        said = value.lower()
        return self.values.get(said if said in self.values else said.partition(" ")[0], self.otherwise)


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field stands: the first of ``keys`` that holds a value which ``read`` can read."""

    name: str
    keys: tuple[str, ...]
    read: Callable[[Any], Any]
    steps: frozenset[str] = frozenset()
    """Only on these steps; none: on all."""


@dataclass(frozen=True, slots=True)
class Convention:
    """One convention: its rules in order, its fields, and what no table can say.

    ``look`` sees the whole span where no rule matched (names, prefixes); ``extract`` adds to the fields what is packed
    in JSON, flattened indices or events. ``prefixes`` tell a span of this convention by an attribute's beginning.
    """

    name: str
    title: str
    rules: tuple[Rule, ...] = ()
    fields: tuple[Field, ...] = ()
    look: Callable[[RawSpan, str], str | None] | None = None
    extract: Callable[[Row, RawSpan, str], None] | None = None
    refine: Callable[[RawSpan], str | None] | None = None
    """Asked after a rule matched: it may know better."""
    refines_by_name: bool = False
    """Of the span it looks at nothing but the name and the attribute whose rule matched."""
    settled_by: tuple[str, ...] | None = None
    """The attributes whose values ``look`` and ``refine`` read. Beside these they may heed the span's name, kind and
    status, its scope, and which attributes there are; spans that agree in all of it are looked at once. None: they read
    more."""
    beginnings: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(attribute, beginnings): of these ``look`` reads only whether they begin with one of them."""
    searched: tuple[str, ...] = ()
    """Attributes in which ``look`` searches: where one of them is, each span is looked at."""
    heeds: tuple[str, ...] = ()
    """``look`` is asked only where one of these attributes is; none: always."""
    marks: tuple[str, ...] = ()
    """Attributes that show that a span which another convention knows carries this one's packed values as well."""
    weak: bool = False
    """Its roles are guesses by name: they yield to what stands below."""
    fails_by_event: bool = False
    """An exception among its events is the span's failure, whatever its status says."""
    packed: tuple[tuple[str, str], ...] = ()
    """(field, where ``extract`` finds it), for the documentation."""
    lacks: tuple[tuple[str, str], ...] = ()
    """(field, what would give it): what this convention never says."""


class Seen:
    """What is made of a span: its convention and its role. Spans of which the same can be said share one."""

    __slots__ = ("by_rule", "convention", "is_run", "keys", "plans", "role", "weak")

    def __init__(
        self,
        convention: Convention | None,
        role: str,
        weak: bool = False,
        is_run: bool = False,
        by_rule: str | None = None,
        keys: Any = None,
    ) -> None:
        self.keys = keys
        """The ``Keys`` of the spans, where all have the same names."""
        self.plans: dict[str, Any] = {}
        """Where the fields of a step stand in such spans, by the kind of step."""
        self.convention = convention
        self.role = role
        self.weak = weak
        self.is_run = is_run
        """It says of itself that it is a whole run, whatever its name says."""
        self.by_rule = by_rule
        """The attribute whose rule said so."""


# -- reading values ---------------------------------------------------------------------------------------------------

REDACTED: Final = "__REDACTED__"
NOTHING: Final = frozenset({"", REDACTED, "none"})
"""Texts that stand where there is none: Micrometer fills in the last."""


def text(value: object) -> str | None:
    """A text that says something.

    >>> text("gpt-4"), text(""), text("__REDACTED__"), text("none"), text(4)
    ('gpt-4', None, None, None, None)
    """
    return value if isinstance(value, str) and value not in NOTHING else None


def whole(value: object) -> int | None:
    """A count: an int, a float without fraction, or a string of digits.

    >>> whole(3), whole(3.0), whole("3"), whole(-1), whole(True)
    (3, 3, 3, None, None)
    """
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, float):
        return int(value) if value >= 0 and value == value // 1 and value < 2**63 else None
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit():
        return int(value)
    return None


def given(value: object) -> int | None:
    """How many tokens a model was given: never none, so that 0 is what is filled in where nothing was said.

    >>> given(7), given(0)
    (7, None)
    """
    return whole(value) or None


def number(value: object) -> float | None:
    """A finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    return None


def cost(value: object) -> float | None:
    """A price; 0 is what is filled in where no price list could be had, and says nothing."""
    found = number(value)
    return found if found is not None and found > 0 else None


def flag(value: object) -> bool | None:
    """A boolean, also as a word."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None
