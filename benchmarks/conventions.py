"""What other conventions cost: recognition and fields of a span on the captures' mix, and the assembler's share.

python -m benchmarks.conventions
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from time import process_time

from ragwatch.assembly.assembler import Assembler, Events, Origin
from ragwatch.assembly.node import Node
from ragwatch.conventions.decode import RawSpan
from ragwatch.conventions.decode_json import decode_traces_json
from ragwatch.conventions.read import fields_of
from ragwatch.conventions.registry import recognise
from ragwatch.conventions.table import STRUCTURE

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "tests" / "data" / "captures"
BUDGET_US = 5.0
APART_NS = 60 * 10**9
"""Calls are told apart by their time: of those that run at the same time each is looked at for each."""
Came = tuple[RawSpan, str]


def spans_of(path: Path) -> list[Came]:
    """The spans of a capture with their scopes."""
    return [
        (span, scope.name)
        for line in path.read_bytes().splitlines()
        for _, scopes in decode_traces_json(line)
        for scope, spans in scopes
        for span in spans
    ]


def best(work: Callable[[], object], spans: int, rounds: int = 15) -> float:
    """Microseconds of CPU a span, the best of several rounds."""
    found = []
    for _ in range(rounds):
        started = process_time()
        work()
        found.append(process_time() - started)
    return min(found) / spans * 1e6


def classify(spans: list[Came]) -> None:
    """What the agent does with every span: recognise it, and read the fields of those that are steps or runs."""
    for span, scope in spans:
        seen = recognise(span, scope)
        role = seen.role
        if role not in STRUCTURE:
            fields_of(span, seen, role)


def assemble(spans: list[Came], repeat: int) -> Callable[[], None]:
    """The same spans as of ``repeat`` programs, one after the other, through an assembler, decoded already."""
    origin = Origin("bench", "bench", None)
    copies = [
        (
            span._replace(
                trace_id=number.to_bytes(4) + span.trace_id[4:],
                start_ns=span.start_ns + number * APART_NS,
                end_ns=span.end_ns + number * APART_NS,
            ),
            scope,
        )
        for number in range(repeat)
        for span, scope in spans
    ]

    def run() -> None:
        events = Events(lambda _: None, lambda *_: None, lambda *_: None)
        assembler = Assembler(events, linger_s=0.25, incomplete_after_s=60, max_spans=200_000, foreign_linger_s=6)
        for row, (span, scope) in enumerate(copies):
            assembler.add(span, origin, row, row / 10_000, scope)
            if row % 500 == 0:
                assembler.release(row / 10_000)
        assembler.release(1e9)

    return run


def main() -> None:
    gc.set_threshold(100_000, 50, 100)  # as in the agent's pipeline
    gc.freeze()
    captures = {path.name.partition(".")[0]: spans_of(path) for path in sorted(CAPTURES.glob("*.otlp.jsonl"))}
    mix = [came for spans in captures.values() for came in spans]
    for name, spans in captures.items():
        print(f"{name:45} {best(lambda spans=spans: classify(spans), len(spans)):6.2f} µs a span")  # type: ignore[misc]
    whole = best(lambda: classify(mix), len(mix))
    print(f"{'classification and fields, the mix':45} {whole:6.2f} µs a span (budget {BUDGET_US:g})")
    recognition = best(lambda: [recognise(span, scope) for span, scope in mix], len(mix))
    print(f"{'  of it recognition':45} {recognition:6.2f} µs a span")
    nodes = best(lambda: [Node(span, scope, Origin("b", "b", None)) for span, scope in mix], len(mix))
    print(f"{'a node, recognised':45} {nodes:6.2f} µs a span")
    for repeat in (3, 30):
        each = best(assemble(mix, repeat), len(mix) * repeat, rounds=3)
        print(f"{f'assembler, all in, {len(mix) * repeat} spans':45} {each:6.2f} µs a span")


if __name__ == "__main__":
    main()
