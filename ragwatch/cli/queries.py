"""``ragwatch queries``: what the agent saw."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from time import sleep
from typing import TYPE_CHECKING, Any

from ragwatch.agent.parameters import MAX_LIMIT, SEARCH, ParameterError, read
from ragwatch.cli.source import Source, add_options, source_of
from ragwatch.errors import ConfigError, NoAnswer

if TYPE_CHECKING:
    from ragwatch.agent.parameters import Parameter

EPILOG = """examples:
  ragwatch queries --errors --since 15m            what failed, the newest first
  ragwatch queries --slow --since 1h --limit 10    the ten slowest, and the step that each waited for
  ragwatch queries --bad --service support-bot     what people or judges found bad
  ragwatch queries --document doc-17 --since 1d    who was served this document
  ragwatch queries --errors --follow               go on showing them as they come
  ragwatch queries --data-dir DIR --json           from the files, one JSON object a query, the summary last
  ragwatch show 3f2a9c01                           one of them in full

exit codes: 0 done, 1 no agent answers, 2 an argument is wrong"""
FOLLOW_S = 1.0
_OWN = {"limit", "cursor"}


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options: each parameter of ``/api/queries``, and shortcuts for the usual ones."""
    parser = subparsers.add_parser(
        "queries",
        help="what the agent saw",
        description="Stored queries, the newest first.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for parameter in SEARCH:
        _option(parser, parameter)
    parser.add_argument("--follow", action="store_true", help="go on showing what comes, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="one JSON object a query, then the summary")
    add_options(parser)


def _option(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
    for option, value in parameter.shortcuts.items():
        meaning = parameter.meaning if value == "true" else f"the same as {parameter.option} {value}"
        parser.add_argument(option, dest=parameter.name, action="store_const", const=value, help=meaning)
    if parameter.option not in parameter.shortcuts:
        values = parameter.schema.get("enum")
        default = f" (default {parameter.schema['default']})" if "default" in parameter.schema else ""
        about = f"{parameter.meaning}: {', '.join(values)}" if values else f"{parameter.meaning}{default}"
        parser.add_argument(parameter.option, dest=parameter.name, metavar=parameter.example or "TEXT", help=about)


def run(args: argparse.Namespace) -> int:
    """Show the queries; ``NoAnswer`` without an agent, ``ConfigError`` for an argument that cannot be read."""
    given = [(p.name, str(value)) for p in SEARCH if (value := getattr(args, p.name)) is not None]
    limit = _limit(args.limit)
    try:
        read([pair for pair in given if pair[0] != "limit"], SEARCH)
        source = source_of(args)
        return _follow(args, source, given) if args.follow else _list(args, source, given, limit)
    except ParameterError as error:
        option = next((p.option for p in SEARCH if p.name == error.name), error.name)
        raise ConfigError(error.name, error.problem.lstrip("=: "), source=option) from None


def _limit(text: str | None) -> int:
    if text is None:
        return 50
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ConfigError("limit", f"{text!r}: a whole number from 1", source="--limit")
    return int(text)


def _list(args: argparse.Namespace, source: Source, given: list[tuple[str, str]], limit: int) -> int:
    found: list[dict[str, Any]] = []
    after: str | None = None
    count = 0
    for page in _pages(source, given, limit):
        after = page["next"]
        count += len(page["queries"])
        if args.json:
            for query in page["queries"]:
                print(json.dumps(query, ensure_ascii=False))
        else:
            found += page["queries"]
    if args.json:
        summary = {"shown": count, "order": args.order or "newest", "next": after, "source": source.name}
        print(json.dumps({"summary": summary}))
    else:
        _show(found, args, after)
    return 0


def _pages(source: Source, given: list[tuple[str, str]], limit: int) -> Iterator[dict[str, Any]]:
    rest = [pair for pair in given if pair[0] not in _OWN]
    cursor = next((text for name, text in given if name == "cursor"), None)
    while limit > 0:
        more = [("cursor", cursor)] if cursor else []
        page = source.queries([*rest, ("limit", str(min(limit, MAX_LIMIT))), *more])
        yield page
        limit -= len(page["queries"])
        cursor = page["next"]
        if cursor is None:
            return


def _show(found: list[dict[str, Any]], args: argparse.Namespace, after: str | None) -> None:
    from ragwatch.cli.paint import coloured, paint
    from ragwatch.cli.query_lines import SHORT_ID

    if not found:
        span = f" in the last {args.since}" if args.since else ""
        print(f"no query of that kind is kept{span}", file=sys.stderr)
        return
    table = _table(found)
    print(table.head())
    for query in found:
        print(table.row(query))
    if sys.stdout.isatty():
        order = "the slowest first" if args.order == "slowest" else "the newest first"
        trace = found[0]["trace_id"][:SHORT_ID]
        more = f"\nthe next of them: --cursor {after}" if after else ""
        print(paint(f"{len(found)} queries, {order}; one in full: ragwatch show {trace}{more}", "dim", coloured()))


def _table(found: list[dict[str, Any]]) -> Any:
    from ragwatch.cli.paint import coloured
    from ragwatch.cli.query_lines import Table

    width = max(80, shutil.get_terminal_size((100, 24)).columns) if sys.stdout.isatty() else 0
    return Table(width, colour=coloured(), queries=found)


def _follow(args: argparse.Namespace, source: Source, given: list[tuple[str, str]]) -> int:
    if args.bundle is not None:
        raise ConfigError("--follow", "nothing comes to a bundle: leave it out", source="the command line")
    known: dict[tuple[str, str], None] = {}
    try:
        _show_what_comes(args, source, given, known)
    except KeyboardInterrupt:
        if args.json:
            summary = {"shown": len(known), "order": "newest", "next": None, "source": source.name}
            print(json.dumps({"summary": summary}))
    return 0


def _show_what_comes(
    args: argparse.Namespace, source: Source, given: list[tuple[str, str]], known: dict[tuple[str, str], None]
) -> None:
    """Show what is there, then what comes: a page is read anew each second, and known queries are left out.

    What a query is called bad for comes after it, so that a place in the list would not do. An agent that is started
    again is waited for.
    """
    rest = [pair for pair in given if pair[0] not in {"limit", "cursor", "order"}]
    if not any(name == "since" for name, _ in rest):
        rest.append(("since", "15m"))
    table: Any = None
    lost = False
    first = True
    while True:
        try:
            fresh = _fresh(source, rest, known, deep=first or bool(args.bad))
            if first:  # what is older than these is known, and not shown
                fresh = fresh[: _limit(args.limit)]
        except NoAnswer as error:
            if first:
                raise
            if not lost:
                print(f"ragwatch queries: {error}; waiting for it", file=sys.stderr)
            lost = True
            sleep(FOLLOW_S)
            continue
        if table is None and not args.json and (fresh or sys.stdout.isatty()):
            table = _table(fresh)
            print(table.head(), flush=True)
        for query in reversed(fresh):
            print(json.dumps(query, ensure_ascii=False) if args.json else table.row(query))
        sys.stdout.flush()
        lost = first = False
        sleep(FOLLOW_S)


def _fresh(
    source: Source, rest: list[tuple[str, str]], known: dict[tuple[str, str], None], *, deep: bool
) -> list[dict[str, Any]]:
    """The queries that were not seen before, the newest first; pages are read until one holds nothing new."""
    found: list[dict[str, Any]] = []
    for page in _pages(source, rest, MAX_LIMIT):
        new = [query for query in page["queries"] if (query["trace_id"], query["span_id"]) not in known]
        found += new
        if len(new) < len(page["queries"]) and not deep:
            break
    known.update(dict.fromkeys((query["trace_id"], query["span_id"]) for query in found))
    while len(known) > 100 * MAX_LIMIT:
        del known[next(iter(known))]
    return found
