"""``ragwatch doctor``: proves that telemetry flows, hop by hop, or says which hop is wrong and what to type."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragwatch.cli.doctor_app import Check, app_checks
from ragwatch.cli.source import RunningAgent, default_port
from ragwatch.cli.target_options import add_url_options, open_url
from ragwatch.errors import ConfigError

EPILOG = """examples:
  ragwatch doctor                              in the environment of the app: its variables are what is looked at
  ragwatch doctor myapp.main:answer            and the app itself, imported in a process of its own
  ragwatch doctor myapp.main:answer --ask 'how do I reset it?'     and asked, its query followed to the upstream
  ragwatch doctor http://127.0.0.1:8000/ask    and the app behind a URL: it is asked once, and its query has to come
  ragwatch doctor demo                         and the bundled demo, which is built and asked once
  ragwatch doctor --agent http://sidecar:9464 --json
  ragwatch doctor --bundle report.zip          everything for a bug report, secrets removed

It sends one query of the service ragwatch-doctor through the whole way, or follows that of the app which it asked.

exit codes: 0 telemetry flows, 1 something is wrong, 2 an argument is wrong"""
INDENT = 20
_MARKS = {"ok": ("ok", "green"), "wrong": ("WRONG", "red"), "note": ("note", "yellow"), "unknown": ("?", "dim")}


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "doctor",
        help="prove that telemetry flows",
        description="Looks at each hop from the app to the upstream: ok, or what is wrong and what to type.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", nargs="?", metavar="TARGET", help="your app: pkg.mod:function, or its URL; or demo")
    parser.add_argument(
        "--ask", metavar="QUESTION", help="ask your app this, and follow its query (a URL is asked anyway)"
    )
    parser.add_argument("--cache-dir", type=Path, metavar="DIR", help="demo: where its index is kept")
    add_url_options(parser)
    parser.add_argument("--agent", metavar="URL", help=f"the agent's web port (default: {default_port()} of this host)")
    parser.add_argument("--token", help="the agent's bearer token (default: RAGWATCH_AGENT_TOKEN)")
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE", help="write an archive for a bug report, secrets removed"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a check, then the summary")


def run(args: argparse.Namespace) -> int:
    """Look at everything; 1 where something is wrong."""
    if args.target not in {None, "demo"} and ":" not in args.target:
        said = (
            f"{args.target!r} should read pkg.mod:function (it is imported to see who traces in it), http://…, or demo"
        )
        raise ConfigError("TARGET", said, source="argument")
    if args.ask and args.target is None:
        raise ConfigError("ask", "wants a TARGET that can be asked", source="--ask")
    agent = RunningAgent(args.agent or f"http://127.0.0.1:{default_port()}", args.token)
    checks: list[Check] = []
    for check in _checks(args, agent):
        checks.append(check)
        _say(check, as_json=args.json)
    wrong = [check for check in checks if check.status == "wrong"]
    if args.bundle is not None:
        from ragwatch.cli.doctor_bundle import write

        names = write(args.bundle, checks, agent)
        print(f"{args.bundle}: {', '.join(names)}; secrets are removed, look before you send it", file=sys.stderr)
    if args.json:
        summary = {"wrong": [check.name for check in wrong], "flows": not wrong, "agent": agent.name}
        print(json.dumps({"summary": summary}))
    else:
        print(
            f"\n{len(wrong)} wrong: {', '.join(dict.fromkeys(c.name for c in wrong))}" if wrong else "\ntelemetry flows"
        )
    return 1 if wrong else 0


def _checks(args: argparse.Namespace, agent: RunningAgent) -> Iterator[Check]:
    from ragwatch.cli.doctor_hops import Canary, hop_checks

    is_url = args.target is not None and "://" in args.target
    is_demo = args.target == "demo"
    target = open_url(args.target, args) if is_url else None
    yield from app_checks(None if is_url or is_demo else args.target)
    canary = Canary()
    if is_demo or (args.ask and not is_url and args.target is not None):
        from ragwatch.cli.doctor_ask import asking

        canary = asking(args.target, args.ask, args.cache_dir)
    yield from hop_checks(agent, canary)
    if target is not None:
        from ragwatch.cli.doctor_url import QUESTION, url_checks

        yield from url_checks(target, agent, question=args.ask or QUESTION)


def _say(check: Check, *, as_json: bool) -> None:
    from ragwatch.cli.paint import coloured, paint

    if as_json:
        print(json.dumps(check._asdict(), ensure_ascii=False), flush=True)
        return
    mark, style = _MARKS[check.status]
    width = max(60, shutil.get_terminal_size((100, 24)).columns) if sys.stdout.isatty() else 10**6
    first, *more = textwrap.wrap(check.said, width - INDENT, break_long_words=False) or [""]
    print(f"{paint(f'{mark:<5}', style, coloured())}  {check.name:<12} {first}", flush=True)
    for part in more:
        print(f"{'':<{INDENT}}{part}", flush=True)
    if check.do and check.status in {"wrong", "note"}:
        print(f"{'':<{INDENT}}→ {check.do}", flush=True)
