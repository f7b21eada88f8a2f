"""``ragwatch top``: a live screen of the KPIs by service and step."""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec
from time import monotonic, sleep
from typing import Any

from ragwatch.cli.source import Source, add_options, source_of
from ragwatch.cli.top_window import Lately, Window, of_service, services_of, steps_of
from ragwatch.config.duration import to_seconds
from ragwatch.errors import ConfigError, NoAnswer
from ragwatch.kpi.state import State

EPILOG = """examples:
  ragwatch top                          the last minute, drawn anew every two seconds; q or Ctrl-C leaves
  ragwatch top --window 5m --service support-bot
  ragwatch top --once                   one look at everything since counting began
  ragwatch top --json                   the same for programs: one object a service, the summary last

exit codes: 0 done, 1 no agent answers, 2 an argument is wrong"""
TICK_S = 0.2


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "top",
        help="a live screen of the KPIs",
        description="KPIs by service and step: how much, how fast, what fails, what queries wait for.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--window", default="60s", help="figures of this last stretch of time (default 60s)")
    parser.add_argument("--every", default="2s", help="how often it is drawn anew (default 2s)")
    parser.add_argument("--service", help="of this app alone")
    parser.add_argument("--once", action="store_true", help="print once, since counting began (as when piped)")
    parser.add_argument("--json", action="store_true", help="print once, one JSON object a service, then the summary")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Show the screen until it is left; ``NoAnswer`` where there is no agent to begin with."""
    window, every_s = _seconds(args.window, "window"), max(0.2, _seconds(args.every, "every"))
    if find_spec("rich") is None:
        raise ConfigError("top", "the package rich is not installed: pip install 'ragwatch[agent]'", source="command")
    source = source_of(args)
    state = source.state()
    first = of_service(state, args.service)
    is_live = not (args.json or args.once) and sys.stdout.isatty()
    if args.service is not None and not is_live and not services_of(first):
        others = ", ".join(services_of(state)) or "none"
        raise NoAnswer(f"no app {args.service!r} has sent anything to {source.name}; there is {others}")
    if args.json:
        return _print_json(first, source.name)
    if not is_live:
        _print(first, source.name)
        return 0
    signal.signal(signal.SIGTERM, _leave)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        _live(args, source, Window(window), first, every_s)
    return 0


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _seconds(text: str, name: str) -> float:
    try:
        return to_seconds(text)
    except ValueError as error:
        raise ConfigError(name, str(error), source=f"--{name}") from None


def _lately(state: State) -> Lately:
    window = Window(1.0)
    window.add(0.0, state)
    return window.lately()


def _print(state: State, name: str) -> None:
    from rich.console import Console

    from ragwatch.cli.top_screen import screen

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(screen(_lately(state), name=name, clock=_clock(), width=console.width, height=0))


def _print_json(state: State, name: str) -> int:
    from ragwatch.cli.top_screen import metrics_of

    lately = _lately(state)
    for service in lately.services:
        metrics = metrics_of(lately, service)
        steps = [step._asdict() for step in steps_of(state, service, metrics)]
        print(json.dumps({"service": service, "kpis": metrics.to_dict(), "steps": steps}))
    summary = {"services": len(lately.services), "source": name, "kpis": metrics_of(lately, None).to_dict()}
    print(json.dumps({"summary": summary}))
    return 0


def _live(args: argparse.Namespace, source: Source, window: Window, first: State, every_s: float) -> None:
    from rich.console import Console
    from rich.live import Live

    from ragwatch.cli.top_screen import screen

    console = Console(highlight=False)
    window.add(monotonic(), first)
    problem = ""
    read_at = monotonic()
    size = console.size
    with _keys() as keys, Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
        fresh = True
        while True:
            if fresh or console.size != size:
                size = console.size
                shown = screen(
                    window.lately(), name=source.name, clock=f"{_clock()}  q leaves", width=size.width,
                    height=size.height, problem=problem, service=args.service,
                )  # fmt: skip
                live.update(shown, refresh=True)
            if keys(TICK_S) in {"q", "Q", "\x03"}:
                return
            fresh = monotonic() - read_at >= every_s
            if fresh:
                read_at = monotonic()
                try:
                    window.add(read_at, of_service(source.state(), args.service))
                    problem = ""
                except NoAnswer as error:
                    problem = f"{error}"


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """A function that waits for a key, at most so many seconds; the terminal is as before at the end."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    import os
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)

    def key(seconds: float) -> str:
        ready, _, _ = select.select([number], [], [], seconds)
        return os.read(number, 1).decode(errors="replace") if ready else ""

    try:
        tty.setcbreak(number)
        yield key
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    sleep(seconds)
    return ""
