"""Queries as lines of a table that is as wide as the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ragwatch.cli.paint import OUTCOME_STYLES, paint

SHORT_ID = 8


class Table:
    """Lays out queries, given as they come from ``/api/queries``, in ``width`` characters (0: as long as they are)."""

    def __init__(self, width: int, *, colour: bool, queries: list[dict[str, Any]]) -> None:
        self._width, self._colour = width, colour
        names = [query["service"] for query in queries]
        self._service = min(16, max(7, *(len(name) for name in names), 7)) if width else 16
        self._today = datetime.now().astimezone().date()
        self._clock = 8 if width and queries and all(self._is_today(query["end_ns"]) for query in queries) else 11
        self._id = 32 if not width or width >= 150 else SHORT_ID

    def head(self) -> str:
        """The columns' names."""
        line = self._line("WHEN", "TOOK", "OUTCOME", "STEP", "SERVICE", "WHAT", "TRACE")
        return paint(line, "bold", self._colour)

    def row(self, query: dict[str, Any]) -> str:
        """One query."""
        line = self._line(
            self._when(query["end_ns"]),
            took(max(0, query["end_ns"] - query["start_ns"]) / 1e9),
            query["outcome"],
            step_of(query),
            query["service"],
            "; ".join(what(query)),
            query["trace_id"][: self._id],
        )
        style = OUTCOME_STYLES.get(query["outcome"], "") or ("yellow" if is_bad(query) else "")
        return paint(line, style, self._colour)

    def _when(self, end_ns: int) -> str:
        at = datetime.fromtimestamp(end_ns / 1e9).astimezone()
        return at.strftime("%H:%M:%S" if self._is_today(end_ns) else "%m-%d %H:%M")

    def _is_today(self, end_ns: int) -> bool:
        return datetime.fromtimestamp(end_ns / 1e9).astimezone().date() == self._today

    def _line(self, when: str, took_: str, outcome: str, step: str, service: str, said: str, trace: str) -> str:
        named = f"{_cut(service, self._service):<{self._service}}"
        head = f"{when:<{self._clock}} {took_:>7}  {outcome:<10} {step:<9} {named} "
        if not self._width:
            return f"{head} {trace:<32}  {said}".rstrip()
        room = self._width - len(head) - self._id - 1
        return f"{head}{_cut(said, room):<{room}} {trace}"


def step_of(query: dict[str, Any]) -> str:
    """The step to look at, as ``--step`` finds it."""
    from ragwatch.agent.query_rows import blamed
    from ragwatch.record import QueryRecord

    return blamed(QueryRecord.from_dict(query))


def is_bad(query: dict[str, Any]) -> bool:
    """Whether it was judged bad, or missed what its label asked for."""
    label = query.get("label")
    return any(one["verdict"] == "bad" for one in query.get("judgements", ())) or (
        label is not None and not label["hit"]
    )


def what(query: dict[str, Any]) -> Iterator[str]:
    """What there is to say of a query, the most important first."""
    if query["outcome"] in {"error", "rejected"}:
        yield failure(query)
    reason = str(query.get("degraded_reason") or "")
    if reason:
        yield reason
    yield from (f"{name} {state}" for name, state in tripped(query).items() if name not in reason)
    bad = [f"{one['target']} ({one['source']})" for one in query.get("judgements", ()) if one["verdict"] == "bad"]
    if bad:
        yield "bad " + ", ".join(dict.fromkeys(bad))
    label = query.get("label")
    if label is not None and not label["hit"]:
        yield f"no relevant document in {label['k']}"
    retrieved = [step.get("document_count") for step in query["steps"] if step["step"] in {"retrieve", "rerank"}]
    counts = [count for count in retrieved if count is not None]
    if counts:
        yield "no documents" if counts[0] == 0 else f"{counts[-1]} documents"
    if query.get("cache") == "hit":
        yield "cache hit"
    attempts = max((step.get("attempts") or 1 for step in query["steps"]), default=1)
    if attempts > 1:
        yield f"{attempts} attempts"


def tripped(query: dict[str, Any]) -> dict[str, str]:
    """The breakers that were not closed when they were asked.

    >>> tripped({"steps": [{"breakers": {"index": "open"}}, {"breakers": {"model": "closed"}}, {}]})
    {'index': 'open'}
    """
    asked = [query.get("breakers", {}), *(step.get("breakers", {}) for step in query["steps"])]
    return {name: state for breakers in asked for name, state in breakers.items() if state != "closed"}


def failure(query: dict[str, Any]) -> str:
    """Class and type of a failure; the type alone where its name says both.

    >>> failure({"error_class": "timeout", "error_type": "httpx.ReadTimeout"}), failure({"error_type": "a.CircuitOpen"})
    ('ReadTimeout', 'CircuitOpen')
    >>> failure({"error_class": "auth", "error_type": "PermissionDenied"}), failure({})
    ('auth PermissionDenied', 'unknown')
    """
    kind, name = query.get("error_class") or "", (query.get("error_type") or "").rpartition(".")[2]
    if kind.replace("_", "") in name.lower():
        kind = ""
    return " ".join(part for part in (kind, name) if part) or "unknown"


def took(value: float) -> str:
    """Seconds in seven characters.

    >>> took(0.0123), took(1.5), took(725.0), took(0.000436)
    ('12.3 ms', '1.50 s', '725 s', '436 us')
    """
    if value >= 100:
        return f"{value:.0f} s"
    if value >= 1:
        return f"{value:.2f} s"
    if value < 0.0009995:
        return f"{value * 1e6:.0f} us"
    return f"{value * 1000:.3g} ms" if value < 0.9995 else "1.00 s"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"
