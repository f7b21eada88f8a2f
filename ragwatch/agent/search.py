"""Queries found again: by outcome, step, service, time, length, documents, judgements; a page at a time.

Whatever is asked for, few rows are read: of the things that were asked, the rarest within the time (each has an index
in order of time) says which rows are looked at. A search that would still take long is broken off.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any, NamedTuple

from ragwatch.agent.asked import Search
from ragwatch.agent.judgement_rows import judged_bad, judgements_of
from ragwatch.agent.query_rows import ENTRY_BYTES, TERM_BYTES, TRACE_BYTES, VERSION, speed, term, trace_key
from ragwatch.errors import NoAnswer
from ragwatch.record import QueryRecord

FEW = 20_000
"""Rows that are rather sorted than walked: some 20 ms."""
MAX_SEARCH_S = 3.0
CHECK_EVERY = 100_000
"""Instructions of SQLite between looks at the clock."""
CHUNK = 500
FEW_TERMS = 50
JUDGED_BEFORE_S = 600.0
"""A judgement may come before its query is complete: by no more than an incomplete query is waited for."""
TRACE_ID_DIGITS = 32
CACHE_SEGMENTS = 40
"""Of the look-up, newest first, that are read for a judgement: 160 KB."""


class TooLong(NoAnswer):
    """A search was broken off: there is too much to look through for what was asked."""


class OldFile(NoAnswer):
    """The file was written by another version of ragwatch."""


class Page(NamedTuple):
    """Queries as their stored JSON text, by the judgements of each, and where the next page begins."""

    texts: list[str]
    judgements: list[list[dict[str, Any]]]
    next: tuple[int, int] | None


def page_json(page: Page) -> str:
    """A page as JSON: ``{"queries": […], "next": cursor or null}``; the stored texts go in as they are.

    >>> page_json(Page(['{"trace_id":"ab"}'], [[{"verdict": "bad"}]], (7, 1)))
    '{"queries":[{"trace_id":"ab","judgements":[{"verdict": "bad"}]}],"next":"7-1"}'
    """
    parts = []
    for text, judgements in zip(page.texts, page.judgements, strict=True):
        more = f',"judgements":{json.dumps(judgements, ensure_ascii=False)}' if judgements else ""
        parts.append(f"{text[:-1]}{more}}}")
    cursor = None if page.next is None else f"{page.next[0]}-{page.next[1]}"
    return f'{{"queries":[{",".join(parts)}],"next":{json.dumps(cursor)}}}'


def find(connection: sqlite3.Connection, search: Search) -> Page:
    """One page of what is asked for, in its order.

    ``TooLong`` after three seconds; ``OldFile`` for a file whose queries cannot be searched.
    """
    check_version(connection)
    until = monotonic() + MAX_SEARCH_S
    connection.set_progress_handler(lambda: int(monotonic() > until), CHECK_EVERY)
    try:
        rows = _rows(connection, search)
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise TooLong(
                "this takes longer than 3 s: ask for less time (since), or for more of what you know"
            ) from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
    shown = rows[: search.limit]
    texts = [_text(connection, number) for number, _, _ in shown]
    more = len(rows) > search.limit
    last = shown[-1] if shown else None
    place = None
    if more and last is not None:
        place = (last[2] if search.order == "slowest" else last[1], last[0])
    return Page(texts, [_judgements_about(connection, text) for text in texts], place)


def of_trace(connection: sqlite3.Connection, beginning: str, limit: int = 20) -> Page:
    """The queries of the traces whose id begins so (hex, four digits or more), the oldest first."""
    check_version(connection)
    wanted = beginning.lower()
    needle = trace_key(wanted[: len(wanted) // 2 * 2])[: len(wanted) // 2]
    texts: list[str] = []
    for first, traces in connection.execute("SELECT first_id, traces FROM lookup ORDER BY first_id"):
        for place in _places(traces, needle, TRACE_BYTES):
            text = _text(connection, first + place)
            if text and len(texts) < limit and QueryRecord.from_json(text).trace_id.startswith(wanted):
                texts.append(text)
    return Page(texts, [_judgements_about(connection, text) for text in texts], None)


def cache_of(connection: sqlite3.Connection, trace_id: str) -> str:
    """What the cache said to the last query of a trace; empty where it is not among the newest ten thousand."""
    needle = trace_key(trace_id)
    newest = connection.execute("SELECT first_id, traces FROM lookup ORDER BY first_id DESC LIMIT ?", (CACHE_SEGMENTS,))
    for first, traces in newest:
        for place in sorted(_places(traces, needle, TRACE_BYTES), reverse=True):
            text = _text(connection, first + place)
            if text:
                return QueryRecord.from_json(text).cache
    return ""


def _judgements_about(connection: sqlite3.Connection, text: str) -> list[dict[str, Any]]:
    """The judgements of a stored query, by its trace and its model's responses."""
    record = QueryRecord.from_json(text)
    abouts = [record.trace_id, *(step.response_id for step in record.steps if step.response_id)]
    found = judgements_of(connection, (about for about in abouts if about))
    return [judgement for held in found.values() for judgement in held]


def check_version(connection: sqlite3.Connection) -> None:
    """``OldFile`` where the queries of a file are not laid out as they are now."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise OldFile(
            "its queries were stored by an earlier ragwatch; start `ragwatch agent` there once, it takes them over"
            if version < VERSION
            else "it was written by a later ragwatch; upgrade this one"
        )


# -- which rows --------------------------------------------------------------------------------------------------------

Row = tuple[int, int, int]
"""(id, end in ns, duration in ns)"""


class _Clause(NamedTuple):
    """A condition, and the index that holds its rows in order of time."""

    sql: str
    value: object
    held_by: str


def _rows(connection: sqlite3.Connection, search: Search) -> list[Row]:
    """At least ``limit`` + 1 rows where there are so many, in order."""
    clauses = _clauses(search)
    if search.bad or search.document is not None:
        return _of_lookup(connection, search, clauses)
    since = _since_ns(search)
    best, count = "queries_by_time", FEW
    for clause in clauses:
        if clause.held_by:
            held = _count(connection, clause, since)
            if held < count:
                best, count = clause.held_by, held
    by_length = search.order == "slowest"
    if by_length and count >= FEW:
        best = "queries_by_speed"
    order = "end_ns DESC, id DESC"
    if by_length:
        order = f"{'speed DESC, ' if best == 'queries_by_speed' else ''}duration_ns DESC, id DESC"
    where, values = _where(search, clauses)
    sql = f"SELECT id, end_ns, duration_ns FROM queries INDEXED BY {best} WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
    return connection.execute(sql, (*values, search.limit + 1)).fetchall()


def _clauses(search: Search) -> list[_Clause]:
    found: list[_Clause] = []
    if search.outcome is not None:
        index = "" if search.outcome == "ok" else "queries_not_ok"
        found.append(_Clause("outcome = ?" + (" AND outcome <> 'ok'" if index else ""), search.outcome, index))
    if search.error_class is not None:
        sql = "error_class = ? AND error_class IS NOT NULL"
        found.append(_Clause(sql, search.error_class, "queries_failed"))
    if search.empty:
        found.append(_Clause("empty = 1 AND ?", 1, "queries_empty"))
    if search.step is not None:
        found.append(_Clause("step = ?", search.step, "queries_by_step"))
    if search.service is not None:
        found.append(_Clause("service = ?", search.service, "queries_by_service"))
    if search.slower_than_s is not None:
        least = int(search.slower_than_s * 1e9)
        found.append(_Clause("speed >= ?", speed(least), "queries_by_speed"))
        found.append(_Clause("duration_ns > ?", least, ""))
    return found


def _where(search: Search, clauses: Iterable[_Clause]) -> tuple[str, list[object]]:
    parts: list[str] = ["end_ns >= ?"]
    values: list[object] = [_since_ns(search)]
    for clause in clauses:
        parts.append(clause.sql)
        values.append(clause.value)
    if search.after is not None:
        parts.append(f"({'duration_ns' if search.order == 'slowest' else 'end_ns'}, id) < (?, ?)")
        values += search.after
        if search.order == "slowest":
            parts.append("speed <= ?")
            values.append(speed(search.after[0]))
    return " AND ".join(parts), values


def _count(connection: sqlite3.Connection, clause: _Clause, since: int) -> int:
    rows = f"SELECT 1 FROM queries INDEXED BY {clause.held_by} WHERE {clause.sql} AND end_ns >= ? LIMIT ?"  # noqa: S608
    found: tuple[int] = connection.execute(f"SELECT count(*) FROM ({rows})", (clause.value, since, FEW)).fetchone()  # noqa: S608
    return found[0]


def _since_ns(search: Search) -> int:
    return 0 if search.since_s is None else int(search.since_s * 1e9)


def _of_lookup(connection: sqlite3.Connection, search: Search, clauses: list[_Clause]) -> list[Row]:
    """Rows of documents and judgements: the candidates of a segment after the other, the newest segment first."""
    where, values = _where(search, clauses)
    by_length = search.order == "slowest"
    found: list[Row] = []
    for newest_ns, ids in _candidates(connection, search):
        if not by_length and len(found) > search.limit:
            found.sort(key=_newest, reverse=True)
            if found[search.limit][1] > newest_ns:
                break
        for at in range(0, len(ids), CHUNK):
            chunk = ids[at : at + CHUNK]
            marks = ", ".join("?" * len(chunk))
            sql = f"SELECT id, end_ns, duration_ns FROM queries WHERE id IN ({marks}) AND {where}"  # noqa: S608
            found += connection.execute(sql, (*chunk, *values))
    found.sort(key=_slowest if by_length else _newest, reverse=True)
    return found[: search.limit + 1]


def _newest(row: Row) -> tuple[int, int]:
    return row[1], row[0]


def _slowest(row: Row) -> tuple[int, int]:
    return row[2], row[0]


def _candidates(connection: sqlite3.Connection, search: Search) -> Iterator[tuple[int, list[int]]]:
    """(newest end, ids) of each segment that may hold what is asked for, the newest first."""
    since = _since_ns(search)
    terms: set[bytes] = set()
    traces: dict[int, set[bytes]] = {}
    if search.bad:
        about = judged_bad(connection, 0.0 if search.since_s is None else search.since_s - JUDGED_BEFORE_S)
        for key in (trace_key(name) for name in about if len(name) == TRACE_ID_DIGITS):
            traces.setdefault(int.from_bytes(key[8:], sys.byteorder), set()).add(key)
        terms = {term("response", name) for name in about if len(name) != TRACE_ID_DIGITS}
    missed = _missed(connection, since) if search.bad else []
    wanted = None if search.document is None else term("document", search.document)
    order = "SELECT first_id, last_id, newest_ns FROM lookup WHERE newest_ns >= ? ORDER BY newest_ns DESC"
    for first, last, newest_ns in connection.execute(order, (since,)).fetchall():
        ids: set[int] | None = None
        if wanted is not None:
            ids = {first + place for place in _of_term(_blob(connection, "terms", first), wanted)}
        if search.bad and ids != set():
            judged = set(missed[bisect_left(missed, first) : bisect_right(missed, last)])
            if traces:
                judged |= {first + place for place in _of_traces(_blob(connection, "traces", first), traces)}
            if terms:
                judged |= {first + place for place in _of_terms(_blob(connection, "terms", first), terms)}
            ids = judged if ids is None else ids & judged
        if ids:
            yield newest_ns, sorted(ids, reverse=True)


def _missed(connection: sqlite3.Connection, since: int) -> list[int]:
    sql = "SELECT id FROM queries INDEXED BY queries_missed WHERE missed = 1 AND end_ns >= ?"
    return sorted(number for (number,) in connection.execute(sql, (since,)))


def _blob(connection: sqlite3.Connection, column: str, first_id: int) -> bytes:
    found = connection.execute(f"SELECT {column} FROM lookup WHERE first_id = ?", (first_id,)).fetchone()  # noqa: S608
    held: bytes = found[0] if found else b""
    return held


def _of_term(blob: bytes, wanted: bytes) -> list[int]:
    places = _places(blob, wanted, ENTRY_BYTES)
    return [
        int.from_bytes(blob[place * ENTRY_BYTES + TERM_BYTES : (place + 1) * ENTRY_BYTES], "little") for place in places
    ]


def _of_terms(blob: bytes, wanted: set[bytes]) -> list[int]:
    """Places of any of the terms: for a few each is looked for, for many each entry is looked at."""
    if len(wanted) < FEW_TERMS:
        return [place for one in wanted for place in _of_term(blob, one)]
    return [
        int.from_bytes(blob[at + TERM_BYTES : at + ENTRY_BYTES], "little")
        for at in range(0, len(blob), ENTRY_BYTES)
        if blob[at : at + TERM_BYTES] in wanted
    ]


def _of_traces(blob: bytes, wanted: dict[int, set[bytes]]) -> list[int]:
    """Places of the traces, given by their last eight bytes: the first are zeros where an id was of 64 bits once."""
    held = array("Q", blob)[1::2]
    if wanted.keys().isdisjoint(held):
        return []
    return [
        place
        for place, key in enumerate(held)
        if key in wanted and blob[place * TRACE_BYTES : (place + 1) * TRACE_BYTES] in wanted[key]
    ]


def _places(blob: bytes, needle: bytes, size: int) -> Iterator[int]:
    """The numbers of the entries of ``size`` bytes that begin with the needle."""
    at = blob.find(needle)
    while at >= 0:
        if at % size == 0:
            yield at // size
        at = blob.find(needle, at + 1)


def _text(connection: sqlite3.Connection, number: int) -> str:
    found = connection.execute("SELECT record FROM records WHERE id = ?", (number,)).fetchone()
    return str(found[0]) if found else ""
