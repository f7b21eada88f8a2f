"""A span on its way to a query: what it is, whose it is, and where it hangs in its trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from ragwatch import semconv
from ragwatch.conventions.own import STATUS_ERROR, step_name, to_step
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.read import fields_of, read_step
from ragwatch.conventions.registry import recognise
from ragwatch.conventions.table import NOTHING, OTHER, SERVER, STRUCTURE, Row, Seen, flag
from ragwatch.record import Step

PARENT_IS_REMOTE: Final = 0x300
"""The bits of a span's flags that say so (opentelemetry-proto, SpanFlags)."""
CALLS: Final = frozenset({"generate", "embed", "rerank", "retrieve"})
"""Steps that a framework and a client may both record."""
CLIENT: Final = 3
_FRAMEWORKS: Final = (
    "langchain", "langgraph", "llama_index", "llamaindex", "haystack", "crewai", "dspy", "smolagents", "agno",
    "autogen", "pydantic", "agents", "semantic_kernel", "strands", "beeai", "guidance", "pipecat",
)  # fmt: skip
"""In the scope of an instrumentor of a framework; any other instrumentor's is a client's."""
AT_THE_END_NS: Final = 1_000_000
"""An exception so near to a call's end ended it."""
_SILENT: Final = frozenset({OTHER, SERVER})
MAX_DEPTH: Final = 200
"""Parent links that form a longer chain, or a circle, are hostile."""


class Origin(NamedTuple):
    """Whose spans these are."""

    service: str
    environment: str
    instance: str | None
    version: str | None = None


class Node:
    """One span of a trace. ``role`` is a step, ``query``, or structure; ``merged`` are spans that were one with it."""

    __slots__ = (
        "_fields", "_step", "alone", "came_at", "children", "counted", "key", "lost", "merged", "origin", "own",
        "parent", "role", "row", "scope", "seen", "span",
    )  # fmt: skip

    def __init__(
        self, span: RawSpan, scope: str, origin: Origin, step: Step | None = None, *, row: int = 0, came_at: float = 0.0
    ) -> None:
        self.row = row
        """Of the inbox, where it came through one."""
        self.came_at = came_at
        self.span = span
        self.scope = scope
        self.origin = origin
        self.key = span.trace_id + span.span_id
        """Under which it came; its trace may become another's."""
        own = step_name(span.attributes)
        self.own = own is not None
        """It is in ragwatch's own convention."""
        self.seen = Seen(None, own) if own is not None else recognise(span, scope)
        self.role = self.seen.role
        if (
            span.status_code != STATUS_ERROR
            and not self.own
            and self.role not in _SILENT
            and _has_failed(span, self.seen)
        ):
            self.span = span = span._replace(status_code=STATUS_ERROR)
        self.counted = span.attributes.get(semconv.COUNTED) is True
        self.alone = not span.parent_id and not self.own and self.role in CALLS and _is_clients(span, scope)
        """It is a client's call that began a trace: perhaps a framework's call that did not make itself current."""
        self.parent: Node | None = None
        self.children: list[Node] = []
        self.merged: list[Node] = []
        self.lost = False
        """Its parent is not there."""
        self._step = step
        self._fields: dict[str, Row] = {}

    @property
    def is_step(self) -> bool:
        """Whether it is a step of a query, or one of its own."""
        return self.role not in STRUCTURE and self.role != "query"

    @property
    def remote(self) -> bool:
        """Whether its parent is known to be another process'."""
        return (self.span.flags or 0) & PARENT_IS_REMOTE == PARENT_IS_REMOTE

    @property
    def id(self) -> str:
        """The span's id in hex."""
        return self.span.span_id.hex()

    def fields(self, kind: str) -> Row:
        """What the span says as that kind of step, read once."""
        found = self._fields.get(kind)
        if found is None:
            found = self._fields[kind] = fields_of(self.span, self.seen, kind)
        return found

    def step(self) -> Step:
        """The step that it is by itself, without what was merged into it."""
        if self._step is None:
            span = self.span
            if self.own:
                self._step = to_step(
                    self.role,
                    span.name,
                    (span.trace_id.hex(), span.span_id.hex(), span.parent_id.hex() or None),
                    (span.start_ns, span.end_ns),
                    (span.status_code, span.status_message),
                    span.attributes,
                    span.events,
                )
            else:
                self._step = read_step(span, self.seen, self.role, self.fields(self.role))
        return self._step

    def above(self) -> Iterator[Node]:
        """Its ancestors, the nearest first."""
        at = self.parent
        for _ in range(MAX_DEPTH):
            if at is None:
                return
            yield at
            at = at.parent

    def below(self) -> Iterator[Node]:
        """Its descendants, in order of start."""
        todo = list(reversed(self.children))
        while todo:
            node = todo.pop()
            yield node
            todo.extend(reversed(node.children))

    def step_above(self) -> Node | None:
        """The nearest step around it, in the same query: a leaked run may hang below another's step."""
        found = next((node for node in self.above() if node.is_step or node.role == "query"), None)
        return found if found is not None and found.is_step else None


def _has_failed(span: RawSpan, seen: Seen) -> bool:
    """Whether a span whose status does not say so ended in an error.

    Without a status: it names an error, or an exception was the last of it.
    """
    if seen.convention is not None and seen.convention.fails_by_event:
        return any(name == semconv.EVENT_EXCEPTION for name, _, _ in span.events or ())
    if span.status_code:
        return False
    kind = span.attributes.get("error.type")
    if isinstance(kind, str) and kind not in NOTHING:
        return True
    if not span.events:
        return False
    name, at, held = span.events[-1]
    if name != semconv.EVENT_EXCEPTION:
        return False
    return flag(held.get("exception.escaped")) is True or (seen.role in CALLS and span.end_ns - at <= AT_THE_END_NS)


def _is_clients(span: RawSpan, scope: str) -> bool:
    lowered = scope.lower()
    return not is_frameworks(scope) and (span.kind == CLIENT or "instrumentation" in lowered or "openlit" in lowered)


@lru_cache(maxsize=1024)
def is_frameworks(scope: str) -> bool:
    """Whether a scope is that of a framework's instrumentor, or of the framework itself."""
    lowered = scope.lower()
    return any(name in lowered for name in _FRAMEWORKS)


def own_node(step: Step, origin: Origin, *, counted: bool) -> Node:
    """The node of one of ragwatch's own steps, whose span is not kept: the step says all of it."""
    attributes: dict[str, object] = {semconv.STEP: step.step}
    if counted:
        attributes[semconv.COUNTED] = True
    span = RawSpan(
        bytes.fromhex(step.trace_id),
        bytes.fromhex(step.span_id),
        bytes.fromhex(step.parent_id or ""),
        step.name,
        0,
        step.start_ns,
        step.end_ns,
        attributes,
        None,
        None,
        STATUS_ERROR if step.outcome == "error" else 0,
        "",
        "",
        0,
        0,
    )
    return Node(span, semconv.SCOPE_NAME, origin, step)


def link(nodes: Iterable[Node]) -> list[Node]:
    """Hang the nodes of one trace on one another; those on top, in order of start, whatever order they came in."""
    ordered = sorted(nodes, key=_place)
    by_id: dict[bytes, Node] = {}
    for node in ordered:
        by_id.setdefault(node.span.span_id, node)
        node.parent, node.lost, node.children = None, False, []
    tops = []
    for node in ordered:
        parent = by_id.get(node.span.parent_id) if node.span.parent_id else None
        if parent is node or (parent is not None and _hangs_below(parent, node)):
            parent = None
        if parent is None:
            node.lost = bool(node.span.parent_id)
            tops.append(node)
        else:
            node.parent = parent
            parent.children.append(node)
    return tops


def _hangs_below(node: Node, other: Node) -> bool:
    """Whether a parent link would close a circle."""
    return any(above is other for above in node.above())


def _place(node: Node) -> tuple[int, int, bytes]:
    """In order of start; of two that start together the longer one is around the other."""
    return (node.span.start_ns, -node.span.end_ns, node.span.span_id)
