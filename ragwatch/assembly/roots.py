"""Which spans of a trace are queries: one for each run, wherever the trace begins and whatever is missing of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ragwatch.assembly.node import Node
from ragwatch.conventions.table import OTHER, SERVER, STORE_READ, TASK, WORKFLOW

ANSWERING = frozenset({"retrieve", "generate"})
_ASKS = re.compile(r"quer|quest|ask|chat|answer|search|rag|complet|invoke|respond", re.IGNORECASE)
_YIELDS = {
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
    for top in tops:
        _yield_by_name(top)
        found = _queries(top)
        for node in found:
            node.role = "query"
        queries += found
        if not found:
            _ingestion(top)
        _drop_ingest_by_name(top)
    return queries


def _yield_by_name(top: Node) -> None:
    for node in (top, *top.below()):
        if node.seen.weak and node.is_step:
            held = {other.role for other in node.below() if other.is_step}
            by_hand = "traceloop.entity.name" not in node.span.attributes
            on_top = by_hand and node.parent is None and not node.lost and bool(held & ANSWERING)
            if on_top or held & _YIELDS.get(node.role, frozenset()):
                node.role = OTHER if by_hand else WORKFLOW if node.seen.is_run else TASK


def _queries(node: Node) -> list[Node]:
    """The queries at or below a node that has none around it."""
    if node.role == "query":
        return [node]
    if node.is_step or not _answers(node):
        own = [other for other in node.below() if other.role == "query"]
        return _topmost(own)
    if node.role == WORKFLOW:
        return [node]
    if node.lost and node.role in {TASK, OTHER} and not node.remote:
        return _below(node)
    runs = _topmost(other for other in node.below() if other.role in {WORKFLOW, "query"} and _answers(other))
    runs = [run for run in runs if run.role == "query" or run.step_above() is None]
    if any(run.role == "query" for run in runs) or len(runs) > 1:
        return runs
    if runs and node.role == SERVER and not _has_answers_outside(node, runs[0]):
        return runs
    if node.role == SERVER and not runs:
        whole = [child for child in node.children if not child.is_step and _answers(child)]
        if len(whole) == 1 and whole[0].role in {OTHER, TASK} and not _has_answers_outside(node, whole[0]):
            return _queries(whole[0])
    return [node]


def _below(node: Node) -> list[Node]:
    return [query for child in node.children for query in _queries(child) if query.role in {WORKFLOW, "query"}]


def _answers(node: Node) -> bool:
    return any(other.role in ANSWERING or other.role == "query" for other in node.below())


def _has_answers_outside(node: Node, inner: Node) -> bool:
    inside = {id(other) for other in inner.below()} | {id(inner)}
    return any(other.role in ANSWERING and id(other) not in inside for other in node.below())


def _topmost(nodes: Iterable[Node]) -> list[Node]:
    found = list(nodes)
    chosen = {id(node) for node in found}
    return [node for node in found if not any(id(above) in chosen for above in node.above())]


def _ingestion(top: Node) -> None:
    """A root whose only work is embedding and writing is an ingestion."""
    if top.is_step or top.role == STORE_READ or top.lost:
        return
    kinds = {node.role for node in top.below() if node.is_step}
    if "ingest" in kinds and not kinds & ANSWERING:
        top.role = "ingest"
    elif kinds == {"embed"} and top.role == OTHER and _ASKS.search(top.span.name) and top.span.status_code == 2:
        top.role = "query"  # it failed before it had retrieved anything


def _drop_ingest_by_name(top: Node) -> None:
    """A text splitter within an answer is no ingestion."""
    for node in (top, *top.below()):
        if node.role == "ingest" and node.seen.weak and (node.parent is not None or node.lost):
            around = [above.role for above in node.above()]
            if "ingest" not in around:
                node.role = TASK
