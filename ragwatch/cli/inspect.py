"""``ragwatch inspect``: what ragwatch sees in spans, from a file or a running agent, and what is missing in them."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragwatch import semconv
from ragwatch.errors import ConfigError, NoAnswer, RagwatchError

if TYPE_CHECKING:
    from ragwatch.assembly.node import Origin
    from ragwatch.assembly.report import Report
    from ragwatch.conventions.decode import RawSpan
    from ragwatch.record import QueryRecord

EPILOG = """examples:
  ragwatch inspect spans.jsonl                 what is in these spans (OTLP as JSON lines or protobuf)
  ragwatch inspect spans.jsonl --trace 041f    one trace as a tree (a beginning of its id is enough)
  ragwatch inspect --live --since 15m          what a running agent has assembled
  collector-dump | ragwatch inspect - --json   for programs

exit codes: 0 something was recognised, 1 nothing was, 2 the input cannot be read"""


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "inspect",
        help="what ragwatch sees in spans, and what is missing",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", help="OTLP traces, or a file of `ragwatch bundle`; - is standard input")
    parser.add_argument(
        "--live", nargs="?", const="http://127.0.0.1:9464", metavar="URL", help="a running agent (default: this host's)"
    )
    parser.add_argument("--since", default="15m", help="with --live: how far back, as 15m, 2h (default 15m)")
    parser.add_argument("--token", help="with --live: the agent's bearer token")
    parser.add_argument("--trace", metavar="ID", help="draw this trace instead (a beginning of its id is enough)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Report on the spans; ``RagwatchError`` where they cannot be had."""
    if (args.file is None) == (args.live is None):
        raise ConfigError("file", "name a file of spans (- is standard input), or --live", source="the command line")
    report = _live(args) if args.live is not None else _of_file(args.file)
    if args.trace is not None:
        return _draw(report, args.trace, as_json=args.json)
    found = report.to_dict()
    print(json.dumps(found, ensure_ascii=False) if args.json else "\n".join(_lines(report, found)))
    return 0 if report.queries or report.steps else 1


def spans_of(name: str) -> Iterator[tuple[RawSpan, str, Origin]]:
    """(span, scope, origin) of each span of a file."""
    from ragwatch.assembly.node import Origin
    from ragwatch.cli.spans_file import read_traces

    for resource, scopes in read_traces(name):
        environment = resource.get(semconv.DEPLOYMENT_ENVIRONMENT) or resource.get(semconv.DEPLOYMENT_ENVIRONMENT_OLD)
        service = str(resource.get(semconv.SERVICE_NAME) or "unknown_service")
        version = resource.get(semconv.SERVICE_VERSION)
        origin = Origin(service, str(environment or ""), None, str(version) if version else None)
        for scope, spans in scopes:
            for span in spans:
                yield span, scope.name, origin


def _of_file(name: str) -> Report:
    from ragwatch.assembly.report import Report
    from ragwatch.assembly.whole import assemble_all
    from ragwatch.cli.incident import is_incident, queries_of
    from ragwatch.record import QueryRecord

    if is_incident(Path(name)):
        return Report.of_records([QueryRecord.from_dict(query) for query in reversed(list(queries_of(Path(name))))])
    return Report.of(assemble_all(spans_of(name)))


def _live(args: argparse.Namespace) -> Report:
    from ragwatch.agent.parameters import MAX_LIMIT, SEARCH, ParameterError, read
    from ragwatch.assembly.report import Report
    from ragwatch.cli.source import RunningAgent
    from ragwatch.record import QueryRecord

    asked = [("since", args.since), ("limit", str(MAX_LIMIT))]
    try:
        read(asked, SEARCH)
        held = RunningAgent(args.live, args.token).queries(asked)["queries"]
    except NoAnswer as error:
        raise RagwatchError(str(error)) from None
    except ParameterError as error:
        raise ConfigError("since", str(error.problem).lstrip("="), source="--since") from None
    return Report.of_records([QueryRecord.from_dict(record) for record in reversed(held)])


def _draw(report: Report, trace: str, *, as_json: bool) -> int:
    from ragwatch.cli.waterfall import details, draw, seconds

    wanted = trace.lower()
    queries = [record for record in report.queries if record.trace_id.startswith(wanted)]
    inside = {step.span_id for record in queries for step in record.steps}
    loose = [s for s in report.steps if s.trace_id.startswith(wanted) and s.span_id not in inside]
    if not queries and not loose:
        known = ", ".join(dict.fromkeys(record.trace_id[:8] for record in report.queries[:8]))
        raise RagwatchError(f"no trace begins with {trace!r}" + (f"; there are {known}, …" if known else ""))
    if as_json:
        print(json.dumps({"queries": [record.to_dict() for record in queries]}, ensure_ascii=False, default=str))
        return 0
    width = shutil.get_terminal_size((100, 24)).columns
    for record in queries:
        print("\n".join(draw(record, width)))
    for step in loose:
        print(f"{step.step} {step.name}  {step.outcome}  {seconds(step.duration_s)}  (belongs to no query)")
        print("\n".join(f"  {text}" for text in details(step)))
    return 0


def _lines(report: Report, found: dict[str, Any]) -> Iterator[str]:
    queries = found["queries"]
    yield f"{queries['count']} queries, {queries['errors']} failed, {queries['incomplete']} incomplete"
    yield ""
    yield "steps"
    for kind, held in found["steps"].items():
        empty = f", {held['empty']} empty" if held.get("empty") else ""
        failed = f", {held['errors']} failed" if held["errors"] else ""
        yield f"  {kind:<10} {held['count']:>5}{failed}{empty}"
    if found["error_classes"]:
        yield "errors     " + ", ".join(f"{count} {kind}" for kind, count in found["error_classes"].items())
    if found["models"]["request"] or found["models"]["response"]:
        answered = ", ".join(found["models"]["response"]) or "unknown"
        yield f"models     asked: {', '.join(found['models']['request']) or 'unknown'}; answered: {answered}"
    usage = found["tokens"]["generate"]
    if usage["calls"]:
        parts = [
            f"{'unknown' if usage[name] is None else usage[name]} {name}" for name in ("input", "output", "cached")
        ]
        yield f"tokens     {', '.join(parts)}; known for {usage['calls_with_usage']} of {usage['calls']} calls"
    documents = found["documents"]
    if documents["counts"]:
        retrieved = "unknown how many" if documents["retrieved"] is None else documents["retrieved"]
        yield (
            f"documents  {retrieved} retrieved, {documents['with_id']} with an id, "
            f"{documents['with_score']} with a score, {documents['with_distance']} with a distance"
        )
    if found["cache_hits"]:
        yield f"cache      {found['cache_hits']} hits"
    if found["conventions"]:
        yield "said by    " + ", ".join(f"{name} ({count})" for name, count in found["conventions"].items())
    if found["collapsed"]:
        yield "collapsed  " + ", ".join(f"{count} {why}" for why, count in found["collapsed"].items())
    if found["coverage"]:
        yield ""
        yield "coverage (known / all that succeeded)"
        for name, (have, of) in found["coverage"].items():
            yield f"  {name:<24} {have:>5} / {of}"
    if found["notes"]:
        yield ""
        yield "notes"
        yield from (f"  - {note}" for note in found["notes"])
    if not sys.stdout.isatty():
        return
    if report.queries:
        yield ""
        yield f"one query as a tree: ragwatch inspect … --trace {report.queries[-1].trace_id[:8]}"


def records_of(name: str) -> list[QueryRecord]:
    """The queries of a file of spans."""
    return _of_file(name).queries
