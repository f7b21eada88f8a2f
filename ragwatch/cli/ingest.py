"""``ragwatch ingest``: documents through a function of yours, resumable, with a progress bar and KPIs."""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragwatch.errors import ConfigError

if TYPE_CHECKING:
    from ragwatch.processing.processor import DocumentProcessor

ACTIONS = ("retry", "status")
EPILOG = """examples:
  ragwatch ingest --function loader:parse docs/                  every file below docs/
  ragwatch ingest --function loader:parse --glob '*.pdf' docs/   only these
  find . -name '*.md' | ragwatch ingest --function loader:parse --from-file -
  ragwatch ingest retry --function loader:parse                  the dead and the failed once more
  ragwatch ingest status                                         what the ledger knows

The function takes one document (a path, or a line of --from-file). What was done is not done again, unless the
document or --pipeline-version changed. Ctrl-C ends the run in good order; the same command goes on where it was.
A directory that is named retry or status is given as ./retry.

exit codes: 0 all done, 1 something failed, is dead or waits, 2 a setting is wrong, 130 stopped"""


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "ingest",
        help="put documents through your function, resumable, with KPIs",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paths", nargs="*", metavar="[retry|status] PATH", help="files, directories (all files below), or URIs")
    add("--function", help="what a document goes through: pkg.mod:function")
    add("--from-file", metavar="FILE", help="documents, one a line; - is standard input")
    add("--glob", action="append", metavar="PATTERN", help="of directories only the files that match (may be repeated)")
    add("--pipeline", help="name in ledger and KPIs (default: the function's module)")
    add("--pipeline-version", default="1", help="a new one makes every document new (default 1)")
    add("--ledger", type=Path, default=Path(".ragwatch/ingest.db"), help="default .ragwatch/ingest.db")
    add("--dead-letter", type=Path, default=Path(".ragwatch/dead-letters.jsonl"), help="JSON Lines of what is dead")
    add("--workers", type=int, help="documents at once (default: cores + 4, at most 32)")
    add("--isolation", choices=("thread", "process"), default="thread", help="process: a parser that hangs is ended")
    add("--timeout", type=float, default=120.0, help="seconds a document (default 120)")
    add("--max-attempts", type=int, default=5, help="over all runs, then it is dead (default 5)")
    add("--max-bytes", type=int, help="larger documents are dead without being read")
    add("--breaker-threshold", type=int, default=5, help="faults of the dependency in a row that open it (default 5)")
    add("--breaker-reset", type=float, default=60.0, help="seconds until it probes (default 60)")
    add("--breaker-wait", type=float, default=300.0, help="seconds to wait for it in all, then defer (default 300)")
    add("--service", help="service.name of the KPIs (default OTEL_SERVICE_NAME, else the pipeline)")
    add("--json", action="store_true", help="one JSON object as the last line")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Run one action; ``ConfigError`` for an argument that cannot be used."""
    action = args.paths.pop(0) if args.paths and args.paths[0] in ACTIONS else ""
    if action == "status":
        return _status(args)
    if args.function is None:
        raise ConfigError("function", "name what a document goes through, as pkg.mod:function", source="--function")
    from ragwatch.cli.target import load_function

    function = load_function(args.function)
    processor = _processor(args, function)
    if action == "retry":
        return _run(args, processor, None)
    if not args.paths and args.from_file is None:
        raise ConfigError("paths", "name a file, a directory or a URI, or --from-file", source="the command line")
    _check(args.paths, args.from_file)
    return _run(args, processor, lambda: documents(args.paths, args.from_file, args.glob))


def documents(paths: Iterable[str], from_file: str | None, patterns: Iterable[str] | None) -> Iterator[str]:
    """The documents, one by one: files, those below directories by name (no hidden ones), URIs, lines of a file."""
    wanted = tuple(patterns or ())
    for name in paths:
        path = Path(name)
        if path.is_dir():
            yield from _below(path, wanted)
        else:
            yield name
    if from_file is not None:
        # names of files are bytes, not always UTF-8
        raw = sys.stdin.buffer if from_file == "-" else Path(from_file).open("rb")  # noqa: SIM115
        with raw as lines:
            yield from (os.fsdecode(line.strip()) for line in lines if line.strip())


def _below(directory: Path, patterns: tuple[str, ...]) -> Iterator[str]:
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        print(f"ragwatch ingest: {directory} is left out: {error.strerror}", file=sys.stderr)
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _below(entry, patterns)
        elif entry.is_file() and (not patterns or any(entry.match(pattern) for pattern in patterns)):
            yield str(entry)


def _check(paths: Iterable[str], from_file: str | None) -> None:
    if from_file not in {None, "-"} and not Path(str(from_file)).is_file():
        raise ConfigError("from-file", f"there is no file {from_file!r}", source="--from-file")
    for name in paths:
        if "://" not in name and not Path(name).exists():
            raise ConfigError("paths", f"there is no {name!r}", source="the command line")


def _pipeline(args: argparse.Namespace) -> str:
    found: str = args.pipeline or (args.function or "default").partition(":")[0]
    return found


def _processor(args: argparse.Namespace, function: Any) -> DocumentProcessor:
    from ragwatch.processing.processor import DocumentProcessor
    from ragwatch.resilience.breaker import CircuitBreaker
    from ragwatch.resilience.retryable import transient

    pipeline = _pipeline(args)
    return DocumentProcessor(
        function,
        pipeline=pipeline,
        version=args.pipeline_version,
        workers=args.workers,
        isolation=args.isolation,
        breaker=CircuitBreaker(
            f"ingest.{pipeline}",
            failure_threshold=args.breaker_threshold,
            reset_timeout=args.breaker_reset,
            record=transient,
        ),
        breaker_wait=args.breaker_wait,
        ledger=args.ledger,
        dead_letter=args.dead_letter,
        max_attempts=args.max_attempts,
        max_bytes=args.max_bytes,
        timeout=args.timeout,
    )


def _run(args: argparse.Namespace, processor: DocumentProcessor, source: Any) -> int:
    import ragwatch
    from ragwatch.cli.ingest_screen import progress, summary
    from ragwatch.config.otel_env import read_settings

    ragwatch.init(service=args.service or read_settings().service or processor.pipeline)
    try:
        with _stoppable(processor) as stopped, progress(processor, source, quiet=args.quiet):
            result = processor.retry_dead() if source is None else processor.process(source())
    finally:
        ragwatch.shutdown()
    print(summary(processor, result, stopped=bool(stopped), as_json=args.json))
    if stopped:
        return 130
    return 0 if result.failure_count == result.deferred_count == 0 else 1


@contextmanager
def _stoppable(processor: DocumentProcessor) -> Iterator[list[int]]:
    """The first signal ends the run in good order, the second at once."""
    seen: list[int] = []

    def stop(number: int, _frame: object) -> None:
        seen.append(number)
        if len(seen) > 1:
            raise KeyboardInterrupt
        processor.stop()
        print("\nragwatch ingest: stopping; what runs is recorded (again to stop at once)", file=sys.stderr)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _status(args: argparse.Namespace) -> int:
    from ragwatch.cli.ingest_screen import status

    if not args.ledger.exists():
        raise ConfigError("ledger", f"there is no {str(args.ledger)!r}: nothing was ingested yet", source="--ledger")
    try:
        print(status(args.ledger, as_json=args.json))
    except sqlite3.Error as error:
        raise ConfigError("ledger", f"{args.ledger} is no ledger: {error}", source="--ledger") from error
    return 0
