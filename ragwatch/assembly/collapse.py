"""Several spans for one step become one step: public and private method, framework and client, framework and store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from ragwatch.assembly.node import CLIENT, Node
from ragwatch.conventions.keys import keys_of
from ragwatch.conventions.own import STATUS_ERROR
from ragwatch.conventions.table import OTHER, whole
from ragwatch.record import Document, Step

_INNER_FIRST: Final = frozenset({"model", "data_source", "first_chunk_s", "response_model", "response_id"})
"""Fields that the innermost span knows best: it is nearest to the store or the model."""
_TAKEN: Final = (
    "operation", "model", "response_model", "response_id", "provider", "input_tokens", "output_tokens", "cached_tokens",
    "reasoning_tokens", "cost_usd", "first_chunk_s", "cache", "cache_result", "data_source", "top_k", "score_threshold",
)  # fmt: skip


def collapse(nodes: Iterable[Node]) -> list[tuple[Node, str]]:
    """Merge each step into the step of its kind that is right around it; (what was merged, why)."""
    merged: list[tuple[Node, str]] = []
    for node in nodes:
        if not node.is_step:
            continue
        around = node.step_above()
        if around is None or around.role != node.role:
            continue
        target = around
        target.merged.append(node)
        why = "nested" if node.scope == around.scope else "framework and client"
        merged.append((node, why))
    return merged


def whole_step(node: Node) -> Step:
    """The step of a node with everything that is merged into it."""
    step = node.step()
    if node.merged:
        step = merge(step, [whole_step(other) for other in node.merged])
    if step.attempts is None and len(node.children) > 1 and not node.own:
        attempts = _attempts(node, failed=step.outcome == "error")
        if attempts is not None:
            step = step._replace(attempts=attempts)
    return step


def _attempts(node: Node, *, failed: bool) -> int | None:
    """How often a call was tried, where its client's requests were recorded: those that failed, and the last one."""
    groups: dict[tuple[object, ...], list[Node]] = {}
    for child in node.children:
        if child.role == OTHER and child.span.kind == CLIENT and keys_of(child.span.attributes).is_transport:
            groups.setdefault(_asked(child), []).append(child)
    return max((tries for group in groups.values() if (tries := _tries(group, failed=failed))), default=None)


def _tries(requests: Sequence[Node], *, failed: bool) -> int:
    """How often a request was made; 0 where nothing says that it was made again."""
    passing = sum(map(_may_pass, requests[:-1]))
    if not passing or _is_bad(requests[-1]) != failed:
        return 0
    if any(one.span.end_ns > other.span.start_ns for one, other in pairwise(requests)):
        return 0  # what runs side by side is no second try
    return passing + 1


def _asked(request: Node) -> tuple[object, ...]:
    """What makes two requests the same one, tried again."""
    held = request.span.attributes
    return request.scope, request.span.name, *(held.get(key) for key in _PLACES)


_PLACES: Final = ("url.full", "http.url", "server.address", "server.port", "net.peer.name", "url.path", "http.target")


def _is_bad(request: Node) -> bool:
    status = _status(request)
    return request.span.status_code == STATUS_ERROR or (status is not None and status >= 400)


def _may_pass(request: Node) -> bool:
    """Whether a request failed in a way that a client tries again: not what is not found, or not allowed."""
    status = _status(request)
    return _is_bad(request) and (status is None or status >= 500 or status in _TRIED_AGAIN)


_TRIED_AGAIN: Final = frozenset({408, 409, 425, 429})


def _status(request: Node) -> int | None:
    held = request.span.attributes
    return whole(held.get("http.response.status_code", held.get("http.status_code")))


def merge(outer: Step, inner: Sequence[Step]) -> Step:
    """One step out of the outer span and those within it: its times and outcome, and what any of them knows."""
    changes: dict[str, Any] = {}
    for name in _TAKEN:
        mine = getattr(outer, name)
        theirs = next((value for step in inner if (value := getattr(step, name)) is not None), None)
        if theirs is not None and (mine is None or name in _INNER_FIRST):
            changes[name] = theirs
    if len(inner) > 1 and outer.input_tokens is None and outer.step == "embed":
        changes.update(_sums(inner))  # a batch in several requests
    answered = [step for step in inner if step.documents]
    if outer.outcome != "error":
        documents = _documents(outer.documents, answered[0].documents if answered else None)
        if documents is not None:
            changes["documents"] = documents
            changes["document_count"] = outer.document_count or len(documents)
        elif outer.document_count is None:
            changes["document_count"] = next(
                (step.document_count for step in inner if step.document_count is not None), None
            )
        failed = sum(step.outcome == "error" for step in inner)
        if failed and outer.attempts is None:
            changes["attempts"] = failed + 1
    else:
        cause = next((step for step in inner if step.outcome == "error"), None)
        if cause is not None and outer.error_class in {None, "other"}:
            changes.update(error_type=cause.error_type, error_class=cause.error_class)
        if outer.error_message is None and cause is not None:
            changes["error_message"] = cause.error_message
    extra = {key: value for step in reversed(inner) for key, value in (step.extra or {}).items()}
    changes["extra"] = {**extra, **(outer.extra or {})} or None
    return outer._replace(**changes)


def _sums(inner: Sequence[Step]) -> dict[str, Any]:
    known = [step.input_tokens for step in inner if step.input_tokens is not None]
    return {"input_tokens": sum(known)} if known else {}


def _documents(outer: tuple[Document, ...] | None, inner: tuple[Document, ...] | None) -> tuple[Document, ...] | None:
    """The outer span's documents with the scores and distances that only the inner one knows."""
    if not outer:
        return inner or outer
    if not inner:
        return outer
    by_id: dict[str | None, Document] = {document.id: document for document in inner if document.id is not None}
    if len(outer) == len(inner) and not any(document.id in by_id for document in outer):
        if all(document.id_from != "id" for document in outer):
            return tuple(
                other._replace(score=mine.score if other.score is None else other.score)
                for mine, other in zip(outer, inner, strict=True)
            )
        return outer
    return tuple(_with_numbers(document, by_id.get(document.id)) for document in outer)


def _with_numbers(document: Document, other: Document | None) -> Document:
    if other is None:
        return document
    return document._replace(
        score=other.score if document.score is None else document.score,
        distance=other.distance if document.distance is None else document.distance,
    )
