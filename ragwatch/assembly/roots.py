"""Which spans of a trace are queries: one for each run, wherever the trace begins and whatever is missing of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ragwatch.assembly.node import Node, Origin
from ragwatch.conventions.own import STATUS_ERROR
from ragwatch.conventions.table import CHAIN, EVALUATION, OTHER, SERVER, STORE_READ, TASK, WORKFLOW

ANSWERING: Final = frozenset({"retrieve", "generate"})
RUNS: Final = frozenset({WORKFLOW, CHAIN})
_YIELDS: Final = {
    "retrieve": frozenset({"generate"}),
    "generate": frozenset({"retrieve", "rerank"}),
    "embed": frozenset({"retrieve", "generate", "rerank", "ingest"}),
    "cache": ANSWERING,
    "guardrail": frozenset({"retrieve"}),
    "ingest": ANSWERING,
    "rerank": frozenset({"retrieve"}),
    "tool": frozenset[str](),
}
"""A step by name alone is structure after all where it holds one of these."""


def settle_roles(tops: Iterable[Node]) -> list[Node]:
    """Decide the roles that depend on the rest of the trace; the nodes that are queries, in order of start."""
    queries: list[Node] = []
    found = list(tops)
    for top in found:
        _yield_by_name(top)
    fragments = _fragments(found)
    for top in found:
        ours = (_below(top) if id(top) in fragments else _queries(top)) or _without_answers(top)
        for node in ours:
            node.role = "query"
        queries += ours
        _drop_ingest_by_name(top)
    return queries


def asks(name: str) -> bool:
    """Whether a span's name speaks of a question or its answer.

    >>> [name for name in ("rag.query", "AskDocs", "task", "POST /chat", "storage", "answerQuestion") if asks(name)]
    ['rag.query', 'AskDocs', 'POST /chat', 'answerQuestion']
    """
    return _ASKS.search(_CAMEL.sub("_", name).lower()) is not None


_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ASKS: Final = re.compile(
    r"(?<![a-z])(?:ask|rag|qa|quer(?:y|ies)|question\w*|answer\w*|chat\w*|search\w*|complet\w*|invoke|respond\w*|reply)"
    r"(?![a-z])"
)


def of_a_query(steps: Iterable[str]) -> bool:
    """Whether steps of ragwatch's own, whose query never came, are of one: all but those of an ingestion."""
    kinds = set(steps)
    return bool(kinds) and ("ingest" not in kinds or bool(kinds & ANSWERING))


def _yield_by_name(top: Node) -> None:
    for node in (top, *top.below()):
        if node.seen.weak and node.is_step:
            held = {other.role for other in node.below() if other.is_step}
            if node.role == "ingest" and "ingest" in held and "retrieve" not in held:
                continue  # a model may help to prepare what is written
            by_hand = "traceloop.entity.name" not in node.span.attributes
            on_top = by_hand and node.parent is None and not node.lost and bool(held & ANSWERING)
            if node.role == "retrieve" and _RETRIEVER.search(_called(node)):
                continue  # a class of retrievers may ask a model how to ask
            ours = any(other.own and other.role == node.role for other in node.below())
            if on_top or ours or held & _YIELDS.get(node.role, frozenset()):
                node.role = OTHER if by_hand else WORKFLOW if node.seen.is_run else TASK


_RETRIEVER: Final = re.compile(r"[a-z0-9]Retriever(?:\.\w+)?$")


def _called(node: Node) -> str:
    return str(node.span.attributes.get("traceloop.entity.name") or node.span.name)


def _fragments(tops: Sequence[Node]) -> set[int]:
    """Chains whose run never came: several spans miss the same parent, so that each is but a part of it.

    But for those of one name that each retrieve and generate: runs that a leaked context hung below one span.
    """
    missing: dict[bytes, list[Node]] = {}
    for top in tops:
        if _misses_its_run(top) and _tells(top):
            missing.setdefault(top.span.parent_id, []).append(top)
    return {
        id(top)
        for parts in missing.values()
        if len(parts) > 1 and not _are_runs(parts)
        for top in parts
        if top.role == CHAIN
    }


def _are_runs(parts: Sequence[Node]) -> bool:
    called = {(part.span.name, part.scope) for part in parts}
    return len(called) == 1 and all(
        part.role in RUNS and {other.role for other in part.below()} >= ANSWERING for part in parts
    )


def _misses_its_run(top: Node) -> bool:
    return top.lost and not top.remote


def _tells(top: Node) -> bool:
    return top.is_step or _answers(top)


def _queries(node: Node) -> list[Node]:
    """The queries at or below a node that has none around it."""
    if node.role == "query":
        return [node]
    if node.is_step or node.role == EVALUATION or not _answers(node):
        return _topmost(other for other in node.below() if other.role == "query")
    if node.role in RUNS:
        return [node, *_leaked(node)]
    if _misses_its_run(node) and node.role in {TASK, OTHER}:
        return _below(node)
    own = _topmost(other for other in node.below() if other.role == "query")
    if own:
        return own
    parts = _parts(node)
    outside = _has_answers_outside(node, parts)
    if len(parts) == 1 and not outside:
        found = _queries(parts[0])
        return found if len(found) > 1 or node.role == SERVER else [node]
    if not outside and _is_batch(node, parts):
        return [query for part in parts for query in _queries(part)]
    return [node]


class Run(NamedTuple):
    """A run, by what tells whether another below it is a part of it."""

    span_id: bytes
    name: str
    scope: str
    origin: Origin
    end_ns: int
    generates_ns: int | None
    """When its first model call of its own begins."""
    spans: bytes = b""
    """The ids of its spans, 8 bytes each, where somebody has to know them."""
    steps: tuple[str | None, ...] = ()
    """Of each of these the step that it is, or is in."""

    @classmethod
    def of(cls, node: Node) -> Run:
        """What is to be known of a run."""
        calls = (
            call.span.start_ns
            for call in node.below()
            if call.role == "generate"
            and next(above for above in call.above() if above is node or above.role in _RUNS_OR_QUERY) is node
        )
        span = node.span
        first = min(calls, default=None)
        return cls(span.span_id, span.name, node.scope, node.origin, span.end_ns, first)


_RUNS_OR_QUERY: Final = RUNS | {"query"}


def _leaked(run: Node) -> list[Node]:
    """The runs of one instrumentor that are no part of the run they hang below: its context was still current."""
    end_ns, name = run.span.end_ns, run.span.name
    below = [
        other
        for other in run.below()
        if other.role in RUNS and (other.span.start_ns >= end_ns or other.span.name == name)
    ]
    found = leaked(Run.of(run), below) if below else []
    return [query for other in found for query in (other, *_leaked(other))]


def leaked(run: Run, below: Iterable[Node]) -> list[Node]:
    """Of spans that hang below a run those that are runs of their own, the topmost of each branch.

    They begin after it ended, or run beside it under its name (a batch begins its runs together).
    """
    return _topmost(
        other
        for other in below
        if other.role in RUNS
        and other.scope == run.scope
        and other.origin == run.origin
        and _answers(other)
        and (other.span.start_ns >= run.end_ns or _is_twin(other, run))
    )


def _is_twin(other: Node, run: Run) -> bool:
    """Whether a run right below another of its name answers by itself while the other one does so too."""
    return (
        run.generates_ns is not None
        and run.generates_ns < other.span.end_ns
        and other.seen.is_run
        and other.span.parent_id == run.span_id
        and other.span.name == run.name
        and _is_whole(other)
    )


def _below(node: Node) -> list[Node]:
    """The runs below a span that is only a part of one."""
    if node.role == CHAIN:
        return []
    return [query for child in node.children for query in _queries(child) if query.role in {*RUNS, "query"}]


def _parts(node: Node) -> list[Node]:
    """The structure right below in which something is retrieved or generated; a retrieval by itself is none."""
    found = []
    todo = list(reversed(node.children))
    while todo:
        child = todo.pop()
        if child.is_step:
            continue
        if child.role in RUNS or (child.role in {OTHER, TASK, SERVER} and _answers(child)):
            if _answers(child):
                found.append(child)
        else:
            todo.extend(reversed(child.children))
    return found


def _is_batch(node: Node, parts: Sequence[Node]) -> bool:
    """Whether a span goes through many questions: parts of one name that each answer, below one that asks nothing."""
    if len(parts) < 2 or asks(node.span.name):
        return False
    names = {part.span.name for part in parts}
    return len(names) == 1 and all(_is_whole(part) for part in parts)


def _is_whole(part: Node) -> bool:
    held = {other.role for other in part.below()}
    return "generate" in held and (part.role in RUNS or "retrieve" in held)


def _answers(node: Node) -> bool:
    return any((other.role in ANSWERING and not _is_judge(other)) or other.role == "query" for other in node.below())


def _is_judge(node: Node) -> bool:
    """Whether it works for an evaluation."""
    return any(above.role == EVALUATION for above in node.above())


def _has_answers_outside(node: Node, parts: Iterable[Node]) -> bool:
    inside = {id(other) for part in parts for other in part.below()}
    return any(other.role in ANSWERING and id(other) not in inside for other in node.below())


def _topmost(nodes: Iterable[Node]) -> list[Node]:
    found = list(nodes)
    chosen = {id(node) for node in found}
    return [node for node in found if not any(id(above) in chosen for above in node.above())]


def _without_answers(top: Node) -> list[Node]:
    """A root that only embeds and writes is an ingestion; one that failed before it could retrieve is a query."""
    if top.is_step or top.role in {STORE_READ, "query"} or top.lost:
        return []
    kinds = {node.role for node in top.below() if node.is_step}
    if kinds & ANSWERING:
        return []
    if "ingest" in kinds:
        top.role = "ingest"
    elif top.span.status_code == STATUS_ERROR and (
        top.role == WORKFLOW or (asks(top.span.name) and (kinds or top.role in RUNS))
    ):
        return [top]
    return []


def _drop_ingest_by_name(top: Node) -> None:
    """A text splitter within an answer is no ingestion."""
    for node in (top, *top.below()):
        if node.role == "ingest" and node.seen.weak and (node.parent is not None or node.lost):
            around = [above.role for above in node.above()]
            if "ingest" not in around:
                node.role = TASK
