"""The ``ragwatch`` command: one module a verb, loaded when the verb is used.

A verb's module has ``add_parser(subparsers)`` and ``run(args) -> int``. Exit codes: 0 done, 1 it did not work out, 2 a
setting or an argument is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from ragwatch import __version__
from ragwatch.errors import NoAnswer, RagwatchError

VERBS = {
    "demo": "watch a real RAG app answer questions about Python, end to end",
    "agent": "run the sidecar: OTLP in, KPIs on /metrics, everything on disk until it is delivered",
    "queries": "what the agent saw: the failed, the slow, the bad, the empty; by step, document, time",
    "show": "one query: waterfall, documents, error, judgements, log line",
    "top": "a live screen of the KPIs by service and step",
    "doctor": "prove that telemetry flows, hop by hop, or say what is wrong and what to type",
    "bundle": "an incident in one file, which queries, show, top and inspect read",
    "explore": "ask a RAG app in the terminal, and see each answer's steps, documents and cost",
    "bench": "load on a RAG app: latency, errors, cost and accuracy, its knee, and a verdict for CI",
    "inspect": "what ragwatch sees in spans of any convention, and what is missing in them",
    "ingest": "put documents through your function: resumable, nothing lost, with KPIs",
    "config": "check, show and explain settings: each value and where it came from",
    "rules": "Prometheus' alert rules for your own objectives, and a test that an alert reaches you",
    "dashboards": "Grafana's dashboards for your own objectives",
    "snapshot": "the dashboards' panels of a time range as pictures",
    "completion": "a script that completes verbs and options in your shell",
    "codegen": "write the files that derive from the metric catalogue, or check that they are fresh",
}


class VerbParser(argparse.ArgumentParser):
    """Says what is wrong with an argument in one line, and what was probably meant."""

    def error(self, message: str) -> NoReturn:
        """Exit code 2."""
        import re
        from difflib import get_close_matches

        wrong = message.partition("unrecognized arguments: ")[2].split()
        known = sorted(set(re.findall(r"--[a-z][\w-]*", self.format_help())))
        near = get_close_matches(wrong[0], known, n=1) if wrong else []
        hint = f"did you mean {near[0]}?" if near else f"{self.prog} --help says more"
        print(f"{self.prog}: {message}; {hint}", file=sys.stderr)
        sys.exit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    ragwatch ...
    0
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--version"]:
        print(f"ragwatch {__version__}{_build()}")
        return 0
    if not arguments or arguments[0] not in VERBS:
        return _help(arguments)
    parser = argparse.ArgumentParser(prog="ragwatch")
    subparsers = parser.add_subparsers(dest="verb", required=True, parser_class=VerbParser)
    verb = import_module(f"ragwatch.cli.{arguments[0]}")
    verb.add_parser(subparsers)
    try:
        return int(verb.run(_read(subparsers.choices[arguments[0]], arguments[1:])))
    except RagwatchError as error:
        print(f"ragwatch {arguments[0]}: {error}", file=sys.stderr)
        return 1 if isinstance(error, NoAnswer) else 2
    except BrokenPipeError:  # the reader went away: | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _build() -> str:
    """What ``--version`` says of the build. Where a module would be loaded from is known without loading it."""
    from importlib.util import find_spec

    found = find_spec("ragwatch.kpi.engine")
    return " (compiled)" if found and not str(found.origin).endswith(".py") else ""


def _read(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """The options of a verb, before, between and after what else it takes."""
    try:
        return parser.parse_intermixed_args(arguments)
    except TypeError:  # a verb with verbs of its own
        return parser.parse_args(arguments)


def _help(arguments: list[str]) -> int:
    """What there is; 0 when it was asked for, 2 for a verb that does not exist."""
    asked = not arguments or arguments[0] in {"-h", "--help", "help"}
    out = sys.stdout if asked else sys.stderr
    if not asked:
        from difflib import get_close_matches

        near = get_close_matches(arguments[0], VERBS, n=1)
        print(f"ragwatch: no verb {arguments[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""), file=out)
    print("usage: ragwatch VERB [options]   (ragwatch VERB --help says more)\n", file=out)
    for verb, meaning in VERBS.items():
        print(f"  {verb:<10} {meaning}", file=out)
    print("  --version", file=out)
    return 0 if asked else 2
