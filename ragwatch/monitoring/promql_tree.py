"""The part of PromQL that the panels use, as a tree: selectors, ranges, sums, a few functions, operators.

Whatever is not among it raises ``RagwatchError``, so that nothing is drawn that a Prometheus would draw otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ragwatch.errors import RagwatchError

FUNCTIONS = frozenset({"rate", "increase", "histogram_quantile", "scalar", "sqrt", "label_replace"})
AGGREGATIONS = frozenset({"sum", "max", "min", "count"})
_COMPARISONS = dict.fromkeys(("==", "!=", ">", "<", ">=", "<="), 3)
_BINDS = {"or": 1, "and": 2, "unless": 2, **_COMPARISONS, "+": 4, "-": 4, "*": 5, "/": 5, "^": 6}
_TOKEN = re.compile(
    r"\s*(?:(?P<duration>\d+[smhd])|(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(?P<name>[a-zA-Z_:][\w:]*)"
    r'|(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign>=~|!~|==|!=|>=|<=|[-+*/^<>=(){}\[\],]))'
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Selector:
    """Series by name and matchers ``(label, operator, value)``; with ``range_s`` their samples of that time."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()
    range_s: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A function of other expressions."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Many series into one for each value of the labels ``by``."""

    operation: str
    by: tuple[str, ...]
    of: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two expressions; a comparison with ``as_bool`` gives 0 or 1.

    ``whole``: an ``or on ()``, whose right side counts only where the left has nothing at all.
    """

    operator: str
    left: Node
    right: Node
    as_bool: bool = False
    whole: bool = False


Node = Selector | Call | Aggregate | Binary | float | str


def parse(text: str) -> Node:
    """The tree of an expression.

    >>> parse('sum by (step) (rate(rag_step_calls_total{step="embed"}[5s])) > bool 0').operator
    '>'
    >>> parse("topk(3, up)")
    Traceback (most recent call last):
    ragwatch.errors.RagwatchError: topk: only a Prometheus can do that, in: topk(3, up)
    """
    reader = _Reader(text)
    found = reader.expression(0)
    if reader.kind != "end":
        raise reader.error(reader.value)
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._cut(text)
        self.kind = self.value = ""
        self._next()

    def error(self, what: str) -> RagwatchError:
        return RagwatchError(f"{what}: only a Prometheus can do that, in: {self._text}")

    def expression(self, least: int) -> Node:
        left = self._operand()
        while (binds := _BINDS.get(self.value, 0)) > least and self.kind in {"sign", "name"}:
            operator = self._take()
            as_bool = self._skip("bool")
            whole = operator == "or" and self._skip("on")
            if whole:
                self._expect("(")
                self._expect(")")
            if self.value in {"on", "ignoring"}:
                raise self.error(self.value)
            left = Binary(operator, left, self.expression(binds - (operator == "^")), as_bool, whole)
        return left

    def _operand(self) -> Node:
        if self.kind == "number":
            return float(self._take())
        if self.kind == "text":
            return self._take()[1:-1]
        if self._skip("("):
            inner = self.expression(0)
            self._expect(")")
            return inner
        if self.kind != "name":
            raise self.error(self.value or "an end")
        name = self._take()
        if name in AGGREGATIONS:
            return self._aggregate(name)
        if self.value == "(":
            if name not in FUNCTIONS:
                raise self.error(name)
            return Call(name, self._arguments())
        return self._selector(name)

    def _aggregate(self, name: str) -> Aggregate:
        by: tuple[str, ...] = ()
        if self._skip("by"):
            self._expect("(")
            by = tuple(iter(self._label, None))
        (of,) = self._arguments()
        return Aggregate(name, by, of)

    def _label(self) -> str | None:
        self._skip(",")
        return None if self._skip(")") else self._take()

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        found = [self.expression(0)]
        while self._skip(","):
            found.append(self.expression(0))
        self._expect(")")
        return tuple(found)

    def _selector(self, name: str) -> Selector:
        matchers: list[tuple[str, str, str]] = []
        if self._skip("{"):
            while not self._skip("}"):
                label, operator, value = self._take(), self._take(), self._take()
                matchers.append((label, operator, value[1:-1].replace('\\"', '"')))
                self._skip(",")
        range_s = None
        if self._skip("["):
            value = self._take()
            range_s = float(value[:-1]) * _SECONDS[value[-1]]
            self._expect("]")
        if self.value == "offset":
            raise self.error("offset")
        return Selector(name, tuple(matchers), range_s)

    def _skip(self, value: str) -> bool:
        found = self.value == value and self.kind != "text"
        if found:
            self._next()
        return found

    def _expect(self, value: str) -> None:
        if not self._skip(value):
            raise self.error(self.value or "an end")

    def _take(self) -> str:
        value = self.value
        self._next()
        return value

    def _next(self) -> None:
        self.kind, self.value = next(self._tokens)

    def _cut(self, text: str) -> Iterator[tuple[str, str]]:
        place = 0
        text = text.rstrip()
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                raise self.error(text[place : place + 10])
            yield found.lastgroup, found[found.lastgroup]
            place = found.end()
        while True:
            yield "end", ""
