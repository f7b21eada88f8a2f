"""``ragwatch bundle``: an incident in one file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from ragwatch.cli.incident import AGENT, STATE, Manifest, write
from ragwatch.cli.scrub import Scrub, known_secrets, without_text
from ragwatch.cli.source import Source, add_options, source_of
from ragwatch.config.duration import to_seconds
from ragwatch.errors import ConfigError, NoAnswer

if TYPE_CHECKING:
    from ragwatch.kpi.state import State

EPILOG = """examples:
  ragwatch bundle incident.zip --since 2h             what the agent saw in the last two hours
  ragwatch bundle incident.zip --since 2h --service support-bot
  ragwatch queries --bundle incident.zip --errors     look into it, anywhere, without the agent
  ragwatch show 3f2a9c01 --bundle incident.zip
  ragwatch inspect incident.zip

Texts (questions, answers, documents, messages of exceptions) stay out unless --with-text is given.

exit codes: 0 written, 1 no agent answers or nothing was seen in that time, 2 an argument is wrong"""
LIMIT = 100_000
VERSIONS = (
    "service", "environment", "version", "config_hash", "index_version", "embedding_model", "prompt_version",
)  # fmt: skip
"""What of a query says what answered it."""
PAGE = 1000


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "bundle",
        help="an incident in one file",
        description="Traces, documents (ids, scores), KPIs by window, versions and configuration hashes, a picture.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE.zip", help="what is written")
    parser.add_argument("--since", default="1h", metavar="15m", help="from how long ago on (default 1h)")
    parser.add_argument("--service", metavar="NAME", help="of this app alone")
    parser.add_argument(
        "--limit", type=int, default=LIMIT, metavar="N", help=f"queries at the most (default {LIMIT:,})"
    )
    parser.add_argument("--with-text", action="store_true", help="texts too, where the app sends them")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    add_options(parser, bundle=False)


def run(args: argparse.Namespace) -> int:
    """Write the file; ``NoAnswer`` where there is nothing to write."""
    try:
        since_s = time() - to_seconds(args.since)
    except ValueError as error:
        raise ConfigError("since", str(error), source="--since") from None
    if args.limit < 1:
        raise ConfigError("limit", f"{args.limit}: a whole number from 1", source="--limit")
    from ragwatch.cli.top_window import of_service

    source = source_of(args)
    queries = []
    rest: str | None = None
    tells = sys.stderr.isatty()
    for page in _pages(source, args):
        queries += page["queries"]
        rest = page["next"]
        if tells:
            print(f"\r{len(queries):,} queries", end="", file=sys.stderr, flush=True)
    if tells:
        print(file=sys.stderr)
    if not queries:
        of = f" of {args.service}" if args.service else ""
        hint = ", or name another --service (`ragwatch top` lists them)" if args.service else ""
        raise NoAnswer(f"no query{of} was seen in the last {args.since}; ask for more time with --since{hint}")
    manifest = Manifest(time(), since_s, len(queries), source.name, args.with_text, rest is None)
    scrub = Scrub(known_secrets())
    parts = _parts(queries, of_service(source.state(), args.service), manifest, args.service)
    parts[AGENT] = scrub(_json(_about(source)).decode()).encode()
    kept = (scrub.all_of(query if args.with_text else without_text(query)) for query in queries)
    write(args.file, manifest, (json.dumps(query, ensure_ascii=False) for query in kept), parts)
    _report(args, manifest, parts)
    return 0


def _pages(source: Source, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    given = [("since", args.since), *([("service", args.service)] if args.service else [])]
    cursor: str | None = None
    left = args.limit
    while left > 0:
        place = [("cursor", cursor)] if cursor else []
        page = source.queries([*given, ("limit", str(min(PAGE, left))), *place])
        yield page
        left -= len(page["queries"])
        cursor = page["next"]
        if cursor is None:
            return


def _parts(queries: list[dict[str, Any]], state: State, manifest: Manifest, service: str | None) -> dict[str, bytes]:
    from ragwatch.cli.incident_kpis import picture, windows
    from ragwatch.cli.top_window import services_of
    from ragwatch.kpi.metrics import RAGMetrics

    found = windows(queries, manifest.since_s, manifest.made_s)
    names = [name for name in services_of(state) if service in {None, name}]
    kpis = {name: RAGMetrics.of(state, service=name).to_dict() for name in names}
    parts = {
        STATE: _json(state.to_json()),
        "kpis.json": _json({"since_counting_began": kpis}),
        "windows.json": _json(found),
        "apps.json": _json(_apps(state)),
        "versions.json": _json(answered_by(queries)),
    }
    title = f"{manifest.queries:,} queries from {_clock(manifest.since_s)} to {_clock(manifest.made_s)} UTC"
    drawn = picture(found, title + (f", {service}" if service else ""))
    if drawn is not None:
        parts["kpis.png"] = drawn
    return parts


def _apps(state: State) -> list[dict[str, str]]:
    """What each app runs: version, configuration hash, index, models, prompts."""
    from ragwatch.catalogue import METRICS

    names = METRICS["rag.app.info"].label_names
    return [
        {name: text for name, text in zip(names, key, strict=True) if text}
        for key, value in state.series("rag.app.info").items()
        if value > 0
    ]


def answered_by(queries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What answered in that time, the latest first: of each app every version, configuration, index and prompt.

    >>> one = {"service": "bot", "version": "1", "end_ns": 5 * 10**9}
    >>> for row in answered_by([{**one, "version": "2", "end_ns": 9 * 10**9}, one, one]): print(row)
    {'service': 'bot', 'version': '2', 'queries': 1, 'first_s': 9.0, 'last_s': 9.0}
    {'service': 'bot', 'version': '1', 'queries': 2, 'first_s': 5.0, 'last_s': 5.0}
    """
    found: dict[tuple[str, ...], list[float]] = {}
    for query in queries:
        found.setdefault(tuple(str(query.get(name) or "") for name in VERSIONS), []).append(query["end_ns"] / 1e9)
    rows = [
        {
            **{name: text for name, text in zip(VERSIONS, key, strict=True) if text},
            "queries": len(ends),
            "first_s": min(ends),
            "last_s": max(ends),
        }
        for key, ends in found.items()
    ]
    return sorted(rows, key=lambda row: -row["last_s"])


def _about(source: Source) -> dict[str, Any]:
    """What the agent is; where it does not say (an earlier ragwatch), why not."""
    try:
        return source.about()
    except NoAnswer as error:
        return {"unknown": str(error)}


def _report(args: argparse.Namespace, manifest: Manifest, parts: dict[str, bytes]) -> None:
    if args.json:
        summary = {**manifest._asdict(), "file": str(args.file), "parts": sorted(parts)}
        print(json.dumps({"summary": summary}))
        return
    size = args.file.stat().st_size / 1e3
    whole = "" if manifest.whole else f" (the newest; there are more: --limit {args.limit * 10})"
    print(f"{args.file}: {manifest.queries:,} queries{whole}, {size:,.0f} kB, {', '.join(sorted(parts))}")
    if "kpis.png" not in parts:
        print("no picture: pip install 'ragwatch[snapshot]'", file=sys.stderr)


def _clock(at_s: float) -> str:
    from datetime import UTC

    return datetime.fromtimestamp(at_s, UTC).strftime("%m-%d %H:%M")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode()
