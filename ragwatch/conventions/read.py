"""From a recognised span to a ``Step``, or to what a query's own span says; all conventions' fields are looked for."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from ragwatch import semconv
from ragwatch.conventions.keys import keys_of
from ragwatch.conventions.own import SLOTS, STATUS_ERROR
from ragwatch.conventions.raw import RawSpan
from ragwatch.conventions.registry import conventions, field_table
from ragwatch.conventions.shapes import unreadable
from ragwatch.conventions.table import NOTHING, Row, Seen
from ragwatch.error_class import error_class
from ragwatch.record import Step

RAISE: Final = os.environ.get("RAGWATCH_RAISE") == "1"
"""In tests a fault in a convention is raised."""
MAX_MESSAGE: Final = 500
QUERY_FIELDS: Final = ("session", "user", "tenant", "prompt_version", "question", "answer")

_NOT_KEPT: Final = frozenset({"user", "question", "answer", "named_model", "server_first_token_s"})
"""Of a step nothing is kept that names a user or holds content; a query keeps a hash and lengths."""


def fields_of(span: RawSpan, seen: Seen, kind: str) -> Row:
    """Every field that a span of that step says, by name; unknown ones are left out."""
    attributes = span.attributes
    row: Row = {}
    plan = seen.plans.get(kind)
    if plan is None:
        keys = seen.keys or keys_of(attributes)
        plan = keys.plan(kind, field_table()), keys.extractors(seen.convention, conventions())
        if seen.keys is not None:
            seen.plans[kind] = plan
    (texts, values, choices), extractors = plan
    for name, key in texts:
        value = attributes[key]
        if type(value) is str and value not in NOTHING:  # as ``text`` reads it: a call for each costs a tenth
            row[name] = value
    for name, key, read in values:
        found = read(attributes[key])
        if found is not None:
            row[name] = found
    for name, places in choices:
        for key, read in places:
            found = read(attributes[key])
            if found is not None:
                row[name] = found
                break
    for extract in extractors:
        try:
            extract(row, span, kind)
        except Exception:
            if RAISE:
                raise
            unreadable["?"] += 1  # what nobody thought of costs its fields, never the span or the agent
    if "output_tokens" in row and not row["output_tokens"] and row.get("input_tokens") is None:
        del row["output_tokens"]  # filled in likewise: who knows one of the two knows both
    return row if None not in row.values() else {name: value for name, value in row.items() if value is not None}


def read_step(span: RawSpan, seen: Seen, kind: str, fields: Row | None = None) -> Step:
    """The step that a span is; what no field of a step holds stands in ``extra``, and its convention too."""
    row = fields_of(span, seen, kind) if fields is None else fields
    documents = row.get("documents")
    if documents is not None:
        row.setdefault("document_count", len(documents))
    step: list[Any] = _BLANK.copy()
    step[:7] = (
        kind,
        span.name,
        span.span_id.hex(),
        span.parent_id.hex() or None,
        span.start_ns,
        span.end_ns,
        span.trace_id.hex(),
    )
    extra: dict[str, Any] = {}
    for name, value in row.items():
        slot = _FIELD_SLOTS.get(name)
        if slot is not None:
            step[slot] = value
        elif name not in _NOT_KEPT:
            extra[name] = value
    if seen.convention is not None:
        extra["convention"] = seen.convention.name
    step[_EXTRA] = extra or None
    if span.status_code == STATUS_ERROR:
        for name, value in failure_of(span, step[_ERROR_TYPE]).items():
            step[SLOTS[name]] = value
        step[_OUTCOME] = "error"
        step[_DOCUMENTS] = step[_COUNT] = None
        if step[_ANSWERED_BY] == step[_MODEL]:
            step[_ANSWERED_BY] = None  # nobody answered
    else:
        step[_OUTCOME] = "ok"
        step[_ERROR_TYPE] = None
    return _new_step(Step, step)  # a quarter of the time of a call with names


_BLANK: Final = [None] * len(SLOTS)
_FIELD_SLOTS: Final = {
    name: slot for name, slot in SLOTS.items() if slot > SLOTS["trace_id"] and name not in {"outcome", "extra"}
}
_EXTRA, _OUTCOME, _ERROR_TYPE = SLOTS["extra"], SLOTS["outcome"], SLOTS["error_type"]
_DOCUMENTS, _COUNT = SLOTS["documents"], SLOTS["document_count"]
_MODEL, _ANSWERED_BY = SLOTS["model"], SLOTS["response_model"]
_new_step: Final = tuple.__new__


def failure_of(span: RawSpan, error_type: str | None) -> Row:
    """Type, class and message of a failed span; a traceback in the status' message is cut off."""
    exception: dict[str, Any] = {}
    for name, _, attributes in reversed(span.events or ()):
        if name == semconv.EVENT_EXCEPTION:
            exception = attributes
            break
    message = exception.get(semconv.EXCEPTION_MESSAGE) or span.status_message
    message = str(message).partition("Traceback (most recent call last)")[0][:MAX_MESSAGE].strip()
    head = span.status_message.partition(":")[0].partition("(")[0].strip()
    kind = exception.get(semconv.EXCEPTION_TYPE) or error_type
    if not isinstance(kind, str) or not kind:
        kind = head if head and " " not in head and len(head) < 100 else None
    if kind in _ANY:
        named = _LEADING.match(message)
        kind = named.group(1) if named else kind
    found = error_class(kind, message)
    if found == "other":
        found = _class_of_causes(exception.get(semconv.EXCEPTION_STACKTRACE) or span.status_message)
    return {"error_type": kind, "error_class": found, "error_message": message or None}


_CAUSE: Final = re.compile(
    r"^(?:\s*[|+]\s*)?((?:\w+\.)*\w*(?:Error|Exception|Timeout|Exhausted|Unavailable))(?::|$)", re.MULTILINE
)


_ANY: Final = frozenset({"Exception", "Error", "builtins.Exception"})
"""Types that say nothing: what was raised may stand in the message."""
_LEADING: Final = re.compile(r"((?:\w+\.)*\w+(?:Error|Exception|Timeout|Exhausted|Unavailable))[(:]")


def _class_of_causes(trace: object) -> str:
    """The class of what a framework's own error was raised from: the first in the traceback that has one."""
    if isinstance(trace, str):
        for found in _CAUSE.finditer(trace[:100_000]):
            kind = error_class(found.group(1))
            if kind != "other":
                return kind
    return "other"
