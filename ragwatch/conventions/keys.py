"""What the names of a span's attributes say, worked out once for each set of names.

An instrumentor writes the same names on every span of a kind, so that which rules, fields and packed values can be
there at all is looked up by the tuple of names: a third of a microsecond, where going through them took ten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ragwatch.conventions.table import Convention, Field, Row, Rule, Seen, text

Place = tuple[str, Callable[[Any], Any]]


class Plan(NamedTuple):
    """Where the fields of a step may stand."""

    texts: tuple[tuple[str, str], ...]
    """(field, attribute) of texts that stand in one place: most fields."""
    values: tuple[tuple[str, str, Callable[[Any], Any]], ...]
    """The same of other values."""
    choices: tuple[tuple[str, tuple[Place, ...]], ...]
    """Fields that may stand in several places, the best place first."""


Flat = tuple[tuple[tuple[str, str], ...], ...]
First = tuple[str, bool, dict[Any, Seen]]
Settled = tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...], dict[Any, Seen]]
MAX_CACHED: Final = 4096
MAX_NAMES: Final = 512
"""Spans of more names are worked out each time."""


class Keys:
    """What can be in a span of these names."""

    __slots__ = (
        "_extractors",
        "_flat",
        "_plans",
        "_rules",
        "_tells",
        "first",
        "is_learnt",
        "is_marked",
        "is_transport",
        "names",
        "settled",
    )

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.is_marked = any(name.startswith(VECTORS) for name in names)
        """A vector store's client wrote them."""
        self.is_transport = any(name.startswith(TRANSPORT) for name in names)
        self._plans: dict[str, Plan] = {}
        self._flat: dict[str, Flat] = {}
        self._extractors: dict[int, tuple[Callable[[Row, Any, str], None], ...]] = {}
        self._tells: bool | None = None
        self.is_learnt = False
        self.first: First | None = None
        """The attribute that settles what such a span is, where one does: the telling attribute of the first rule.

        With it come whether the span's name has a say too, and what was found before. None where more is looked at.
        """
        self.settled: Settled | None = None
        """What else settles it, beside the span's name, kind, status and scope: attributes by their values, others by
        their beginnings; and what was found before. None where more is looked at."""
        self._rules: tuple[tuple[Convention, tuple[Rule, ...]], ...] | None = None

    def rules(self, conventions: tuple[Convention, ...]) -> tuple[tuple[Convention, tuple[Rule, ...]], ...]:
        """The conventions that may know such a span, with those of their rules whose attribute is there."""
        if self._rules is None:
            held = frozenset(self.names)
            found = (
                (convention, tuple(rule for rule in convention.rules if rule.key in held)) for convention in conventions
            )
            self._rules = tuple(
                (convention, rules)
                for convention, rules in found
                if rules or (convention.look and (not convention.heeds or not held.isdisjoint(convention.heeds)))
            )
        return self._rules

    def learn(self, conventions: tuple[Convention, ...]) -> None:
        """Find out what settles what such a span is: ``first`` and ``settled``."""
        convention, rules = next(iter(self.rules(conventions)), (None, ()))
        if convention is not None and rules and (convention.refine is None or convention.refines_by_name):
            self.first = rules[0].key, convention.refine is not None, {}
        self.settled = self._settling()
        self.is_learnt = True

    def _settling(self) -> Settled | None:
        held = frozenset(self.names)
        values: dict[str, None] = {}
        beginnings: list[tuple[str, tuple[str, ...]]] = []
        for convention, rules in self._rules or ():
            values |= dict.fromkeys(rule.key for rule in rules)
            if convention.look is None and convention.refine is None:
                continue
            if convention.settled_by is None or not held.isdisjoint(convention.searched):
                return None
            values |= dict.fromkeys(key for key in convention.settled_by if key in held)
            beginnings += [entry for entry in convention.beginnings if entry[0] in held]
        return tuple(values), tuple(beginnings), {}

    def tells_of_query(self, table: Mapping[str, tuple[tuple[str, int, Field], ...]]) -> bool:
        """Whether such a span may say whose question it was, or by which prompt."""
        if self._tells is None:
            self._tells = any(
                name in _PACKED_OF_QUERY or any(field in OF_QUERY for field, _, _ in table.get(name, ()))
                for name in self.names
            )
        return self._tells

    def plan(self, kind: str, table: Mapping[str, tuple[tuple[str, int, Field], ...]]) -> Plan:
        """Where each field of a step of that kind may stand, the best place first."""
        plan = self._plans.get(kind)
        if plan is None:
            places: dict[str, list[tuple[int, str, Callable[[Any], Any]]]] = {}
            for key in self.names:
                for name, rank, field in table.get(key, ()):
                    if not field.steps or kind in field.steps:
                        places.setdefault(name, []).append((rank, key, field.read))
            single = {name: found[0][1:] for name, found in places.items() if len(found) == 1}
            plan = self._plans[kind] = Plan(
                tuple((name, key) for name, (key, read) in single.items() if read is text),
                tuple((name, key, read) for name, (key, read) in single.items() if read is not text),
                tuple(
                    (name, tuple((key, read) for _, key, read in sorted(found, key=lambda place: place[:2])))
                    for name, found in places.items()
                    if len(found) > 1
                ),
            )
        return plan

    def extractors(
        self, own: Convention | None, conventions: tuple[Convention, ...]
    ) -> tuple[Callable[[Row, Any, str], None], ...]:
        """Who looks into packed values: the convention that knows the span, and those whose marks it carries too."""
        found = self._extractors.get(id(own))
        if found is None:
            held = frozenset(self.names)
            found = self._extractors[id(own)] = tuple(
                convention.extract
                for convention in conventions
                if convention.extract is not None and (convention is own or not held.isdisjoint(convention.marks))
            )
        return found

    def flat(self, prefix: str) -> Flat:
        """The (name, key)s of each item of a list that was flattened into ``prefix.N.name`` attributes, in order."""
        flat = self._flat.get(prefix)
        if flat is None:
            found: dict[int, list[tuple[str, str]]] = {}
            start = len(prefix)
            for key in self.names:
                if key.startswith(prefix):
                    index, dot, name = key[start:].partition(".")
                    if dot and index.isascii() and index.isdigit() and len(index) < 6:
                        found.setdefault(int(index), []).append((name, key))
            flat = self._flat[prefix] = tuple(tuple(found[index]) for index in sorted(found))
        return flat


OF_QUERY: Final = frozenset({"session", "user", "tenant", "prompt_version"})
_PACKED_OF_QUERY: Final = frozenset({"metadata", "tag.tags"})
VECTORS: Final = ("db.vector.", "db.chroma.", "db.milvus.", "db.pinecone.", "db.weaviate.", "db.marqo.", "db.lancedb.",
           "pinecone.", "qdrant.")  # fmt: skip
TRANSPORT: Final = ("http.", "rpc.", "messaging.", "db.", "url.", "faas.", "net.", "network.", "server.address")
_known: Final[dict[tuple[str, ...], Keys]] = {}


def keys_of(attributes: Mapping[str, Any]) -> Keys:
    """What the names of these attributes say.

    >>> keys_of({"d.0.id": "a", "d.1.id": "b", "d.0.score": 0.5}).flat("d.")
    ((('id', 'd.0.id'), ('score', 'd.0.score')), (('id', 'd.1.id'),))
    """
    names = tuple(attributes)
    found = _known.get(names)
    if found is None:
        found = Keys(names)
        if len(names) <= MAX_NAMES:
            if len(_known) >= MAX_CACHED:
                _known.clear()
            _known[names] = found
    return found


def forget() -> None:
    """Work everything out anew: the conventions have changed."""
    _known.clear()
