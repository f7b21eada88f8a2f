"""``ragwatch show``: one query in full."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ragwatch.cli.source import Source, add_options, source_of
from ragwatch.errors import ConfigError, NoAnswer
from ragwatch.record import QueryRecord

if TYPE_CHECKING:
    from ragwatch.kpi.state import State

EPILOG = """examples:
  ragwatch show 3f2a9c01                  a beginning of the trace id is enough
  ragwatch show 3f2a9c01 --json           for programs: the query, then the summary
  ragwatch show 3f2a9c01 --data-dir DIR   from the agent's files

exit codes: 0 shown, 1 no agent answers or no query of that trace is kept, 2 an argument is wrong"""
TEXT_WITH = "RAGWATCH_CONTENT=truncated (or full)"
"""What the app's environment wants so that its queries carry question and answer."""
MAX_TEXT = 2000
_TRACE = re.compile("[0-9a-f]{4,32}")


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "show",
        help="one query in full",
        description="Waterfall (# marks the critical path), documents, error, judgements, versions, log line.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trace_id", metavar="TRACE_ID", help="the trace's id, or the first 4 digits of it or more")
    parser.add_argument("--json", action="store_true", help="one JSON object a query, then the summary")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Show the query; ``NoAnswer`` where there is none."""
    wanted = args.trace_id.replace("-", "").strip().lower()
    if not _TRACE.fullmatch(wanted):
        raise ConfigError("TRACE_ID", f"{args.trace_id!r} should be 4 to 32 hex digits", source="argument")
    source = source_of(args)
    found = source.query(wanted)["queries"]
    now = _now(source)
    if args.json:
        for query in found:
            record = QueryRecord.from_dict(query)
            more = {
                "log_line": json.loads(log_line(record)),
                "now": context(now, record),
                "text_with": text_setting(record),
            }
            print(json.dumps({**query, **{key: value for key, value in more.items() if value}}, ensure_ascii=False))
        print(json.dumps({"summary": {"shown": len(found), "source": source.name}}))
        return 0
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    for query in found:
        print("\n".join(lines(QueryRecord.from_dict(query), query.get("judgements", []), now, width)))
    return 0


def lines(record: QueryRecord, judgements: list[dict[str, Any]], now: State | None, width: int) -> Iterator[str]:
    """Everything that is known of a query, as lines for people."""
    from ragwatch.cli.paint import OUTCOME_STYLES, coloured, paint
    from ragwatch.cli.waterfall import draw, seconds

    colour = coloured()
    _, *rows = draw(record, width)
    head = f"query {record.trace_id}  {record.outcome}  {seconds(record.duration_s)}  {record.service}"
    yield paint(head, OUTCOME_STYLES.get(record.outcome, "bold"), colour)
    at = datetime.fromtimestamp(record.start_ns / 1e9).astimezone()
    yield f"began {at.isoformat(sep=' ', timespec='milliseconds')}" + (
        f", {record.environment}" if record.environment else ""
    )
    yield ""
    yield from rows
    yield ""
    for label, text in facts(record, judgements, now):
        first, *more = (
            [text]
            if label == "log line" or not sys.stdout.isatty()
            else textwrap.wrap(text, max(40, width - 11)) or [""]
        )
        yield f"{paint(f'{label:<10}', 'bold', colour)} {first}"
        yield from (f"{'':<11}{part}" for part in more)


def facts(record: QueryRecord, judgements: list[dict[str, Any]], now: State | None) -> Iterator[tuple[str, str]]:
    """(what, what is known of it), where something is."""
    from ragwatch.agent.query_rows import blamed
    from ragwatch.cli.waterfall import title

    if record.error_type or record.error_class:
        where = f" in {blamed(record)}" if record.cause_step or record.outcome == "rejected" else ""
        message = f": {record.error_message}" if record.error_message not in {None, "", record.error_type} else ""
        yield "error", f"{record.error_class or record.outcome}{where}: {record.error_type or 'unknown'}{message}"
    if record.degraded_reason:
        yield "degraded", record.degraded_reason
    for step in record.steps:
        if step.attempts and step.attempts > 1:
            yield "attempts", f"{title(step)}: {step.attempts}"
    if record.label is not None:
        held = record.label
        said = "found a relevant document" if held.hit else "found no relevant document"
        yield (
            "label",
            f"{said} in {held.k} ({held.source}); recall {held.recall:.2f}, 1/rank {held.reciprocal_rank:.2f}",
        )
    for one in judgements:
        at = datetime.fromtimestamp(one["at"]).astimezone().strftime("%m-%d %H:%M:%S")
        score = f", score {one['score']:g}" if "score" in one else ""
        yield "judged", f"{one['verdict']}: {one['target']}, by {one['source']}{score}, {at}"
    yield from _who(record)
    held_now = context(now, record)
    yield from _breakers(record, held_now.get("breakers", {}))
    yield from _versions(record, held_now.get("versions", []))
    for label, text in (("question", record.question), ("answer", record.answer)):
        if text is not None:
            yield label, text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
    setting = text_setting(record)
    if setting is not None:
        yield (
            "text",
            f"is not kept; to see question and answer, set in the app's environment: {setting}{_wrapped(record)}",
        )
    yield "log line", log_line(record)


def _breakers(record: QueryRecord, now: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What each breaker was when it was asked; where the query says nothing, what the app's are now."""
    from ragwatch.cli.waterfall import title

    said = [("query", record.breakers), *((title(step), step.breakers) for step in record.steps)]
    for where, breakers in said:
        for name, state in breakers.items():
            since = f" (now {', '.join(now[name])})" if now.get(name, [state]) != [state] else ""
            yield "breaker", f"{where}: {name} was {state}{since}"
    if not any(breakers for _, breakers in said):
        for name, states in now.items():
            yield "breaker", f"{name} is {', '.join(states)} now; the query does not say that it asked one"


def versions_of(record: QueryRecord) -> dict[str, str]:
    """What the app ran when it answered, by the labels of ``rag.app.info``; what is not known is left out."""
    about = {
        "version": record.version, "config_hash": record.config_hash, "index_version": record.index_version,
        "embedding_model": record.embedding_model, "prompt_version": record.prompt_version,
    }  # fmt: skip
    return {name: value for name, value in about.items() if value}


def _versions(record: QueryRecord, now: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    """What answered, and, where that is another or not known, what the app runs now."""
    then = versions_of(record)
    if then:
        yield "versions", ", ".join(f"{name} {value}" for name, value in then.items())
    for version in now:
        if any(then.get(name) != value for name, value in version.items()):
            yield "app now", ", ".join(f"{name} {value}" for name, value in version.items())


def _who(record: QueryRecord) -> Iterator[tuple[str, str]]:
    about = (
        ("session", record.session), ("user", record.user), ("tenant", record.tenant),
        ("instance", record.instance),
    )  # fmt: skip
    said = ", ".join(f"{name} {value}" for name, value in about if value)
    if said:
        yield "of", said
    models = [model for step in record.steps if (model := step.response_model or step.model)]
    if models:
        yield "models", ", ".join(dict.fromkeys(models))
    costs = [step.cost_usd for step in record.steps if step.cost_usd is not None]
    if costs:
        yield "cost", f"${sum(costs):.6f}"


def text_setting(record: QueryRecord) -> str | None:
    """The setting that would have kept the text of this query; None where it was kept."""
    return TEXT_WITH if record.question is None and record.answer is None else None


def _wrapped(record: QueryRecord) -> str:
    """What else is wanted where others' spans are all that was seen: of them no text is kept, whatever they carry."""
    from ragwatch.assembly.report import convention_of

    said = (record.extra or {}).get("convention")  # of whoever wrote the query's own span: it would hold the text
    if said is None and record.outcome == "incomplete":
        said = next((name for step in record.steps if (name := convention_of(step))), None)
    return (
        ""
        if said is None
        else f", and put `with ragwatch.query(question):` around it (of {said} spans no text is kept)"
    )


def context(now: State | None, record: QueryRecord) -> dict[str, Any]:
    """What the query's app says of itself now: its breakers' states, and the versions that it runs."""
    from ragwatch.catalogue import METRICS

    if now is None:
        return {}
    place = (record.service, record.environment)
    breakers: dict[str, list[str]] = {}
    for key, value in now.series("rag.breaker.state").items():
        if key[:2] == place and value > 0:
            breakers.setdefault(key[2], []).append(key[3])
    names = METRICS["rag.app.info"].label_names[2:]
    versions = [
        {name: value for name, value in zip(names, key[2:], strict=True) if value}
        for key, value in now.series("rag.app.info").items()
        if key[:2] == place and value > 0
    ]
    held = {"breakers": breakers, "versions": [version for version in versions if version]}
    return {name: value for name, value in held.items() if value}


def log_line(record: QueryRecord) -> str:
    """The JSON line that the SDK writes for such a query."""
    import os

    from ragwatch.sdk.logs import QueryLog

    return QueryLog(os.devnull).write([record])[0].line


def _now(source: Source) -> State | None:
    try:
        return source.state()
    except NoAnswer:
        return None
