"""One query in the terminal: its steps as a tree with bars on the time axis, and what each of them saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ragwatch.assembly.critical_path import critical_path
from ragwatch.record import QueryRecord, Step

NAME_WIDTH = 34
MAX_DOCUMENTS = 10
SHARE = 0.01
"""Of the query's time: what a step must have kept it waiting to be marked."""


def draw(record: QueryRecord, width: int = 80) -> list[str]:
    """The lines of a query's waterfall, ``width`` characters at the most; ``#`` marks what the query waited for.

    >>> step = Step("retrieve", "search", "b" * 16, "a" * 16, 200_000_000, 700_000_000, document_count=3)
    >>> record = QueryRecord("c" * 32, "a" * 16, "bot", "", 0, 1_000_000_000, steps=(step,))
    >>> for line in draw(record, 64)[:3]: print(line)
    query cccccccccccccccccccccccccccccccc  ok  1.00 s  bot
    query                                  1.00 s |===============|
    └ retrieve search                      500 ms |   ########    |
    """
    head = f"query {record.trace_id}  {record.outcome}  {seconds(record.duration_s)}  {record.service}"
    if record.outcome == "error":
        head += f"  {record.error_class} in {record.cause_step or 'query'}: {record.error_type or 'unknown'}"
    lines = [head]
    bar = max(8, width - NAME_WIDTH - 15)
    lines.append(_row("query", record.start_ns, record.end_ns, record, bar))
    children: dict[str | None, list[Step]] = {}
    known = {step.span_id for step in record.steps}
    for step in record.steps:
        children.setdefault(step.parent_id if step.parent_id in known else None, []).append(step)
    waited = waited_for(record)
    for prefix, step in _tree(children, None, ""):
        fill = "#" if waited.get(step.span_id, 0.0) >= SHARE * record.duration_s > 0 else "="
        lines.append(_row(f"{prefix}{title(step)}", step.start_ns, step.end_ns, record, bar, fill))
        indent = " " * (len(prefix) + 2)
        lines += [indent + text for text in details(step)]
    if record.critical_path:
        path = ", ".join(f"{step} {seconds(spent)}" for step, spent in sorted(record.critical_path, key=_spent))
        lines.append(f"critical path: {path}  (bars of #)")
    return lines


def title(step: Step) -> str:
    """A step's kind and, where it says more, its name."""
    return step.step if step.name == step.step else f"{step.step} {step.name}"


def _spent(part: tuple[str, float]) -> float:
    return -part[1]


def waited_for(record: QueryRecord) -> dict[str, float]:
    """Seconds that the query waited for each of its steps, by span id; its own time is under its own id."""
    root = Step("query", "query", record.span_id, None, record.start_ns, record.end_ns)
    known = {step.span_id for step in record.steps}
    children: dict[str, list[Step]] = {}
    for step in record.steps:
        parent = step.parent_id if step.parent_id in known and step.parent_id != step.span_id else record.span_id
        children.setdefault(parent or record.span_id, []).append(step._replace(step=step.span_id))
    return dict(critical_path(root._replace(step=record.span_id), children))


def details(step: Step) -> Iterator[str]:
    """What a step saw, in a line or two."""
    parts = [
        f"{label} {value}"
        for label, value in (
            ("model", step.response_model or step.model),
            ("provider", step.provider),
            ("tokens", _tokens(step)),
            ("cost", None if step.cost_usd is None else dollars(step.cost_usd)),
            ("first chunk", None if step.first_chunk_s is None else seconds(step.first_chunk_s)),
            ("cache", step.cache_result),
            ("top_k", step.top_k),
            ("source", step.data_source),
            ("attempts", step.attempts if step.attempts and step.attempts > 1 else None),
            ("breaker", ", ".join(f"{name} {state}" for name, state in step.breakers.items())),
            ("degraded:", step.degraded_reason),
        )
        if value not in {None, ""}
    ]
    if step.step in {"retrieve", "rerank"} and step.outcome != "error" and step.document_count is not None:
        parts.insert(0, f"{step.document_count} documents")
    if parts:
        yield ", ".join(parts)
    if step.outcome != "ok" and (step.error_type or step.error_message):
        message = f": {step.error_message}" if step.error_message not in {None, "", step.error_type} else ""
        yield f"{step.outcome}: {step.error_class or ''} {step.error_type or ''}{message}".replace("  ", " ")[:300]
    for document in (step.documents or ())[:MAX_DOCUMENTS]:
        number = document.score if document.score is not None else document.distance
        how = "" if number is None else f"  {'score' if document.score is not None else 'distance'} {number:.4g}"
        yield f"{document.rank:>3}. {document.id or '(no id)'}{how}"
    if len(step.documents or ()) > MAX_DOCUMENTS:
        yield f"  … {len(step.documents or ()) - MAX_DOCUMENTS} more (--json has them all)"


def dollars(value: float) -> str:
    """A cost to read: what is less than a tenth of a cent keeps its digits.

    >>> dollars(0.0123), dollars(0.0000045), dollars(0)
    ('$0.0123', '$0.0000045', '$0.0000')
    """
    if value >= 0.001 or value < 1e-9:
        return f"${value:.4f}"
    return f"${value:.9f}".rstrip("0")


def seconds(value: float) -> str:
    """A duration to read.

    >>> seconds(0.0123), seconds(1.5), seconds(0.0000123)
    ('12.3 ms', '1.50 s', '12 us')
    """
    if value >= 1:
        return f"{value:.2f} s"
    if value >= 0.001:
        return f"{value * 1000:.3g} ms"
    return f"{value * 1e6:.0f} us"


def _tree(
    children: dict[str | None, list[Step]], at: str | None, above: str, depth: int = 0
) -> Iterator[tuple[str, Step]]:
    steps: Sequence[Step] = children.get(at, ()) if depth < 50 else ()
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        yield above + ("└ " if last else "├ "), step
        yield from _tree(children, step.span_id, above + ("  " if last else "│ "), depth + 1)


def _row(name: str, start_ns: int, end_ns: int, record: QueryRecord, bar: int, fill: str = "=") -> str:
    total = max(1, record.end_ns - record.start_ns)
    first = min(bar - 1, max(0, (start_ns - record.start_ns) * bar // total))
    last = min(bar, max(first + 1, -((record.start_ns - end_ns) * bar // total)))
    filled = " " * first + fill * (last - first) + " " * (bar - last)
    if len(name) > NAME_WIDTH:
        name = name[: NAME_WIDTH - 1] + "…"
    return f"{name:<{NAME_WIDTH}} {seconds(max(0, end_ns - start_ns) / 1e9):>10} |{filled}|"


def _tokens(step: Step) -> str | None:
    if step.input_tokens is None and step.output_tokens is None:
        return None
    parts = [f"{'?' if step.input_tokens is None else step.input_tokens} in"]
    if step.step == "generate":
        parts.append(f"{'?' if step.output_tokens is None else step.output_tokens} out")
    if step.cached_tokens:
        parts.append(f"{step.cached_tokens} cached")
    return " / ".join(parts)
