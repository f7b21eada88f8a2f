"""All spans at once: what ``ragwatch inspect`` and tests use, where nothing is still on its way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ragwatch.assembly.node import Node, Origin
from ragwatch.assembly.pairs import pair_up
from ragwatch.assembly.replays import Replays
from ragwatch.assembly.trace import assemble
from ragwatch.conventions.raw import RawSpan
from ragwatch.record import QueryRecord, Step


@dataclass
class Whole:
    """What became of the spans, in order of start."""

    queries: list[QueryRecord] = field(default_factory=list)
    loose: list[Step] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    collapsed: list[tuple[Node, str]] = field(default_factory=list)
    duplicates: int = 0
    invalid: int = 0

    @property
    def steps(self) -> list[Step]:
        """Every step, of queries and of none, in order of start."""
        found = [step for record in self.queries for step in record.steps] + self.loose
        return sorted(found, key=lambda step: (step.start_ns, step.span_id))


def assemble_all(spans: Iterable[tuple[RawSpan, str, Origin]]) -> Whole:
    """The queries and steps of (span, scope, origin)s, whatever order they come in, and however often."""
    whole = Whole()
    traces: dict[bytes, list[Node]] = {}
    seen: set[bytes] = set()
    for span, scope, origin in spans:
        if len(span.trace_id) != 16 or len(span.span_id) != 8:
            whole.invalid += 1
            continue
        key = span.trace_id + span.span_id
        if key in seen:
            whole.duplicates += 1
            continue
        seen.add(key)
        traces.setdefault(span.trace_id, []).append(Node(span, scope, origin))
    paired = pair_up(traces)
    Replays().mark(node for nodes in paired.values() for node in nodes)
    for nodes in paired.values():
        made = assemble(nodes)
        whole.queries += made.queries
        whole.loose += [step for step, _, _ in made.loose]
        whole.nodes += made.nodes
        whole.collapsed += made.collapsed
    whole.queries.sort(key=lambda record: (record.start_ns, record.span_id))
    whole.loose.sort(key=lambda step: (step.start_ns, step.span_id))
    return whole
