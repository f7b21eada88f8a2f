"""All conventions in their order of precedence, and the one function that says what a span is.

The first that knows a span decides what it is; where a field stands is asked of all, since one span often carries the
names of two. Others add a convention of their own by an entry point in the group ``ragwatch_convention``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from ragwatch.conventions import (
    genai,
    handmade,
    haystack,
    langfuse,
    langsmith,
    llama_index,
    mlflow,
    openinference,
    openlit,
    openllmetry,
    spring_ai,
    vector_store,
    vercel_ai,
)  # fmt: skip
from ragwatch.conventions.keys import Keys, keys_of
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.table import OTHER, SERVER, WORKFLOW, Convention, Field, Seen

GROUP: Final = "ragwatch_convention"
MAX_KNOWN: Final = 1024
"""What is remembered of spans of the same names, by what their telling attributes say."""
MAX_SAID: Final = 1000
"""Characters of it that are worth remembering."""
log: Final = logging.getLogger("ragwatch")
_FIRST: Final = (
    openinference.CONVENTION, vercel_ai.CONVENTION, spring_ai.CONVENTION, langsmith.CONVENTION, genai.CONVENTION,
    langfuse.CONVENTION, mlflow.CONVENTION, vector_store.CONVENTION, haystack.CONVENTION, llama_index.CONVENTION,
    openlit.CONVENTION,
)  # fmt: skip
_LAST: Final = (openllmetry.CONVENTION, handmade.CONVENTION, openllmetry.TASKS)


@cache
def conventions() -> tuple[Convention, ...]:
    """Every convention, the most telling first; installed ones come before those by name."""
    return (*_FIRST, *_installed(), *_LAST)


def builtin() -> tuple[Convention, ...]:
    """The conventions that come with ragwatch, each once, in order."""
    return _once((*_FIRST, *_LAST))


def documented() -> tuple[Convention, ...]:
    """Every convention once, for people."""
    return _once(conventions())


def _once(held: Iterable[Convention]) -> tuple[Convention, ...]:
    found: dict[str, Convention] = {}
    for convention in held:
        found.setdefault(convention.name, convention)
    return tuple(found.values())


def recognise(span: RawSpan, scope: str) -> Seen:
    """What a span is: a step, structure, or ``other``."""
    attributes = span.attributes
    keys = keys_of(attributes)
    if not keys.is_learnt:
        keys.learn(conventions())
    first = keys.first
    said: Any = None
    if first is not None:
        key, by_name, known = first
        value = attributes[key]
        if type(value) is str:
            said = (value, span.name) if by_name else value
            seen = known.get(said)
            if seen is not None:
                return seen
    settled = keys.settled
    if settled is None:
        seen = _recognise(keys, span, scope)
    else:
        values, beginnings, alike = settled
        all_said = (span.name, scope, span.kind, span.status_code, *[attributes[key] for key in values])
        for key, heads in beginnings:
            all_said += (str(attributes[key]).startswith(heads),)
        try:
            seen = alike.get(all_said)
        except TypeError:  # an array or a mapping where nobody expects one
            return _recognise(keys, span, scope)
        if seen is not None:
            return seen
        seen = _recognise(keys, span, scope)
        _keep(alike, all_said, seen)
    if said is not None and first is not None and seen.by_rule == first[0]:
        _keep(first[2], said, seen)
    return seen


def _keep(known: dict[Any, Seen], said: Any, seen: Seen) -> None:
    if len(known) >= MAX_KNOWN:
        known.clear()
    if len(str(said)) <= MAX_SAID:
        known[said] = seen


def _recognise(keys: Keys, span: RawSpan, scope: str) -> Seen:
    attributes = span.attributes
    for convention, rules in keys.rules(conventions()):
        for rule in rules:
            role = rule.role(attributes[rule.key])
            if role is not None:
                better = convention.refine(span) if convention.refine is not None else None
                is_weak = better is not None and role == WORKFLOW
                return Seen(convention, better or role, is_weak, role == WORKFLOW, rule.key, keys)
        if convention.look is not None:
            role = convention.look(span, scope)
            if role is not None:
                return Seen(convention, role, convention.weak and role != SERVER, keys=keys)
    return Seen(None, OTHER, keys=keys)


@cache
def field_table() -> dict[str, tuple[tuple[str, int, Field], ...]]:
    """(field, rank, declaration) by attribute name: a lower rank wins."""
    found: dict[str, list[tuple[str, int, Field]]] = {}
    for place, convention in enumerate(conventions()):
        for field in convention.fields:
            for rank, key in enumerate(field.keys):
                found.setdefault(key, []).append((field.name, place * 100 + rank, field))
    return {key: tuple(entries) for key, entries in found.items()}


def _installed() -> Iterable[Convention]:
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        try:
            held: Any = point.load()
        except Exception as error:  # noqa: BLE001  (somebody else's package)
            log.warning("ragwatch: the convention %r cannot be loaded and is left out: %r", point.name, error)
            continue
        if isinstance(held, Convention):
            yield held
        else:
            log.warning("ragwatch: the entry point %r is no Convention and is left out", point.name)
