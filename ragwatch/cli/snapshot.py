"""``ragwatch snapshot``: the dashboards' panels of a time range as pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from ragwatch.config.duration import to_seconds
from ragwatch.errors import ConfigError

if TYPE_CHECKING:
    from ragwatch.monitoring.pictures import Source
    from ragwatch.monitoring.slo import Slos

EPILOG = """examples:
  ragwatch snapshot pictures --prometheus http://127.0.0.1:9090 --since 1h
  ragwatch snapshot pictures --agent http://127.0.0.1:9464 --for 2m    no Prometheus: an agent is watched
  ragwatch snapshot incident --since 3h --until 1h --service support-bot --board overview --board resilience

exit codes: 0 drawn, 1 no panel had data, 2 Prometheus, the agent or an argument is wrong"""
LEAST_S = 5


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "snapshot",
        help="the dashboards as pictures",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, help="where the pictures go, one PNG a dashboard")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--agent", metavar="URL", help="no Prometheus: watch this agent, draw what happens")
    parser.add_argument("--for", dest="watch", default="60s", help="with --agent: how long (default 60s, or Ctrl-C)")
    parser.add_argument("--token", help="bearer token for it")
    parser.add_argument("--since", default="1h", help="from how long ago on (default 1h)")
    parser.add_argument("--until", default="0s", help="until how long ago (default: now)")
    parser.add_argument("--service", default=".*", help="of this service only (a regular expression)")
    parser.add_argument("--board", action="append", help="only this dashboard: overview, latency, … (may be repeated)")
    parser.add_argument("--slo", type=Path, help="file of objectives: its thresholds (default: the bundled ones)")
    parser.add_argument("--json", action="store_true", help="one JSON object: panels with data by picture")


def run(args: argparse.Namespace) -> int:
    """Draw; ``RagwatchError`` where Prometheus does not answer."""
    from ragwatch.monitoring.boards import boards
    from ragwatch.monitoring.pictures import draw_board
    from ragwatch.monitoring.slo import BUNDLED, load_slos, slos_of

    slos = load_slos(args.slo) if args.slo else slos_of(BUNDLED, "the bundled objectives")
    known = {board.uid.removeprefix("ragwatch-"): board for board in boards(slos)}
    for name in args.board or ():
        if name not in known:
            raise ConfigError("board", f"no dashboard {name!r}; there are {', '.join(known)}", source="--board")
    source = _agent(args, slos) if args.agent else _prometheus(args)
    args.directory.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, int] = {}
    for name, board in known.items():
        if not args.board or name in args.board:
            path = args.directory / f"{name}.png"
            empty = draw_board(board, source, path)
            drawn[str(path)] = len(board.panels) - len(empty)
            if not args.json:
                print(f"{path}: {drawn[str(path)]} of {len(board.panels)} panels have data")
                for title in empty:
                    print(f"  no data: {title}")
    if args.json:
        print(json.dumps(drawn))
    return 0 if any(drawn.values()) else 1


def _prometheus(args: argparse.Namespace) -> Source:
    from ragwatch.monitoring.pictures import PrometheusSource

    now = time()
    start, end = now - _age(args.since, "since"), now - _age(args.until, "until")
    if start >= end:
        raise ConfigError("since", f"{args.since} is not before --until {args.until}", source="the command line")
    return PrometheusSource(args.prometheus, start, end, service=args.service, token=args.token)


def _agent(args: argparse.Namespace, slos: Slos) -> Source:
    from ragwatch.monitoring.agent_samples import AgentSource, sample

    seconds = _age(args.watch, "for")
    if seconds < LEAST_S:
        raise ConfigError("for", f"{args.watch} is less than {LEAST_S} s: a rate needs samples", source="--for")
    if not args.json:
        print(f"watching {args.agent} for {args.watch}: what happened before, only a Prometheus could draw", flush=True)
    return AgentSource(sample(args.agent, seconds, token=args.token), service=args.service, slos=slos)


def _age(text: str, name: str) -> float:
    try:
        return to_seconds(text)
    except ValueError as error:
        raise ConfigError(name, str(error), source=f"--{name}") from None
