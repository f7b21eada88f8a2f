"""``ragwatch bench``: load on a RAG app, and what it does to latency, errors, cost and accuracy."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragwatch.cli.target_options import HELP, add_target_options
from ragwatch.errors import ConfigError, RagwatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from ragwatch.bench.figures import Condition
    from ragwatch.bench.session import Plan
    from ragwatch.demo.golden import Golden
    from ragwatch.target.target import Target

EPILOG = """examples:
  ragwatch bench demo --rate 50 --duration 20s              an open loop: 50 questions a second, come what may
  ragwatch bench app:answer --rate 5,10..80,80 --arrivals poisson --questions golden.jsonl
  ragwatch bench app:answer --concurrency 1,4,16 --think 200ms..1s     a closed loop: users who wait for answers
  ragwatch bench http://127.0.0.1:8000/ask --answer data.text --find-knee --slo 'p95<1s'
  ragwatch bench app:answer --runs 5 --report new.json --fail-if 'p95>2s' 'recall_at_5.low<0.6'
  ragwatch bench --compare old.json new.json --fail-if 'regression>10%'

A rate or a number of users may be a value, a ramp (10..100), or steps of both (10,10..100,100), each --duration long.
Latency counts from when a question should have been asked, so a stall is not hidden (no coordinated omission).

exit codes: 0 done, 1 a --fail-if holds or nothing was answered, 2 an argument is wrong, 130 ended by Ctrl-C"""


PIPE_WIDTH = 140


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "bench",
        help="load on a RAG app, and what it does to it",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", nargs="?", help=HELP)
    group = parser.add_argument_group("the load")
    group.add_argument("--rate", help="open loop: questions a second, as 50, 10..100 or 10,20,50 (default 10)")
    group.add_argument("--concurrency", help="closed loop: users who each wait for their answer, as 8, 1..16 or 1,4,16")
    group.add_argument(
        "--duration", default=None, help="how long each part is (default 10s; 4s a trial of --find-knee)"
    )
    group.add_argument("--warm-up", default="1s", help="load before it counts, at the first rate (default 1s)")
    group.add_argument(
        "--arrivals", choices=("constant", "poisson"), default="constant", help="open loop: evenly, or at random"
    )
    group.add_argument(
        "--think", default="0s", help="closed loop: pause before the next question, as 0.5s or 200ms..1s"
    )
    group.add_argument("--runs", type=int, default=1, help="repeat it all, so that a comparison knows the noise")
    group.add_argument("--timeout", default="30s", help="how long a coroutine or a URL may take (default 30s)")
    group.add_argument("--max-in-flight", type=int, default=256, help="questions under way at once (default 256)")
    group = parser.add_argument_group("the questions")
    group.add_argument("--questions", type=Path, help='a file: one a line, or {"question": …, "relevant": [ids]}')
    group.add_argument("--zipf", type=float, help="repeat questions with this exponent (1: as the web's; 0: in turn)")
    group.add_argument("--seed", type=int, default=0, help="which questions repeat, and when they arrive")
    group = parser.add_argument_group("the verdict")
    group.add_argument("--find-knee", action="store_true", help="raise the rate until the app breaks its promises")
    group.add_argument("--slo", nargs="+", default=[], metavar="PROMISE", help="--find-knee: promises, as 'p95<1s'")
    group.add_argument(
        "--compare", nargs="+", type=Path, metavar="REPORT", help="OLD NEW without a target; OLD with one"
    )
    group.add_argument("--fail-if", nargs="+", default=[], metavar="CONDITION", help="exit code 1 if one holds")
    group = parser.add_argument_group("what comes out")
    group.add_argument("--report", type=Path, default=Path("report.json"), help="the report (default report.json)")
    group.add_argument("--html", type=Path, help="the page with the curves (default: beside the report)")
    group.add_argument("--json", action="store_true", help="one JSON object on stdout, the table on stderr")
    add_target_options(parser)


def run(args: argparse.Namespace) -> int:
    """Put the load on, or compare reports."""
    try:
        import hdrh.histogram
        import numpy as np
        import rich
        import scipy  # noqa: F401

        del hdrh, np, rich
    except ImportError as error:
        raise RagwatchError(f"bench needs its extra: pip install 'ragwatch[bench]' ({error})") from None
    from ragwatch.bench.figures import read_condition

    conditions = [read_condition(text, "--fail-if") for text in args.fail_if]
    if args.target is None:
        return _compare_files(args, conditions)
    if args.compare and len(args.compare) != 1:
        raise ConfigError("--compare", "with a target takes one report, the old one", source="the command line")
    return _bench(args, conditions)


def _bench(args: argparse.Namespace, conditions: list[Condition]) -> int:
    from ragwatch.bench import report as reports
    from ragwatch.bench.compare import compare
    from ragwatch.bench.engine import interrupted_by
    from ragwatch.bench.page import page
    from ragwatch.bench.screen import live, outcome
    from ragwatch.bench.session import Session
    from ragwatch.cli.target_options import checked_by_asking, open_target, options_of
    from ragwatch.target.asking import switch_on

    console = _console(stderr=True)
    plan = _plan(args)
    old = reports.read(args.compare[0]) if args.compare else None
    html = args.html or args.report.with_suffix(".html")
    for path, option in ((args.report, "--report"), (html, "--html")):
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            said = "is a directory" if path.is_dir() else f"cannot be written: {path.parent} is no directory of yours"
            raise ConfigError(str(path), said, source=option)
    questions = _read_questions(args)
    with redirect_stdout(sys.stderr):  # what the app prints is no part of the result
        with console.status(f"opening {args.target} …"):
            target = open_target(args.target, args, timeout_s=plan.timeout_s, connections=plan.limit)
            options = options_of(target, args)
            golden, mixed = _questions(args, target, questions)
            plan = replace(plan, more={**plan.more, "labelled": sum(bool(one.relevant) for one in golden)})
            switch_on("ragwatch-bench")
            failed = checked_by_asking(target, golden[0].question, options)
            if failed:
                console.print(
                    f"the first question failed, the load begins all the same: {failed}", markup=False, soft_wrap=True
                )
            if len(golden) == 1:
                console.print("one question is asked over and over: --questions FILE names more", soft_wrap=True)
        session = Session(target, mixed, plan, options=options)
        with interrupted_by(session.stop), live(session, console):
            found = session.run()
        target.close()
    if old is not None:
        verdict = compare(old, found)
        found["comparison"] = verdict.to_dict()
        found["regression"] = verdict.regression
    kept = found if _may_keep_text() else reports.without_messages(found)
    reports.write(kept, args.report)
    reports.write_text(page(kept), html)
    failures = _failures(conditions, found)
    _console(stderr=args.json).print(outcome(found))
    console.print(f"report: {args.report}, page: {html}", soft_wrap=True, highlight=False)
    _tell(console, failures)
    if args.json:
        print(json.dumps(reports.summary(kept), ensure_ascii=False), flush=True)
    if found["interrupted"]:
        return 130
    return 1 if failures or not found["answered"] else 0


def _compare_files(args: argparse.Namespace, conditions: list[Condition]) -> int:
    from ragwatch.bench import report as reports
    from ragwatch.bench.compare import compare
    from ragwatch.bench.screen import comparison

    if not args.compare:
        raise ConfigError("TARGET", f"is missing: {HELP}; or --compare OLD NEW", source="the command line")
    if len(args.compare) != 2:
        raise ConfigError("--compare", "takes two reports, OLD and NEW", source="the command line")
    old, new = (reports.read(path) for path in args.compare)
    verdict = compare(old, new)
    found = {**new, "regression": verdict.regression}
    failures = _failures(conditions, found)
    console = _console(stderr=args.json)
    console.print(comparison(verdict.to_dict(), *map(str, args.compare)))
    _tell(_console(stderr=True), failures)
    if args.json:
        figures = {name: new.get(name) for name in ("latency_s", "throughput", "errors")}
        print(json.dumps({**verdict.to_dict(), **figures, "failed": failures}), flush=True)
    return 1 if failures else 0


def _plan(args: argparse.Namespace) -> Plan:
    from ragwatch.bench.figures import read_condition
    from ragwatch.bench.load import Think, phases
    from ragwatch.bench.session import Plan
    from ragwatch.bench.units import number, positive

    if args.rate and args.concurrency:
        raise ConfigError(
            "--concurrency", "is a closed loop and --rate an open one: give one", source="the command line"
        )
    for name in ("runs", "max_in_flight"):
        if getattr(args, name) < 1:
            raise ConfigError(name, f"{getattr(args, name)} is less than 1", source=f"--{name.replace('_', '-')}")
    if args.zipf is not None and args.zipf < 0:
        raise ConfigError("zipf", f"{args.zipf:g} is below 0", source="--zipf")
    for name, default, needs in (("arrivals", "constant", "rate"), ("think", "0s", "concurrency")):
        if getattr(args, name) != default and (needs == "rate") == (args.concurrency is not None):
            loop = "an open loop (--rate)" if needs == "rate" else "a closed loop (--concurrency)"
            raise ConfigError(f"--{name}", f"belongs to {loop}", source="the command line")
    if args.find_knee and (args.concurrency or args.runs > 1):
        other = "--concurrency" if args.concurrency else "--runs"
        raise ConfigError(other, "does not go with --find-knee, which decides on the load", source="the command line")
    if args.slo and not args.find_knee:
        raise ConfigError("--slo", "belongs to --find-knee; --fail-if judges a load", source="the command line")
    is_open = args.concurrency is None
    seconds = positive(args.duration or ("4s" if args.find_knee else "10s"), "--duration")
    load = args.rate or args.concurrency or "10"
    found = phases(load, seconds, is_open=is_open, source="--rate" if is_open else "--concurrency")
    return Plan(
        tuple(found),
        runs=args.runs,
        warm_up_s=number(args.warm_up, "--warm-up"),
        think=Think.read(args.think),
        poisson=args.arrivals == "poisson",
        limit=args.max_in_flight,
        timeout_s=positive(args.timeout, "--timeout"),
        seed=args.seed,
        find_knee=args.find_knee,
        slo=tuple(read_condition(text, "--slo") for text in args.slo),
        today=found[-1].last if args.rate else None,
    )


def _read_questions(args: argparse.Namespace) -> list[Golden] | None:
    from ragwatch.bench.questions import read_questions

    return read_questions(args.questions) if args.questions else None


def _questions(
    args: argparse.Namespace, target: Target, given: list[Golden] | None
) -> tuple[list[Golden], Callable[[Random], Iterator[Golden]]]:
    from ragwatch.bench.questions import mixed
    from ragwatch.demo.golden import Golden

    golden = given or list(target.golden) or [Golden("What can you tell me?", frozenset())]
    exponent = target.zipf if args.zipf is None else args.zipf
    return golden, lambda dice: mixed(golden, exponent, dice)


def _may_keep_text() -> bool:
    """Whether ``RAGWATCH_CONTENT`` lets text out of the process: into files too."""
    from ragwatch.sdk.setup import running

    process = running()
    return process is not None and process[0].content.mode == "full"


def _console(*, stderr: bool) -> Any:
    """Without a terminal lines are as long as they need be."""
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PIPE_WIDTH)


def _failures(conditions: list[Condition], found: dict[str, Any]) -> list[str]:
    from ragwatch.bench.figures import broken

    return broken(conditions, found)


def _tell(console: Any, failures: list[str]) -> None:
    for line in failures:
        console.print(f"[red]failed[/red]  {line}", highlight=False, soft_wrap=True)
