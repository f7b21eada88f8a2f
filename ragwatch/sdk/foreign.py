"""Other instrumentors' spans below a query of ours: the worker recognises them as the agent does, and counts them once.

An OpenInference or OpenLLMetry span of a model call inside ``ragwatch.generate`` gives that step its model and tokens;
inside the query alone it is a step of its own. What was counted so leaves the process marked, and the agent does not
count it again. Loaded where there is such a span; on the app's threads only for an exporter that the app has hung on
ragwatch's provider, which gets its copy there.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ragwatch import semconv
from ragwatch.assembly.node import Node, Origin
from ragwatch.assembly.replays import Replays
from ragwatch.assembly.trace import assemble
from ragwatch.conventions.raw import RawSpan
from ragwatch.record import QueryRecord, Step
from ragwatch.sdk.wire import REMOTE, REMOTE_KNOWN


class Foreign:
    """Recognises the spans of one process."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._replays = Replays()
        self._lock = threading.Lock()

    def node(self, span: Any) -> Node:
        """A span of another instrumentor as what it is; read before what may not leave is taken out of it."""
        held: Node | None = span.node
        if held is None:
            scope = span.scope.name if span.scope is not None else ""
            held = span.node = Node(_raw(span, span.attribute_map), scope, self._origin)
            for kind in ("query", held.role) if held.is_step else ("query",):
                held.fields(kind)
        return held

    def query(self, root: Any, steps: Sequence[tuple[Any, Step]], spans: Sequence[Any]) -> QueryRecord | None:
        """The record of a query of ours with what others' spans say; None where they say nothing.

        ``steps`` are our spans, the root first, with the step that each is.
        """
        nodes = [self.node(span) for span in spans]
        if not any(node.is_step for node in nodes):
            return None
        with self._lock:
            self._replays.mark(nodes)
        nodes += [
            Node(_raw(span, {semconv.STEP: span.step}), semconv.SCOPE_NAME, self._origin, step) for span, step in steps
        ]
        known = {node.span.span_id for node in nodes}
        top = root.span_id.to_bytes(8)
        for node in nodes:  # below a span that is still open is below the query
            raw = node.span
            if raw.span_id != top and raw.parent_id not in known:
                node.span = raw._replace(parent_id=top)
        made = assemble(nodes).queries
        return next((record for record in made if record.span_id == f"{root.span_id:016x}"), None)


def _raw(span: Any, attributes: Mapping[str, Any]) -> RawSpan:
    parent = span.parent_span_id
    flags = span.flags | ((REMOTE_KNOWN | (REMOTE if span.parent_remote else 0)) if parent else 0)
    return RawSpan(
        span.trace_id.to_bytes(16),
        span.span_id.to_bytes(8),
        parent.to_bytes(8) if parent else b"",
        str(span.name),
        span.kind_number,
        int(span.start_ns),
        int(span.end_ns),
        dict(attributes),
        [(name, time_ns, dict(held or {})) for name, time_ns, held, _ in span.event_list or ()] or None,
        None,
        span.status_number,
        span.status_message,
        "",
        flags,
        span.dropped_attributes,
    )
